// The ports' counters, read at most once a second while somebody looks, and the rates between two
// such moments: all who look share them. Nothing runs while nobody does.

#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "port/port.h"

struct control;
struct sample;

// A second.
struct sample_rates {
	double rx_packets, rx_bytes, tx_packets, tx_bytes, drops;
};

enum sample_state {
	SAMPLE_UP,
	SAMPLE_DOWN,
	SAMPLE_FAILED,
	SAMPLE_ELSEWHERE, // another node's: nothing is known here
	SAMPLE_STATES,
};

// A Port, or the uplink. Sorted by name. Good until the next call of sample_take.
struct sample_row {
	const char *name;
	uint32_t endpoint; // in the tables in force; 0: the uplink
	uint32_t number;   // 0: another node's
	enum sample_state state;
};

// All of the node's Ports together, the uplink left out, or of a network.
struct sample_sum {
	struct port_counters counters;
	struct sample_rates rates;
	uint32_t states[SAMPLE_STATES];
};

struct sample *sample_new(struct control *control);
void sample_free(struct sample *sample);

// Reads anew where the last time is longer ago. False without memory.
bool sample_take(struct sample *sample);

uint32_t sample_count(const struct sample *sample);
const struct sample_row *sample_row(const struct sample *sample, uint32_t index);
const struct sample_sum *sample_sum(const struct sample *sample);
// Of a Port of this node; NULL as long as there is no second look. Networks: by their number.
const struct sample_rates *sample_rates(const struct sample *sample, uint32_t port);
const struct sample_sum *sample_network(const struct sample *sample, uint32_t network);
// Seconds of a clock that goes on, when it was read; and between the last two, 0: there was one.
double sample_time(const struct sample *sample);
double sample_interval(const struct sample *sample);
