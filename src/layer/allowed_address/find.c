#include "layer/allowed_address/allowed_address.h"

// A few are compared as quickly as they are found.
#define LIST_MAX 8

static uint64_t owner_of(uint16_t peer, uint32_t endpoint)
{
	return (uint64_t)peer << 32 | endpoint;
}

// The prefix's first owner that is not before `from`, or UINT64_MAX.
static uint64_t find_owner(const struct allowed_map *map, uint32_t number, uint64_t from)
{
	uint32_t first = map->first_owner[number - 1], end = map->first_owner[number];
	uint32_t last = end;

	while (first < end) {
		uint32_t middle = first + (end - first) / 2;

		if (map->owners[middle] < from)
			first = middle + 1;
		else
			end = middle;
	}
	return first < last ? map->owners[first] : UINT64_MAX;
}

uint32_t allowed_address_find(const struct tables *tables, uint16_t domain, uint16_t peer,
			      const struct ip_address *address)
{
	const struct allowed_map *map = allowed_map_of(tables, domain);
	uint32_t number = map ? prefix_map_find(&map->prefixes, address) : 0;
	uint64_t best = owner_of(peer, UINT32_MAX);

	for (; number; number = map->outer[number - 1]) {
		uint64_t owner = find_owner(map, number, owner_of(peer, 0));

		if (owner < best)
			best = owner;
	}
	return best == owner_of(peer, UINT32_MAX) ? 0 : (uint32_t)best;
}

static bool is_in_lists(const struct endpoint_detail *detail, const struct ip_address *address)
{
	for (uint32_t i = 0; i < detail->address_count; i++)
		if (ip_equal(address, &detail->addresses[i]))
			return true;
	for (uint32_t i = 0; i < detail->allowed_count; i++)
		if (ip_in_prefix(address, &detail->allowed[i]))
			return true;
	return false;
}

bool allowed_address_may_use(const struct tables *tables, const struct endpoint *endpoint,
			     const struct ip_address *address)
{
	const struct endpoint_detail *detail = tables_detail(tables, endpoint);
	uint16_t domain = tables->networks[endpoint->network].domain;
	uint32_t index = (uint32_t)(endpoint - tables->endpoints), number;
	const struct allowed_map *map;
	uint64_t owner;

	if (detail->address_count + detail->allowed_count <= LIST_MAX)
		return is_in_lists(detail, address);
	if (lookup_find(&tables->by_address, lookup_key_address(domain, address)) == index)
		return true;
	map = allowed_map_of(tables, domain);
	number = map && detail->allowed_count ? prefix_map_find(&map->prefixes, address) : 0;
	owner = owner_of(endpoint->peer, index);
	for (; number; number = map->outer[number - 1])
		if (find_owner(map, number, owner) == owner)
			return true;
	return false;
}
