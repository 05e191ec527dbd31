// A token bucket: so many a second on average, and so many at once. State of one thread.

#pragma once

#include <stdbool.h>
#include <stdint.h>

// All zero is a full bucket.
struct rate_limit {
	uint64_t owed; // cycles until the bucket is full again, as of `last`
	uint64_t last; // cycles
};

// Takes `count` tokens if there are so many. `interval` is in cycles, the time of one token;
// `burst` is how many tokens the bucket holds.
static inline bool rate_limit_take_several(struct rate_limit *limit, uint64_t now,
					   uint64_t interval, uint32_t burst, uint32_t count)
{
	uint64_t passed = now - limit->last;

	limit->owed = limit->owed > passed ? limit->owed - passed : 0;
	limit->last = now;
	if (limit->owed + count * interval > burst * interval)
		return false;
	limit->owed += count * interval;
	return true;
}

static inline bool rate_limit_take(struct rate_limit *limit, uint64_t now, uint64_t interval,
				   uint32_t burst)
{
	return rate_limit_take_several(limit, now, interval, burst, 1);
}
