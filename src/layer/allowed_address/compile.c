#include "layer/allowed_address/compile.h"

#include <stdlib.h>

#include "layer/allowed_address/allowed_address.h"
#include "layer/compare.h"

struct claim {
	struct ip_prefix prefix;
	uint64_t owner; // node << 32 | endpoint
	uint16_t domain;
};

static int compare_claims(const void *a, const void *b)
{
	const struct claim *x = a, *y = b;
	int order = (int)x->domain - (int)y->domain;

	if (!order)
		order = prefix_compare(&x->prefix, &y->prefix);
	if (!order)
		order = x->owner < y->owner ? -1 : x->owner > y->owner;
	return order;
}

static int compare_groups(const void *a, const void *b)
{
	return (int)*(const uint16_t *)a - (int)*(const uint16_t *)b;
}

// All claims in order, each once.
static uint32_t collect(const struct tables *tables, struct claim *claims)
{
	uint32_t count = tables->allowed_count, kept = 0;

	for (uint32_t i = 0; i < count; i++) {
		const struct domain_prefix *allowed = &tables->allowed[i];
		uint16_t peer = tables->endpoints[allowed->endpoint].peer;

		claims[i] = (struct claim){.prefix = allowed->prefix,
					   .owner = (uint64_t)peer << 32 | allowed->endpoint,
					   .domain = allowed->domain};
	}
	if (count)
		qsort(claims, count, sizeof(*claims), compare_claims);
	for (uint32_t i = 0; i < count; i++)
		if (!kept || compare_claims(&claims[kept - 1], &claims[i]) != 0)
			claims[kept++] = claims[i];
	return kept;
}

static const struct endpoint_detail *detail_of(const struct tables *tables,
					       const struct claim *claim)
{
	return &tables->details[(uint32_t)claim->owner];
}

// Adds the groups of one prefix's owners behind those of the prefixes before it.
static uint32_t add_groups(const struct tables *tables, const struct claim *claims, uint32_t count,
			   uint16_t *groups, uint32_t first)
{
	uint32_t end = first, kept = first;

	for (uint32_t i = 0; i < count; i++) {
		const struct endpoint_detail *detail = detail_of(tables, &claims[i]);

		memcpy(groups + end, detail->groups, detail->group_count * sizeof(*groups));
		end += detail->group_count;
	}
	if (end > first)
		qsort(groups + first, end - first, sizeof(*groups), compare_groups);
	for (uint32_t i = first; i < end; i++)
		if (kept == first || groups[kept - 1] != groups[i])
			groups[kept++] = groups[i];
	return kept;
}

static bool same_prefix(const struct claim *a, const struct claim *b)
{
	return prefix_compare(&a->prefix, &b->prefix) == 0;
}

static bool build_lists(const struct tables *tables, struct allowed_map *map,
			const struct claim *claims, uint32_t count, struct ip_prefix *prefixes)
{
	uint32_t groups = 0;

	for (uint32_t i = 0; i < count; i++)
		groups += detail_of(tables, &claims[i])->group_count;
	map->outer = malloc((size_t)count * sizeof(*map->outer));
	map->first_owner = malloc((count + (size_t)1) * sizeof(*map->first_owner));
	map->owners = malloc((size_t)count * sizeof(*map->owners));
	map->first_group = malloc((count + (size_t)1) * sizeof(*map->first_group));
	map->groups = malloc((groups + (size_t)1) * sizeof(*map->groups));
	if (!map->outer || !map->first_owner || !map->owners || !map->first_group || !map->groups)
		return false;
	map->first_group[0] = 0;
	for (uint32_t i = 0, end; i < count; i = end) {
		for (end = i; end < count && same_prefix(&claims[i], &claims[end]); end++)
			map->owners[end] = claims[end].owner;
		prefixes[map->count] = claims[i].prefix;
		map->first_owner[map->count] = i;
		map->first_group[map->count + 1] = add_groups(
			tables, claims + i, end - i, map->groups, map->first_group[map->count]);
		map->count++;
	}
	map->first_owner[map->count] = count;
	return prefix_map_build(&map->prefixes, prefixes, map->count, map->outer);
}

static bool build_maps(const struct tables *tables, struct allowed_addresses *allowed,
		       const struct claim *claims, uint32_t count, struct ip_prefix *prefixes)
{
	uint32_t domains = 0;

	for (uint32_t i = 0; i < count; i++)
		domains += i == 0 || claims[i].domain != claims[i - 1].domain;
	allowed->maps = calloc(domains + (size_t)1, sizeof(*allowed->maps));
	if (!allowed->maps)
		return false;
	for (uint32_t i = 0, end; i < count; i = end) {
		for (end = i; end < count && claims[end].domain == claims[i].domain; end++)
			;
		if (!build_lists(tables, &allowed->maps[allowed->count++], claims + i, end - i,
				 prefixes) ||
		    !lookup_add(&allowed->by_domain, (struct lookup_key){{claims[i].domain, 0, 0}},
				allowed->count))
			return false;
	}
	return true;
}

// Did nothing change that they are made of?
static bool is_kept(const struct tables *tables, const struct tables *previous)
{
	if (!previous || tables->allowed_count != previous->allowed_count)
		return false;
	for (uint32_t i = 0; i < tables->allowed_count; i++) {
		const struct domain_prefix *now = &tables->allowed[i];
		const struct domain_prefix *before = &previous->allowed[i];

		// Same lists: same prefixes, and same groups.
		if (now->domain != before->domain || now->endpoint != before->endpoint ||
		    tables->endpoints[now->endpoint].peer !=
			    previous->endpoints[before->endpoint].peer ||
		    tables->details[now->endpoint].lists !=
			    previous->details[before->endpoint].lists)
			return false;
	}
	return true;
}

bool allowed_addresses_compile(const struct compile *compile)
{
	struct tables *tables = compile->tables;
	struct allowed_addresses *allowed;
	struct ip_prefix *prefixes;
	struct claim *claims;
	bool built;

	if (is_kept(tables, compile->previous)) {
		tables->allowed_addresses = compile->previous->allowed_addresses;
		tables->allowed_addresses->references++;
		return true;
	}
	allowed = calloc(1, sizeof(*allowed));
	if (!allowed)
		return false;
	allowed->references = 1;
	tables->allowed_addresses = allowed;
	claims = malloc((tables->allowed_count + (size_t)1) * sizeof(*claims));
	prefixes = malloc((tables->allowed_count + (size_t)1) * sizeof(*prefixes));
	built = claims && prefixes &&
		build_maps(tables, allowed, claims, collect(tables, claims), prefixes);
	free(claims);
	free(prefixes);
	return built;
}

void allowed_addresses_free(struct tables *tables)
{
	struct allowed_addresses *allowed = tables->allowed_addresses;

	if (!allowed || --allowed->references)
		return;
	for (uint32_t i = 0; i < allowed->count; i++) {
		struct allowed_map *map = &allowed->maps[i];

		prefix_map_free(&map->prefixes);
		free(map->outer);
		free(map->first_owner);
		free(map->owners);
		free(map->first_group);
		free(map->groups);
	}
	free(allowed->maps);
	lookup_free(&allowed->by_domain);
	free(allowed);
}

static bool map_equal(const struct allowed_map *a, const struct allowed_map *b)
{
	if (a->count != b->count || !prefix_map_equal(&a->prefixes, &b->prefixes))
		return false;
	return memcmp(a->outer, b->outer, a->count * sizeof(*a->outer)) == 0 &&
	       memcmp(a->first_owner, b->first_owner, (a->count + 1) * sizeof(*a->first_owner)) ==
		       0 &&
	       memcmp(a->first_group, b->first_group, (a->count + 1) * sizeof(*a->first_group)) ==
		       0 &&
	       memcmp(a->owners, b->owners, a->first_owner[a->count] * sizeof(*a->owners)) == 0 &&
	       memcmp(a->groups, b->groups, a->first_group[a->count] * sizeof(*a->groups)) == 0;
}

bool allowed_addresses_equal(const struct tables *x, const struct tables *y)
{
	const struct allowed_addresses *a = x->allowed_addresses, *b = y->allowed_addresses;

	if (a->count != b->count || !lookup_equal(&a->by_domain, &b->by_domain))
		return false;
	for (uint32_t i = 0; i < a->count; i++)
		if (!map_equal(&a->maps[i], &b->maps[i]))
			return false;
	return true;
}
