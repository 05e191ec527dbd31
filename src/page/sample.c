#include "page/sample.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <event2/event.h>

#include "control/control.h"
#include "telemetry/telemetry.h"

#define FRESH_SECONDS 0.9
// Rates over more than this are those of nobody's interest.
#define STALE_SECONDS 15.0
// After so long without anybody the memory is given back.
#define REST_SECONDS 60

// By port number.
struct last {
	uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes, drops;
	struct sample_rates rates;
};

struct sample {
	struct control *control;
	struct event *rest;
	uint32_t generation; // of the tables that the rows are of; 0: there are none
	struct sample_row *rows;
	uint32_t row_count;
	struct last *last;
	uint32_t last_count;
	struct sample_sum *networks;
	uint32_t network_count;
	struct sample_sum sum;
	double time, interval;
	bool again; // the rows are other ones, and the rates are still good
};

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void forget(struct sample *sample)
{
	free(sample->rows);
	free(sample->last);
	free(sample->networks);
	sample->rows = NULL;
	sample->last = NULL;
	sample->networks = NULL;
	sample->generation = 0;
	sample->row_count = sample->last_count = sample->network_count = 0;
	sample->time = sample->interval = 0;
}

static void on_rest(evutil_socket_t fd, short what, void *context)
{
	forget(context);
}

struct sample *sample_new(struct control *control)
{
	struct sample *sample = calloc(1, sizeof(*sample));

	if (!sample)
		return NULL;
	sample->control = control;
	sample->rest = evtimer_new(control->base, on_rest, sample);
	if (sample->rest)
		return sample;
	free(sample);
	return NULL;
}

void sample_free(struct sample *sample)
{
	if (!sample)
		return;
	forget(sample);
	event_free(sample->rest);
	free(sample);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct sample_row *)a)->name, ((const struct sample_row *)b)->name);
}

static bool is_there(const struct control *control, uint32_t number)
{
	return number < control->port_count && control->ports[number];
}

// The Ports of the tables in force. A change of the tables comes with other names and numbers.
static bool rows_make(struct sample *sample)
{
	const struct control *control = sample->control;
	const struct tables *tables = control->tables;
	struct sample_row *rows;
	uint32_t count = 0;

	if (sample->generation == tables_generation(tables))
		return true;
	rows = calloc(tables->endpoint_count + 2, sizeof(*rows));
	if (!rows)
		return false;
	for (uint32_t number = PORT_UPLINK; number <= PORT_HOST; number++)
		if (is_there(control, number))
			rows[count++] = (struct sample_row){.name = control->ports[number]->name,
							    .number = number};
	for (uint32_t i = 1; i < tables->endpoint_count; i++) {
		const struct endpoint *endpoint = &tables->endpoints[i];

		if (endpoint->peer || is_there(control, endpoint->port))
			rows[count++] = (struct sample_row){
				.name = tables->details[i].name,
				.endpoint = i,
				.number = endpoint->peer ? 0 : endpoint->port,
			};
	}
	qsort(rows, count, sizeof(*rows), by_name);
	free(sample->rows);
	sample->rows = rows;
	sample->row_count = count;
	sample->generation = tables_generation(tables);
	return true;
}

static bool make_room(struct sample *sample)
{
	uint32_t ports = sample->control->port_count;
	uint32_t networks = sample->control->tables->network_count;

	if (ports > sample->last_count) {
		struct last *grown = realloc(sample->last, ports * sizeof(*grown));

		if (!grown)
			return false;
		memset(grown + sample->last_count, 0,
		       (ports - sample->last_count) * sizeof(*grown));
		sample->last = grown;
		sample->last_count = ports;
	}
	if (networks > sample->network_count) {
		struct sample_sum *grown = realloc(sample->networks, networks * sizeof(*grown));

		if (!grown)
			return false;
		sample->networks = grown;
		sample->network_count = networks;
	}
	if (sample->networks)
		memset(sample->networks, 0, sample->network_count * sizeof(*sample->networks));
	return true;
}

// A port that was made anew counts from 0.
static double rate(uint64_t *last, uint64_t value, double interval)
{
	uint64_t before = *last;

	*last = value;
	return interval > 0 && value > before ? (double)(value - before) / interval : 0;
}

static void rates_add(struct sample_rates *sum, const struct sample_rates *rates)
{
	sum->rx_packets += rates->rx_packets;
	sum->rx_bytes += rates->rx_bytes;
	sum->tx_packets += rates->tx_packets;
	sum->tx_bytes += rates->tx_bytes;
	sum->drops += rates->drops;
}

static void rates_read(struct sample *sample, struct last *last,
		       const struct port_counters *counters)
{
	uint64_t drops = 0;

	for (unsigned int reason = 0; reason < DROP_REASON_COUNT; reason++)
		drops += counters->drops[reason];
	last->rates.rx_packets = rate(&last->rx_packets, counters->rx_packets, sample->interval);
	last->rates.rx_bytes = rate(&last->rx_bytes, counters->rx_bytes, sample->interval);
	last->rates.tx_packets = rate(&last->tx_packets, counters->tx_packets, sample->interval);
	last->rates.tx_bytes = rate(&last->tx_bytes, counters->tx_bytes, sample->interval);
	last->rates.drops = rate(&last->drops, drops, sample->interval);
}

static void row_read(struct sample *sample, struct sample_row *row)
{
	const struct control *control = sample->control;
	const struct endpoint *endpoint = tables_endpoint(control->tables, row->endpoint);
	struct sample_sum *network = endpoint ? &sample->networks[endpoint->network] : NULL;
	struct port_counters counters;
	struct last *last;
	const char *state;

	row->state = SAMPLE_ELSEWHERE;
	if (row->number) {
		state = stats_port_state(control, row->number);
		row->state = strcmp(state, "up") == 0	  ? SAMPLE_UP
			     : strcmp(state, "down") == 0 ? SAMPLE_DOWN
							  : SAMPLE_FAILED;
	}
	if (network)
		network->states[row->state]++;
	if (!row->number)
		return;
	counters = stats_port_counters(control, row->number);
	last = &sample->last[row->number];
	if (!sample->again)
		rates_read(sample, last, &counters);
	if (!network)
		return;
	rates_add(&network->rates, &last->rates);
	rates_add(&sample->sum.rates, &last->rates);
	port_counters_add(&sample->sum.counters, &counters);
	sample->sum.states[row->state]++;
}

bool sample_take(struct sample *sample)
{
	struct timeval rest = {.tv_sec = REST_SECONDS};
	double time = now(), elapsed = time - sample->time;
	bool changed = sample->generation != tables_generation(sample->control->tables);

	evtimer_add(sample->rest, &rest);
	if (!changed && elapsed < FRESH_SECONDS)
		return true;
	if (!rows_make(sample) || !make_room(sample))
		return false;
	sample->again = elapsed < FRESH_SECONDS;
	if (!sample->again) {
		sample->interval = sample->time > 0 && elapsed < STALE_SECONDS ? elapsed : 0;
		sample->time = time;
	}
	memset(&sample->sum, 0, sizeof(sample->sum));
	for (uint32_t i = 0; i < sample->row_count; i++)
		row_read(sample, &sample->rows[i]);
	return true;
}

uint32_t sample_count(const struct sample *sample)
{
	return sample->row_count;
}

const struct sample_row *sample_row(const struct sample *sample, uint32_t index)
{
	return &sample->rows[index];
}

const struct sample_sum *sample_sum(const struct sample *sample)
{
	return &sample->sum;
}

const struct sample_rates *sample_rates(const struct sample *sample, uint32_t port)
{
	return sample->interval > 0 && port < sample->last_count ? &sample->last[port].rates : NULL;
}

const struct sample_sum *sample_network(const struct sample *sample, uint32_t network)
{
	return network < sample->network_count ? &sample->networks[network] : NULL;
}

double sample_time(const struct sample *sample)
{
	return sample->time;
}

double sample_interval(const struct sample *sample)
{
	return sample->interval;
}
