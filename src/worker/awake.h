// Does a worker without packets sleep at once, or stay awake for a while? A CPU that sleeps has to
// be woken, and where a hypervisor was given it back that takes milliseconds now and then: a stream
// with short pauses would have those in its midst. So who is busy for a good part of the time stays
// awake, unless others want the CPU.
//
// All times are in cycles of the time stamp counter. One thread.

#pragma once

#include <stdbool.h>
#include <stdint.h>

// How long it is looked at, in microseconds, and with how much of that, one part in so many.
#define AWAKE_WINDOW 16000
#define AWAKE_BUSY   4
#define AWAKE_LOST   8
// A turn without packets takes less, in microseconds: else others had the CPU.
#define AWAKE_TURN 100
// Windows in which others are left the CPU after that.
#define AWAKE_SHY 64
// How long without a packet, in microseconds.
#define AWAKE_PATIENCE 1000

struct awake {
	uint64_t microsecond;
	uint64_t begun; // the window
	uint64_t busy;	// with packets
	uint64_t lost;	// to others
	uint32_t shy;	// windows
	bool stays;
};

static inline void awake_judge(struct awake *awake, uint64_t now)
{
	uint64_t window = now - awake->begun;

	if (awake->lost > window / AWAKE_LOST)
		awake->shy = AWAKE_SHY;
	else if (awake->shy)
		awake->shy--;
	awake->stays = !awake->shy && awake->busy > window / AWAKE_BUSY;
	awake->begun = now;
	awake->busy = awake->lost = 0;
}

// With each turn that begins. `quiet`: how long the one before took, if it had no packet and no
// sleep; else 0.
static inline void awake_turn(struct awake *awake, uint64_t now, uint64_t quiet)
{
	if (quiet > AWAKE_TURN * awake->microsecond)
		awake->lost += quiet;
	if (now - awake->begun >= AWAKE_WINDOW * awake->microsecond)
		awake_judge(awake, now);
}

// So long nothing has come.
static inline bool awake_stays(const struct awake *awake, uint64_t waited)
{
	return awake->stays && waited < AWAKE_PATIENCE * awake->microsecond;
}
