// Packets that may go only later, because a limit lets them (layer/qos): finished, in a wheel of
// time slots. Each worker has its own.

#pragma once

#include <stdbool.h>
#include <stdint.h>

struct rte_mbuf;
struct worker;

// Some 30 to 60 microseconds each, so at least a quarter of a second in all.
#define DELAY_SLOTS 8192u

struct delay_slot {
	struct rte_mbuf *first, *last;
};

struct delays {
	struct delay_slot *slots;
	unsigned int shift; // of cycles of the time stamp counter to slots
	uint64_t now;	    // cycles, when the turn began: the time of all that is metered in it
	uint64_t slot;	    // of that time: all up to it was released
	uint32_t count;	    // packet buffers that wait
	uint32_t max;
};

bool delays_open(struct worker *worker);
void delays_close(struct worker *worker);

// A turn begins: what may go by now is given to its ports. Returns how many.
uint32_t delays_turn(struct worker *worker, uint64_t now);

// The worker ends: all go now.
void delays_flush(struct worker *worker);

// The slot of a packet that may go `cycles` after the turn's time. 0: at once.
static inline uint64_t delays_slot(const struct delays *delays, uint64_t cycles)
{
	uint64_t slot = (delays->now + cycles) >> delays->shift;

	return slot > delays->slot ? slot : 0;
}

// Takes a packet over that came `from` a port and leaves by `port` then, in their order.
void delays_add(struct worker *worker, struct rte_mbuf *mbuf, uint16_t port, uint16_t from,
		uint64_t slot);

// Cycles until the next one may go. UINT64_MAX: none waits.
uint64_t delays_next(const struct delays *delays, uint64_t now);
