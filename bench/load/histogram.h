// A histogram of durations whose buckets are as wide as a 64th of the durations in them.

#pragma once

#include <stdint.h>

#define HISTOGRAM_BITS	  6
#define HISTOGRAM_BUCKETS ((65 - HISTOGRAM_BITS) << HISTOGRAM_BITS)

struct histogram {
	uint64_t count;
	uint64_t max;
	uint64_t buckets[HISTOGRAM_BUCKETS];
};

static inline unsigned int histogram_bucket(uint64_t value)
{
	unsigned int shift;

	if (value < 2u << HISTOGRAM_BITS)
		return (unsigned int)value;
	shift = 63 - HISTOGRAM_BITS - (unsigned int)__builtin_clzll(value);
	return (unsigned int)((shift << HISTOGRAM_BITS) + (value >> shift));
}

static inline void histogram_add(struct histogram *histogram, uint64_t value)
{
	histogram->count++;
	histogram->buckets[histogram_bucket(value)]++;
	if (value > histogram->max)
		histogram->max = value;
}

// Takes what is in `from` over, which is empty then.
void histogram_merge(struct histogram *to, struct histogram *from);
// The value that `part` (0 to 1) of all don't exceed, to 0.8 %. 0 for an empty one.
uint64_t histogram_quantile(const struct histogram *histogram, double part);
