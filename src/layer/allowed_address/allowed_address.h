// Who may use an address beside its own Port: allowedAddresses, by routing domain, found without
// looking at those of all Ports. A prefix's number is its place in its map, beginning with 1, as
// base/prefix_map.h says.

#pragma once

#include "base/prefix_map.h"
#include "layer/tables.h"

// Of one routing domain. Lists by prefix number - 1, with the end in the next place.
struct allowed_map {
	struct prefix_map prefixes;
	uint32_t count;
	uint32_t *outer; // the number of the prefix around this one, or 0
	uint32_t *first_owner;
	uint64_t *owners; // node << 32 | endpoint, in order
	uint32_t *first_group;
	uint16_t *groups; // of all owners, in order, each once
};

// Shared by generations in which nothing of it differs.
struct allowed_addresses {
	uint32_t references;	 // control thread
	struct lookup by_domain; // (domain) to index + 1
	struct allowed_map *maps;
	uint32_t count;
};

static inline const struct allowed_map *allowed_map_of(const struct tables *tables, uint16_t domain)
{
	const struct allowed_addresses *allowed = tables->allowed_addresses;
	uint32_t index = lookup_find(&allowed->by_domain, (struct lookup_key){{domain, 0, 0}});

	return index ? &allowed->maps[index - 1] : NULL;
}

// The first Port of the node that may use the address, or 0.
uint32_t allowed_address_find(const struct tables *tables, uint16_t domain, uint16_t peer,
			      const struct ip_address *address);

// Is the address the Port's own, or in its allowedAddresses?
bool allowed_address_may_use(const struct tables *tables, const struct endpoint *endpoint,
			     const struct ip_address *address);
