// What a rate limit counts with: one token bucket, or two of them (RFC 2697, RFC 2698, both
// colour-blind). A bucket is the time at which it will be full again, so that it is one word, which
// all workers change by compare-and-swap.
//
// Time is in ticks, 256 of them a cycle of the time stamp counter, so that a byte at 400 Gbit/s is
// some of them still. They wrap after years.

#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define METER_TICK_BITS 8
// Of a tick, in the cost of a byte.
#define METER_FRACTION_BITS 16
// No packet is larger on its way, as the sum of the segments that it is to be cut into.
// So that their cost is a product of 64 bits even at the slowest rate.
#define METER_BYTES_MAX (128 * 1024)
// What an acknowledgement may find owed beyond what waits: that of a large send, and so many
// others.
#define METER_BYTES_ACKS (96 * 1024)

// Zero is a full bucket at any time that is near the start of the counter; see bucket_owed.
struct bucket {
	_Atomic uint64_t full_at; // ticks
};

struct bucket_profile {
	uint64_t cost;	// of a byte: fractions of ticks; 0: there is no such bucket
	uint64_t depth; // ticks until it is full
	uint64_t wait;	// ticks for which packets may wait for it
	bool alone;	// one worker only takes of it
};

struct meter {
	struct bucket committed;
	struct bucket outer;
};

struct meter_profile {
	struct bucket_profile committed;
	// The peak (RFC 2698): what it does not hold is red. Of a single rate (RFC 2697): both
	// buckets together, since the second one fills when the first is full.
	struct bucket_profile outer;
	bool single_rate;
};

enum meter_colour {
	METER_RED,
	METER_YELLOW, // over the committed rate or burst only
	METER_GREEN,
};

// `rate` in bits a second, `burst` in bytes.
static inline struct bucket_profile bucket_profile_make(uint64_t rate, uint64_t burst,
							uint64_t cycles_per_second)
{
	unsigned __int128 second = (unsigned __int128)cycles_per_second
				   << (METER_TICK_BITS + METER_FRACTION_BITS);
	uint64_t cost = (uint64_t)(second * 8 / rate);

	return (struct bucket_profile){
		.cost = cost,
		.depth = (uint64_t)((unsigned __int128)cost * burst >> METER_FRACTION_BITS),
	};
}

static inline uint64_t meter_now(uint64_t cycles)
{
	return cycles << METER_TICK_BITS;
}

static inline uint64_t meter_cycles(uint64_t ticks)
{
	return ticks >> METER_TICK_BITS;
}

static inline uint64_t bucket_cost(const struct bucket_profile *profile, uint32_t bytes)
{
	return profile->cost * bytes >> METER_FRACTION_BITS;
}

// Ticks until it is full. More than it can owe is of a profile that is no more, or of another turn
// of the clock: then it is empty.
static inline uint64_t bucket_owed(uint64_t full_at, const struct bucket_profile *profile,
				   uint64_t now)
{
	uint64_t owed = full_at - now;

	if ((int64_t)owed <= 0)
		return 0;
	return owed <= profile->depth + profile->wait + bucket_cost(profile, METER_BYTES_MAX)
		       ? owed
		       : profile->depth;
}

// Takes `cost` if at least `needed` of it is there, or will be within the profile's time to wait:
// then `*wait` grows to that. What needs nothing is taken though more waits than may.
static inline bool bucket_take(struct bucket *bucket, const struct bucket_profile *profile,
			       uint64_t now, uint64_t cost, uint64_t needed, uint64_t *wait)
{
	uint64_t full_at = atomic_load_explicit(&bucket->full_at, memory_order_relaxed), owed;
	uint64_t most = profile->depth + profile->wait;

	if (!needed && profile->wait)
		most += bucket_cost(profile, METER_BYTES_ACKS);
	if (needed > profile->depth)
		needed = profile->depth;
	do {
		owed = bucket_owed(full_at, profile, now);
		if (owed + needed > most) {
			// What it can't owe is forgotten, else it would be so for as long.
			if ((int64_t)(full_at - now) > 0 && full_at - now != owed)
				atomic_compare_exchange_weak_explicit(
					&bucket->full_at, &full_at, now + owed,
					memory_order_relaxed, memory_order_relaxed);
			return false;
		}
		if (profile->alone) {
			atomic_store_explicit(&bucket->full_at, now + owed + cost,
					      memory_order_relaxed);
			break;
		}
	} while (!atomic_compare_exchange_weak_explicit(&bucket->full_at, &full_at,
							now + owed + cost, memory_order_relaxed,
							memory_order_relaxed));
	if (owed + needed > profile->depth + *wait)
		*wait = owed + needed - profile->depth;
	return true;
}

static inline void bucket_give(struct bucket *bucket, uint64_t cost, bool alone)
{
	if (alone)
		atomic_store_explicit(&bucket->full_at,
				      atomic_load_explicit(&bucket->full_at, memory_order_relaxed) -
					      cost,
				      memory_order_relaxed);
	else
		atomic_fetch_sub_explicit(&bucket->full_at, cost, memory_order_relaxed);
}

// Meters a packet of `bytes`, whose first segment has `first` of them: where this one conforms, all
// do, and what they are more than the bucket has is owed. So a large send passes as a whole, and
// the rate is kept. `first` 0: an acknowledgement, which is not lost because of the data that wait.
// `*wait` grows to the ticks after which it may go; packets of one meter may do
// so in the order in which they were metered.
static inline enum meter_colour meter_take(struct meter *meter, const struct meter_profile *profile,
					   uint64_t now, uint32_t bytes, uint32_t first,
					   uint64_t *wait)
{
	const struct bucket_profile *committed = &profile->committed, *outer = &profile->outer;
	uint64_t cost = bucket_cost(committed, bytes);
	uint64_t needed = first == bytes ? cost : bucket_cost(committed, first);
	uint64_t outer_cost, outer_needed, owed;

	if (!outer->cost)
		return bucket_take(&meter->committed, committed, now, cost, needed, wait)
			       ? METER_GREEN
			       : METER_RED;
	outer_cost = bucket_cost(outer, bytes);
	outer_needed = bucket_cost(outer, first);
	if (profile->single_rate) {
		if (bucket_take(&meter->committed, committed, now, cost, needed, wait)) {
			bucket_take(&meter->outer, outer, now, outer_cost, 0, wait);
			return METER_GREEN;
		}
		// What the first bucket has is not the second one's.
		owed = bucket_owed(
			atomic_load_explicit(&meter->committed.full_at, memory_order_relaxed),
			committed, now);
		if (owed < committed->depth)
			outer_needed += committed->depth - owed;
		return bucket_take(&meter->outer, outer, now, outer_cost, outer_needed, wait)
			       ? METER_YELLOW
			       : METER_RED;
	}
	if (!bucket_take(&meter->outer, outer, now, outer_cost, outer_needed, wait))
		return METER_RED;
	return bucket_take(&meter->committed, committed, now, cost, needed, wait) ? METER_GREEN
										  : METER_YELLOW;
}

// The usual case of meter_take: there is one bucket, and it holds the whole packet, which costs
// that much. False: nothing was taken, and meter_take knows.
static inline bool bucket_take_now(struct bucket *bucket, uint64_t depth, bool alone, uint64_t now,
				   uint64_t cost)
{
	uint64_t full_at = atomic_load_explicit(&bucket->full_at, memory_order_relaxed);
	uint64_t owed = full_at - now;

	if ((int64_t)owed < 0)
		owed = 0;
	// Neither is near the end of the numbers.
	if (__builtin_expect(owed + cost > depth, 0))
		return false;
	if (alone) {
		atomic_store_explicit(&bucket->full_at, now + owed + cost, memory_order_relaxed);
		return true;
	}
	return atomic_compare_exchange_strong_explicit(&bucket->full_at, &full_at,
						       now + owed + cost, memory_order_relaxed,
						       memory_order_relaxed);
}

// Gives back what was taken of a packet that was of this colour, because it goes no further.
static inline void meter_give(struct meter *meter, const struct meter_profile *profile,
			      enum meter_colour colour, uint32_t bytes)
{
	if (colour == METER_GREEN)
		bucket_give(&meter->committed, bucket_cost(&profile->committed, bytes),
			    profile->committed.alone);
	if (colour != METER_RED && profile->outer.cost)
		bucket_give(&meter->outer, bucket_cost(&profile->outer, bytes),
			    profile->outer.alone);
}
