#include "base/lookup.h"

#include <stdlib.h>

#define LARGE 8192

static void put(struct lookup *lookup, struct lookup_key key, uint32_t value)
{
	uint32_t slot = lookup_slot(lookup, key);

	while (lookup->entries[slot].value &&
	       memcmp(&lookup->entries[slot].key, &key, sizeof(key)) != 0)
		slot = (slot + 1) & lookup->mask;
	if (!lookup->entries[slot].value)
		lookup->count++;
	lookup->entries[slot].key = key;
	lookup->entries[slot].value = value;
}

// Half full is enough, and probes end soon. Large maps cost memory, more than a probe.
static bool is_full(uint32_t count, uint32_t mask)
{
	return mask < LARGE ? count * 2 > mask : count > mask / 4 * 3;
}

bool lookup_add(struct lookup *lookup, struct lookup_key key, uint32_t value)
{
	if (!lookup->entries || is_full(lookup->count, lookup->mask)) {
		struct lookup grown = {.mask = lookup->entries ? lookup->mask * 2 + 1 : 15};

		grown.entries = calloc(grown.mask + 1, sizeof(*grown.entries));
		if (!grown.entries)
			return false;
		for (uint32_t i = 0; lookup->entries && i <= lookup->mask; i++)
			if (lookup->entries[i].value)
				put(&grown, lookup->entries[i].key, lookup->entries[i].value);
		free(lookup->entries);
		*lookup = grown;
	}
	put(lookup, key, value);
	return true;
}

bool lookup_reserve(struct lookup *lookup, uint32_t count)
{
	lookup->mask = 15;
	// As lookup_add would come to.
	while (is_full(count, lookup->mask))
		lookup->mask = lookup->mask * 2 + 1;
	lookup->entries = calloc((size_t)lookup->mask + 1, sizeof(*lookup->entries));
	return lookup->entries != NULL;
}

void lookup_free(struct lookup *lookup)
{
	free(lookup->entries);
	memset(lookup, 0, sizeof(*lookup));
}
