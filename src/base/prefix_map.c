#include "base/prefix_map.h"

#include <arpa/inet.h>
#include <stdlib.h>

#define LINE 64

int prefix_compare(const struct ip_prefix *a, const struct ip_prefix *b)
{
	bool a_v4 = ip_is_v4(&a->address), b_v4 = ip_is_v4(&b->address);
	int order;

	if (a_v4 != b_v4)
		return a_v4 ? -1 : 1;
	order = memcmp(&a->address, &b->address, sizeof(a->address));
	return order ? order : (int)a->length - (int)b->length;
}

// Intervals as they are found, of one family.
struct intervals {
	__uint128_t *first;
	uint32_t *values;
	uint32_t count;
};

static __uint128_t first_of(const struct ip_prefix *prefix, bool v4)
{
	return v4 ? ntohl(prefix->address.words[3]) : prefix_key_v6(&prefix->address);
}

static __uint128_t last_of(const struct ip_prefix *prefix, bool v4)
{
	return first_of(prefix, v4) |
	       (prefix->length < 128 ? ~(__uint128_t)0 >> prefix->length : 0);
}

static void begin_interval(struct intervals *intervals, __uint128_t first, uint32_t value)
{
	if (intervals->count && intervals->first[intervals->count - 1] == first)
		intervals->count--;
	intervals->first[intervals->count] = first;
	intervals->values[intervals->count++] = value;
}

// Prefixes nest: those that hold the present address are `inner` and the ones outside of it.
static void find_intervals(const struct ip_prefix *prefixes, uint32_t from, uint32_t end, bool v4,
			   uint32_t *outer, struct intervals *intervals)
{
	__uint128_t highest = v4 ? UINT32_MAX : ~(__uint128_t)0;
	uint32_t inner = 0;

	begin_interval(intervals, 0, 0);
	for (uint32_t i = from; i <= end; i++) {
		__uint128_t start = i < end ? first_of(&prefixes[i], v4) : 0;

		while (inner) {
			__uint128_t last = last_of(&prefixes[inner - 1], v4);

			if (i < end && start <= last)
				break;
			inner = outer[inner - 1];
			if (last != highest)
				begin_interval(intervals, last + 1, inner);
		}
		if (i == end)
			return;
		outer[i] = inner;
		inner = i + 1;
		begin_interval(intervals, start, inner);
	}
}

static void put_key(struct prefix_tree *tree, bool v4, uint32_t place, __uint128_t key)
{
	if (v4)
		((uint32_t *)tree->keys)[place] = (uint32_t)key;
	else
		((__uint128_t *)tree->keys)[place] = key;
}

static bool build_tree(struct prefix_tree *tree, bool v4, const struct intervals *intervals)
{
	uint32_t width = v4 ? PREFIX_TREE_V4_KEYS : PREFIX_TREE_V6_KEYS;
	uint32_t lines[PREFIX_TREE_LEVELS], stride = 1, total = 0;

	// From the intervals upwards, until one line is left.
	for (uint32_t count = intervals->count;; count = lines[tree->levels - 1]) {
		lines[tree->levels] = count / width + (count % width != 0);
		total += lines[tree->levels];
		if (lines[tree->levels++] == 1)
			break;
		stride *= width;
	}
	for (uint32_t level = 0; level < tree->levels; level++)
		tree->starts[level + 1] = tree->starts[level] + lines[tree->levels - 1 - level];
	tree->keys = aligned_alloc(LINE, (size_t)total * LINE);
	tree->values = malloc(intervals->count * sizeof(*tree->values));
	if (!tree->keys || !tree->values)
		return false;
	memset(tree->keys, 0xff, (size_t)total * LINE);
	for (uint32_t level = 0; level < tree->levels; level++, stride /= width)
		for (uint32_t i = 0; (size_t)i * stride < intervals->count; i++)
			put_key(tree, v4, tree->starts[level] * width + i,
				intervals->first[(size_t)i * stride]);
	memcpy(tree->values, intervals->values, intervals->count * sizeof(*tree->values));
	tree->count = intervals->count;
	return true;
}

static bool build_family(struct prefix_tree *tree, const struct ip_prefix *prefixes, uint32_t from,
			 uint32_t end, bool v4, uint32_t *outer)
{
	size_t most = 2 * (size_t)(end - from) + 1;
	struct intervals intervals = {
		.first = malloc(most * sizeof(*intervals.first)),
		.values = malloc(most * sizeof(*intervals.values)),
	};
	bool built = false;

	if (intervals.first && intervals.values) {
		find_intervals(prefixes, from, end, v4, outer, &intervals);
		built = build_tree(tree, v4, &intervals);
	}
	free(intervals.first);
	free(intervals.values);
	return built;
}

bool prefix_map_build(struct prefix_map *map, const struct ip_prefix *prefixes, uint32_t count,
		      uint32_t *outer)
{
	uint32_t v4 = 0;

	while (v4 < count && ip_is_v4(&prefixes[v4].address))
		v4++;
	return (v4 == 0 || build_family(&map->v4, prefixes, 0, v4, true, outer)) &&
	       (v4 == count || build_family(&map->v6, prefixes, v4, count, false, outer));
}

static void tree_free(struct prefix_tree *tree)
{
	free(tree->keys);
	free(tree->values);
	memset(tree, 0, sizeof(*tree));
}

void prefix_map_free(struct prefix_map *map)
{
	tree_free(&map->v4);
	tree_free(&map->v6);
}

static bool tree_equal(const struct prefix_tree *a, const struct prefix_tree *b)
{
	return a->count == b->count && a->levels == b->levels &&
	       memcmp(a->starts, b->starts, sizeof(a->starts)) == 0 &&
	       (!a->count || (memcmp(a->keys, b->keys, (size_t)a->starts[a->levels] * LINE) == 0 &&
			      memcmp(a->values, b->values, a->count * sizeof(*a->values)) == 0));
}

bool prefix_map_equal(const struct prefix_map *a, const struct prefix_map *b)
{
	return tree_equal(&a->v4, &b->v4) && tree_equal(&a->v6, &b->v6);
}

static size_t tree_size(const struct prefix_tree *tree)
{
	return tree->count ? (size_t)tree->starts[tree->levels] * LINE +
				     tree->count * sizeof(*tree->values)
			   : 0;
}

size_t prefix_map_size(const struct prefix_map *map)
{
	return tree_size(&map->v4) + tree_size(&map->v6);
}
