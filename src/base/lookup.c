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

bool lookup_copy(struct lookup *lookup, const struct lookup *from)
{
	size_t size = ((size_t)from->mask + 1) * sizeof(*from->entries);

	if (!from->entries)
		return true;
	lookup->entries = malloc(size);
	if (!lookup->entries)
		return false;
	memcpy(lookup->entries, from->entries, size);
	lookup->mask = from->mask;
	lookup->count = from->count;
	return true;
}

void lookup_remove(struct lookup *lookup, struct lookup_key key)
{
	struct lookup_entry *entries = lookup->entries;
	uint32_t hole, next;

	if (!lookup_find(lookup, key))
		return;
	hole = lookup_slot(lookup, key);
	while (memcmp(&entries[hole].key, &key, sizeof(key)) != 0)
		hole = (hole + 1) & lookup->mask;
	// What would not be found behind an empty slot moves there.
	for (next = (hole + 1) & lookup->mask; entries[next].value;
	     next = (next + 1) & lookup->mask) {
		uint32_t home = lookup_slot(lookup, entries[next].key);

		if (((next - home) & lookup->mask) < ((next - hole) & lookup->mask))
			continue;
		entries[hole] = entries[next];
		hole = next;
	}
	entries[hole].value = 0;
	lookup->count--;
}

void lookup_free(struct lookup *lookup)
{
	free(lookup->entries);
	memset(lookup, 0, sizeof(*lookup));
}
