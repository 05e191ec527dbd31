#include "cli/top.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "model/memory.h"

const char *const top_order_names[TOP_ORDER_COUNT] = {"bits", "packets", "drops", "name"};

// Of a counter that began anew meanwhile: what it has counted since.
static double rate(uint64_t now, uint64_t before, double seconds)
{
	return seconds > 0 ? (double)(now >= before ? now - before : now) / seconds : 0;
}

static const Sluice__V1__PortStats *port_find(const Sluice__V1__StatsResponse *stats,
					      const char *name, size_t likely)
{
	static const Sluice__V1__PortStats none;

	if (!stats)
		return &none;
	// Mostly in the same place.
	if (likely < stats->n_ports && strcmp(stats->ports[likely]->key, name) == 0)
		return stats->ports[likely]->value;
	for (size_t i = 0; i < stats->n_ports; i++)
		if (strcmp(stats->ports[i]->key, name) == 0)
			return stats->ports[i]->value;
	return &none;
}

static uint64_t drops_before(const Sluice__V1__PortStats *before, const char *reason)
{
	for (size_t i = 0; i < before->n_drops; i++)
		if (strcmp(before->drops[i]->key, reason) == 0)
			return before->drops[i]->value;
	return 0;
}

static void drop_add(struct top *top, size_t *capacity, const char *reason, double more,
		     uint64_t total)
{
	for (size_t i = 0; i < top->drop_count; i++) {
		if (strcmp(top->drops[i].reason, reason) == 0) {
			top->drops[i].rate += more;
			top->drops[i].total += total;
			return;
		}
	}
	top->drops = memory_grow(top->drops, top->drop_count, capacity, sizeof(*top->drops));
	top->drops[top->drop_count++] = (struct top_drop){reason, more, total};
}

static void port_fill(struct top *top, size_t *capacity, const Sluice__V1__PortStats *now,
		      const Sluice__V1__PortStats *before, double seconds, struct top_port *port)
{
	double most = 0;

	port->state = now->state;
	port->network = now->network;
	port->rx_packets = rate(now->rx_packets, before->rx_packets, seconds);
	port->tx_packets = rate(now->tx_packets, before->tx_packets, seconds);
	port->rx_bits = rate(now->rx_bytes, before->rx_bytes, seconds) * 8;
	port->tx_bits = rate(now->tx_bytes, before->tx_bytes, seconds) * 8;
	for (size_t i = 0; i < now->n_drops; i++) {
		const char *reason = now->drops[i]->key;
		double one = rate(now->drops[i]->value, drops_before(before, reason), seconds);

		port->drops += one;
		if (one > most) {
			most = one;
			port->reason = reason;
		}
		drop_add(top, capacity, reason, one, now->drops[i]->value);
	}
}

static double measure(const struct top_port *port, enum top_order order)
{
	switch (order) {
	case TOP_PACKETS:
		return port->rx_packets + port->tx_packets;
	case TOP_DROPS:
		return port->drops;
	default:
		return port->rx_bits + port->tx_bits;
	}
}

struct ordering {
	enum top_order order;
	bool reverse;
};

static int port_compare(const void *a, const void *b, void *context)
{
	const struct top_port *x = a, *y = b;
	const struct ordering *ordering = context;
	int result = 0;

	if (ordering->order != TOP_NAME) {
		double p = measure(x, ordering->order), q = measure(y, ordering->order);

		result = (p < q) - (p > q);
	}
	if (!result)
		result = strcmp(x->name, y->name);
	return ordering->reverse ? -result : result;
}

static int drop_compare(const void *a, const void *b)
{
	const struct top_drop *x = a, *y = b;

	if (x->rate != y->rate)
		return (x->rate < y->rate) - (x->rate > y->rate);
	return (x->total < y->total) - (x->total > y->total);
}

static uint64_t worker_drops(const Sluice__V1__WorkerStats *worker)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < worker->n_drops; i++)
		sum += worker->drops[i]->value;
	return sum;
}

static void worker_fill(const Sluice__V1__WorkerStats *now, const Sluice__V1__WorkerStats *before,
			double seconds, struct top_worker *worker)
{
	double cycles = rate(now->cycles, before->cycles, 1);

	worker->worker = now->worker;
	worker->cpu = now->cpu;
	worker->packets = rate(now->packets, before->packets, seconds);
	worker->opened = rate(now->connections_opened, before->connections_opened, seconds);
	worker->ended = rate(now->connections_ended, before->connections_ended, seconds);
	worker->drops = rate(worker_drops(now), worker_drops(before), seconds);
	if (cycles > 0)
		worker->busy_percent =
			100 * rate(now->busy_cycles, before->busy_cycles, 1) / cycles;
}

void top_make(struct top *top, const Sluice__V1__StatsResponse *before,
	      const Sluice__V1__StatsResponse *now, double seconds, enum top_order order,
	      bool reverse)
{
	static const Sluice__V1__WorkerStats none;
	struct ordering ordering = {order, reverse};
	size_t capacity = 0;

	*top = (struct top){0};
	top->ports = memory_new(now->n_ports * sizeof(*top->ports));
	top->workers = memory_new(now->n_workers * sizeof(*top->workers));
	for (size_t i = 0; i < now->n_ports; i++) {
		struct top_port *port = &top->ports[top->port_count];

		if (!now->ports[i]->value)
			continue;
		top->port_count++;
		port->name = now->ports[i]->key;
		port_fill(top, &capacity, now->ports[i]->value, port_find(before, port->name, i),
			  seconds, port);
	}
	for (size_t i = 0; i < now->n_workers; i++) {
		worker_fill(now->workers[i],
			    before && i < before->n_workers ? before->workers[i] : &none, seconds,
			    &top->workers[i]);
		top->opened += top->workers[i].opened;
		top->ended += top->workers[i].ended;
	}
	top->worker_count = now->n_workers;
	if (now->connections) {
		top->connections = now->connections->current;
		top->connections_max = now->connections->max;
		top->offloaded = now->connections->offloaded;
	}
	if (now->process) {
		top->uptime = now->process->uptime_seconds;
		top->resident_bytes = now->process->resident_bytes;
	}
	qsort_r(top->ports, top->port_count, sizeof(*top->ports), port_compare, &ordering);
	if (top->drop_count)
		qsort(top->drops, top->drop_count, sizeof(*top->drops), drop_compare);
}

void top_clear(struct top *top)
{
	free(top->ports);
	free(top->workers);
	free(top->drops);
	*top = (struct top){0};
}

char *rate_text(double value, char text[16])
{
	static const char units[] = " kMGTPE";
	size_t unit = 0;

	// What would be rounded up to 1000 is one of the next unit.
	while (value >= 999.5 && unit < sizeof(units) - 2) {
		value /= 1000;
		unit++;
	}
	if (unit == 0)
		snprintf(text, 16, "%.0f", value);
	else
		snprintf(text, 16, "%.*f%c",
			 value < 9.995	 ? 2
			 : value < 99.95 ? 1
					 : 0,
			 value, units[unit]);
	return text;
}

// Workers that get a line of their own; more are told together.
#define WORKER_LINES 8
#define FIXED_LINES  4

size_t top_head_lines(const struct top *top)
{
	return FIXED_LINES + (top->worker_count < WORKER_LINES ? top->worker_count : WORKER_LINES);
}

static void duration(double seconds, char *text, size_t size)
{
	unsigned long s = (unsigned long)seconds;

	if (s >= 86400)
		snprintf(text, size, "%lu d %02lu:%02lu:%02lu", s / 86400, s / 3600 % 24,
			 s / 60 % 60, s % 60);
	else
		snprintf(text, size, "%lu:%02lu:%02lu", s / 3600, s / 60 % 60, s % 60);
}

static void totals(const struct top *top, char *line, size_t size)
{
	double packets[2] = {0, 0}, bits[2] = {0, 0};
	char text[4][16];

	for (size_t i = 0; i < top->port_count; i++) {
		packets[0] += top->ports[i].rx_packets;
		packets[1] += top->ports[i].tx_packets;
		bits[0] += top->ports[i].rx_bits;
		bits[1] += top->ports[i].tx_bits;
	}
	snprintf(line, size, "Ports: %zu, in %s packets/s %s bit/s, out %s packets/s %s bit/s",
		 top->port_count, rate_text(packets[0], text[0]), rate_text(bits[0], text[1]),
		 rate_text(packets[1], text[2]), rate_text(bits[1], text[3]));
}

static void drops_line(const struct top *top, char *line, size_t size)
{
	int length = snprintf(line, size, "Drops/s:");

	for (size_t i = 0; i < top->drop_count && i < 6 && (size_t)length < size; i++) {
		char text[16];

		length += snprintf(line + length, size - (size_t)length, "%s %s %s", i ? "," : "",
				   top->drops[i].reason, rate_text(top->drops[i].rate, text));
	}
	if (!top->drop_count)
		snprintf(line + length, size - (size_t)length, " none since the start");
}

void top_head(const struct top *top, size_t line, char *text, size_t width)
{
	char whole[512], number[4][16];

	if (line == 0) {
		char up[32];

		duration(top->uptime, up, sizeof(up));
		snprintf(whole, sizeof(whole), "sluice top - up %s, %" PRIu64 " MiB resident", up,
			 top->resident_bytes >> 20);
	} else if (line == 1) {
		snprintf(whole, sizeof(whole),
			 "Connections: %" PRIu64 " of %" PRIu64 " (%" PRIu64
			 " offloaded), opened %s/s, ended %s/s",
			 top->connections, top->connections_max, top->offloaded,
			 rate_text(top->opened, number[0]), rate_text(top->ended, number[1]));
	} else if (line == 2) {
		totals(top, whole, sizeof(whole));
	} else if (line == 3) {
		drops_line(top, whole, sizeof(whole));
	} else {
		const struct top_worker *worker = &top->workers[line - FIXED_LINES];

		snprintf(whole, sizeof(whole),
			 "Worker %" PRIu32 " on CPU %" PRIu32
			 ": %5.1f %% busy, %s packets/s, %s drops/s%s",
			 worker->worker, worker->cpu, worker->busy_percent,
			 rate_text(worker->packets, number[0]), rate_text(worker->drops, number[1]),
			 line == FIXED_LINES + WORKER_LINES - 1 && top->worker_count > WORKER_LINES
				 ? " (and more workers)"
				 : "");
	}
	snprintf(text, width + 1, "%s", whole);
}

void top_port_heading(enum top_order order, char *text, size_t width)
{
	char whole[256];

	snprintf(whole, sizeof(whole), "%-16s %-5s %6s %8s %6s %8s %7s  %s", "PORT", "STATE",
		 "RX p/s", "RX bit/s", "TX p/s", "TX bit/s", "DROPS/s", "MOSTLY");
	snprintf(text, width + 1, "%s", whole);
}

void top_port_line(const struct top_port *port, char *text, size_t width)
{
	char whole[512], number[5][16];
	const char *state = strcmp(port->state, "up") == 0 || strcmp(port->state, "down") == 0
				    ? port->state
				    : "fail";

	snprintf(whole, sizeof(whole), "%-16.16s %-5s %6s %8s %6s %8s %7s  %s", port->name, state,
		 rate_text(port->rx_packets, number[0]), rate_text(port->rx_bits, number[1]),
		 rate_text(port->tx_packets, number[2]), rate_text(port->tx_bits, number[3]),
		 rate_text(port->drops, number[4]), port->reason ? port->reason : "");
	snprintf(text, width + 1, "%s", whole);
}
