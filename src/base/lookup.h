// A hash map from 24-byte keys to numbers: built when tables are compiled, or copied from those
// before and changed; from then on only read, by workers.

#pragma once

#include <stdint.h>

#include "base/address.h"

struct lookup_key {
	uint64_t words[3];
};

struct lookup_entry {
	struct lookup_key key;
	uint32_t value; // 0: empty
	uint32_t spare;
};

struct lookup {
	struct lookup_entry *entries;
	uint32_t mask;
	uint32_t count;
};

// `lookup` zeroed is an empty map. Values must not be 0. lookup_add replaces; false without memory.
bool lookup_add(struct lookup *lookup, struct lookup_key key, uint32_t value);

// Room for so many keys at once in an empty map; false without memory.
bool lookup_reserve(struct lookup *lookup, uint32_t count);

// Fills a zeroed map with what another one has; false without memory.
bool lookup_copy(struct lookup *lookup, const struct lookup *from);

// Nothing where the key is not there.
void lookup_remove(struct lookup *lookup, struct lookup_key key);

void lookup_free(struct lookup *lookup);

static inline uint32_t lookup_slot(const struct lookup *lookup, struct lookup_key key)
{
	__uint128_t product =
		(__uint128_t)(key.words[0] ^ 0xa0761d6478bd642f) *
		(key.words[1] ^ key.words[2] * 0x8ebc6af09c88c6e3 ^ 0xe7037ed1a0b428db);

	uint64_t mixed = ((uint64_t)product ^ (uint64_t)(product >> 64)) * 0x9e3779b97f4a7c15;

	// Addresses in a row differ in bits that the product alone would leave near each other.
	return (uint32_t)(mixed >> 32) & lookup->mask;
}

// The value, or 0.
static inline uint32_t lookup_find(const struct lookup *lookup, struct lookup_key key)
{
	uint32_t slot;

	if (lookup->count == 0)
		return 0;
	for (slot = lookup_slot(lookup, key); lookup->entries[slot].value;
	     slot = (slot + 1) & lookup->mask) {
		const struct lookup_key *have = &lookup->entries[slot].key;

		if (((have->words[0] ^ key.words[0]) | (have->words[1] ^ key.words[1]) |
		     (have->words[2] ^ key.words[2])) == 0)
			return lookup->entries[slot].value;
	}
	return 0;
}

// Keys of the kinds in use: a number with an address, with a MAC address, with another number and
// an address.
static inline struct lookup_key lookup_key_address(uint32_t number,
						   const struct ip_address *address)
{
	return (struct lookup_key){{number, address->halves[0], address->halves[1]}};
}

static inline struct lookup_key lookup_key_mac(uint32_t number, const struct mac_address *mac)
{
	struct lookup_key key = {{number, 0, 0}};

	memcpy(&key.words[1], mac, sizeof(*mac));
	return key;
}
