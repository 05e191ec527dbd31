// Lines of JSON about what was counted.

#include <inttypes.h>
#include <stdio.h>

#include "load.h"

static void port_print(const struct load *load, unsigned int side)
{
	const struct end *end = &load->ends[side], *other = &load->ends[!side];
	uint64_t sent = other->sent - other->port->pending, received = end->received, lost = 0;

	// By sequence numbers, where there are some. Of others also what is still on its way.
	if (load->options->latency) {
		lost = end->lost;
		sent = other->sent - other->sequence_sent;
		received = end->unstamped;
	}
	lost += sent > received ? sent - received : 0;
	printf("%s{\"sent\": %" PRIu64 ", \"received\": %" PRIu64 ", \"unexpected\": %" PRIu64
	       ", \"lost\": %" PRIu64 ", \"reordered\": %" PRIu64 "}",
	       side ? ", " : "", end->sent - end->port->pending, end->received, end->unexpected,
	       lost, end->reordered);
}

static void latency_print(const struct load *load, const struct histogram *histogram)
{
	const double ns = 1e9 / (double)load->hz;

	if (histogram->count == 0) {
		printf("null");
		return;
	}
	printf("{\"p50\": %.0f, \"p99\": %.0f, \"p999\": %.0f, \"max\": %.0f, \"samples\": %" PRIu64
	       "}",
	       ns * (double)histogram_quantile(histogram, 0.5),
	       ns * (double)histogram_quantile(histogram, 0.99),
	       ns * (double)histogram_quantile(histogram, 0.999), ns * (double)histogram->max,
	       histogram->count);
}

void load_report(struct load *load, uint64_t now, bool final)
{
	printf("{%s\"seconds\": %.6f, \"phase\": \"%s\", \"ports\": [",
	       final ? "\"final\": true, " : "", (double)(now - load->start) / (double)load->hz,
	       load->opening.done ? "steady" : "opening");
	for (unsigned int side = 0; side < SIDES; side++)
		port_print(load, side);
	printf("], \"opened\": %" PRIu64 ", \"answered\": %" PRIu64 ", \"closed\": %" PRIu64
	       ", \"busyCycles\": %" PRIu64 ", \"latency\": ",
	       load->opened, load->answered, load->closed, load->busy);
	if (final)
		histogram_merge(&load->total, &load->interval);
	latency_print(load, final ? &load->total : &load->interval);
	if (!final)
		histogram_merge(&load->total, &load->interval);
	printf("}\n");
	fflush(stdout);
}
