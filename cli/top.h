// What `sluice top` shows: two answers of Stats, and the rates between them.

#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "sluice.pb-c.h"

enum top_order {
	TOP_BITS, // of both directions
	TOP_PACKETS,
	TOP_DROPS,
	TOP_NAME,
	TOP_ORDER_COUNT,
};

// A second is the unit of all rates.
struct top_port {
	const char *name, *state, *network;
	double rx_packets, rx_bits, tx_packets, tx_bits, drops;
	const char *reason; // of most drops in the interval; NULL: there were none
};

struct top_worker {
	uint32_t worker, cpu;
	double packets, busy_percent, opened, ended, drops;
};

struct top_drop {
	const char *reason;
	double rate;
	uint64_t total;
};

// The strings are those of the answers.
struct top {
	struct top_port *ports;
	size_t port_count;
	struct top_worker *workers;
	size_t worker_count;
	struct top_drop *drops; // those that are not zero since start, the most frequent ones first
	size_t drop_count;
	uint64_t connections, connections_max, offloaded;
	double opened, ended;
	double uptime; // seconds
	uint64_t resident_bytes;
};

extern const char *const top_order_names[TOP_ORDER_COUNT];

// Rates from `before` (NULL: averages since the start) to `now`; `seconds` is what lies between.
// Sorted, or the other way round. Freed with top_clear.
void top_make(struct top *top, const Sluice__V1__StatsResponse *before,
	      const Sluice__V1__StatsResponse *now, double seconds, enum top_order order,
	      bool reverse);
void top_clear(struct top *top);

// Five significant characters: 999, 1.23k, 45.6M.
char *rate_text(double rate, char text[16]);

// A line of the screen or of the batch's output, without line end; cut to `width` columns.
// top_lines returns how many there are before the ports.
size_t top_head_lines(const struct top *top);
void top_head(const struct top *top, size_t line, char *text, size_t width);
void top_port_heading(enum top_order order, char *text, size_t width);
void top_port_line(const struct top_port *port, char *text, size_t width);
