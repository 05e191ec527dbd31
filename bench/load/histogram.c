// The quantiles of histogram.h.

#include "histogram.h"

#include <string.h>

void histogram_merge(struct histogram *to, struct histogram *from)
{
	for (unsigned int i = 0; i < HISTOGRAM_BUCKETS; i++)
		to->buckets[i] += from->buckets[i];
	to->count += from->count;
	if (from->max > to->max)
		to->max = from->max;
	memset(from, 0, sizeof(*from));
}

// The middle of a bucket.
static uint64_t bucket_value(unsigned int bucket)
{
	unsigned int shift;

	if (bucket < 2u << HISTOGRAM_BITS)
		return bucket;
	shift = (bucket >> HISTOGRAM_BITS) - 1;
	return ((uint64_t)(bucket - (shift << HISTOGRAM_BITS)) << shift) + (1ull << shift >> 1);
}

uint64_t histogram_quantile(const struct histogram *histogram, double part)
{
	// At least one, so that a value is found.
	uint64_t wanted = (uint64_t)(part * (double)histogram->count), seen = 0, value;

	wanted = wanted < 1 ? 1 : wanted;
	for (unsigned int i = 0; i < HISTOGRAM_BUCKETS && histogram->count > 0; i++) {
		seen += histogram->buckets[i];
		if (seen < wanted)
			continue;
		value = bucket_value(i);
		return value < histogram->max ? value : histogram->max;
	}
	return histogram->max;
}
