// What a burst's packets are allowed in advance. Packets from one port to another mostly come in a
// row: what they may need is taken from the ports' own limits once, and what they did not need is
// given back at the end of the burst, or before somebody looks at a limit more closely.
//
// Nothing passes that would not have passed one by one: it is only taken where a limit has that
// much at once.

#pragma once

#include <stdbool.h>
#include <stdint.h>

struct worker;

struct credit {
	uint32_t way;	 // for which it was taken: credit_way; 0: none
	uint32_t before; // that of the packet before
	uint32_t taken;	 // bytes of IP packets, as the following
	uint32_t left;
	uint32_t most;	  // all that the burst can need; 0: not known, and nothing is taken
	uint32_t packets; // that it let pass
};

static inline uint32_t credit_way(uint16_t from, uint16_t to)
{
	return (uint32_t)from << 16 | to;
}

// Of a packet that there is no credit for. False: limits do not let it pass at once, or there is
// more to it than the ports' own, and nothing was taken: qos_packet knows.
bool credit_take(struct worker *worker, uint16_t from, uint16_t to, uint32_t bytes);

void credit_settle(struct worker *worker);
