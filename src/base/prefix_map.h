// Which of many IP prefixes holds an address? A read-only map from addresses to the longest such
// prefix: built once when tables are compiled, then read by workers. The prefixes cut the addresses
// of each family into intervals; the intervals' first addresses form a static tree with a cache
// line a node, so that 100 000 prefixes take five (IPv4) or nine (IPv6) lines to search.

#pragma once

#include <endian.h>
#include <stddef.h>

#include "base/address.h"

#define PREFIX_TREE_LEVELS 16

// Keys of a level are the first keys of the next level's lines. The last level's are the
// intervals'.
struct prefix_tree {
	void *keys;	  // lines of 64 bytes, by level
	uint32_t *values; // by interval
	uint32_t count;	  // intervals; 0: the family has no prefixes
	uint32_t levels;
	uint32_t starts[PREFIX_TREE_LEVELS + 1]; // a level's first line; the end
};

struct prefix_map {
	struct prefix_tree v4, v6;
};

// `prefixes` are in the order of prefix_compare, and each is there once. A prefix's number is its
// place, beginning with 1. Writes into `outer` (one a prefix) the number of the longest other
// prefix that holds it, or 0. The map was zeroed; false without memory, and prefix_map_free is due
// anyway.
bool prefix_map_build(struct prefix_map *map, const struct ip_prefix *prefixes, uint32_t count,
		      uint32_t *outer);
void prefix_map_free(struct prefix_map *map);
bool prefix_map_equal(const struct prefix_map *a, const struct prefix_map *b);
size_t prefix_map_size(const struct prefix_map *map); // bytes beside the structure itself

// IPv4 first; by address; the wider one first.
int prefix_compare(const struct ip_prefix *a, const struct ip_prefix *b);

#define PREFIX_TREE_V4_KEYS 16
#define PREFIX_TREE_V6_KEYS 4

static inline __uint128_t prefix_key_v6(const struct ip_address *address)
{
	return (__uint128_t)be64toh(address->halves[0]) << 64 | be64toh(address->halves[1]);
}

// Lines are filled up with the largest key, which may be the one that is looked for.
static inline uint32_t prefix_tree_step(const struct prefix_tree *tree, uint32_t level,
					uint32_t place)
{
	uint32_t end = level + 1 < tree->levels ? tree->starts[level + 2] - tree->starts[level + 1]
						: tree->count;

	return place < end ? place : end - 1;
}

static inline uint32_t prefix_tree_find_v4(const struct prefix_tree *tree, uint32_t key)
{
	const uint32_t(*lines)[PREFIX_TREE_V4_KEYS] = tree->keys;
	uint32_t line = 0;

	for (uint32_t level = 0; level < tree->levels; level++) {
		const uint32_t *keys = lines[tree->starts[level] + line];
		uint32_t below = 0;

		for (uint32_t i = 0; i < PREFIX_TREE_V4_KEYS; i++)
			below += keys[i] <= key;
		line = prefix_tree_step(tree, level, line * PREFIX_TREE_V4_KEYS + below - 1);
	}
	return tree->values[line];
}

static inline uint32_t prefix_tree_find_v6(const struct prefix_tree *tree, __uint128_t key)
{
	const __uint128_t(*lines)[PREFIX_TREE_V6_KEYS] = tree->keys;
	uint32_t line = 0;

	for (uint32_t level = 0; level < tree->levels; level++) {
		const __uint128_t *keys = lines[tree->starts[level] + line];
		uint32_t below = 0;

		for (uint32_t i = 0; i < PREFIX_TREE_V6_KEYS; i++)
			below += keys[i] <= key;
		line = prefix_tree_step(tree, level, line * PREFIX_TREE_V6_KEYS + below - 1);
	}
	return tree->values[line];
}

// The number of the longest prefix that holds the address, or 0.
static inline uint32_t prefix_map_find(const struct prefix_map *map,
				       const struct ip_address *address)
{
	if (ip_is_v4(address))
		return map->v4.count ? prefix_tree_find_v4(&map->v4, ntohl(address->words[3])) : 0;
	return map->v6.count ? prefix_tree_find_v6(&map->v6, prefix_key_v6(address)) : 0;
}
