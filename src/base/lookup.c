#include "base/lookup.h"

#include <stdlib.h>

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

bool lookup_add(struct lookup *lookup, struct lookup_key key, uint32_t value)
{
	// At most half full: a probe ends soon.
	if (!lookup->entries || lookup->count * 2 > lookup->mask) {
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
	while (count * 2 > lookup->mask)
		lookup->mask = lookup->mask * 2 + 1;
	lookup->entries = calloc((size_t)lookup->mask + 1, sizeof(*lookup->entries));
	return lookup->entries != NULL;
}

void lookup_free(struct lookup *lookup)
{
	free(lookup->entries);
	memset(lookup, 0, sizeof(*lookup));
}
