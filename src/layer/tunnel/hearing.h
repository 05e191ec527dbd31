// When another node was heard last, and whether it is silent: one that is not heard by way of the
// tunnel cannot be sent to by it either.

#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

// So many of its rounds, and a second, without a word are silence: two words may get lost.
#define HEARING_ROUNDS 3
// Seconds between two words of one that does not say how many: those of earlier versions.
#define HEARING_ROUND 10
// Seconds in which this process had no turn, so that it cannot say who has spoken.
#define HEARING_STALL 5

struct hearing {
	_Atomic uint32_t heard; // second of its last word; any worker's
	_Atomic uint8_t round;	// seconds between two, as it says itself; 0: it does not
	_Atomic bool silent;
	_Atomic uint32_t since; // second from which on it was to be heard, without a break
	uint32_t awaited;	// second in which it was asked for last
	bool told;		// the log says that it is silent; the control thread's
};

// A word of it. Any worker.
static inline void hearing_heard(struct hearing *hearing, uint32_t now, uint8_t round)
{
	atomic_store_explicit(&hearing->round, round, memory_order_relaxed);
	atomic_store_explicit(&hearing->heard, now, memory_order_relaxed);
}

// Is it silent? Asked each second in which it has something to tell this node, by one worker;
// `before` is the second in which that one has asked for any node last. The time of one that had
// nothing to tell then begins now.
bool hearing_await(struct hearing *hearing, uint32_t now, uint32_t before);

// What another process has known, before anybody asks this one. Who was silent has to be heard.
static inline void hearing_go_on(struct hearing *hearing, bool silent, uint32_t round)
{
	hearing->told = silent;
	atomic_store(&hearing->silent, silent);
	atomic_store(&hearing->round, round <= UINT8_MAX ? (uint8_t)round : 0);
}

// Was it heard since it has something to tell?
static inline bool hearing_has_word(const struct hearing *hearing)
{
	return (int32_t)(atomic_load(&hearing->heard) - atomic_load(&hearing->since)) >= 0;
}
