#include <endian.h>

#include "layer/external/external.h"

// As prefix_compare would have it of a host's address, which each packet from outside asks for.
static inline bool is_behind(const struct external_prefix *entry, uint16_t network,
			     const struct ip_address *address)
{
	const struct ip_address *first = &entry->prefix.address;
	bool v4 = ip_is_v4(first);

	if (entry->network != network)
		return entry->network > network;
	if (v4 != ip_is_v4(address))
		return !v4;
	if (first->halves[0] != address->halves[0])
		return be64toh(first->halves[0]) > be64toh(address->halves[0]);
	return be64toh(first->halves[1]) > be64toh(address->halves[1]);
}

static const struct external_prefix *find(const struct external_prefixes *prefixes,
					  uint16_t network, const struct ip_address *address)
{
	uint32_t first = 0, end = prefixes->count;
	const struct external_prefix *found;

	while (first < end) {
		uint32_t middle = first + (end - first) / 2;

		if (is_behind(&prefixes->list[middle], network, address))
			end = middle;
		else
			first = middle + 1;
	}
	found = first ? &prefixes->list[first - 1] : NULL;
	return found && found->network == network && ip_in_prefix(address, &found->prefix) ? found
											   : NULL;
}

const struct external_prefix *external_find_claim(const struct tables *tables, uint16_t network,
						  const struct ip_address *address)
{
	return find(&tables->externals->claims, network, address);
}

static const struct external_share *share_of(const struct tables *tables,
					     const struct external_prefix *claim)
{
	return claim->share ? &tables->externals->shares[claim->share - 1] : NULL;
}

bool external_share_is_ours(const struct externals *externals, const struct external_share *share)
{
	for (uint32_t i = 0; i < share->count; i++)
		if (!atomic_load_explicit(&externals->watched[share->first + i].neighbour->down,
					  memory_order_relaxed))
			return false;
	return true;
}

bool external_answers(const struct tables *tables, const struct external_prefix *claim)
{
	const struct external_share *share = share_of(tables, claim);

	return !claim->shared || (share && external_share_is_ours(tables->externals, share));
}

bool external_fell_silent(const struct tables *tables, const struct external_prefix *claim,
			  uint32_t second)
{
	const struct external_share *share = share_of(tables, claim);

	for (uint32_t i = 0; share && i < share->count; i++)
		if ((int32_t)(tables->externals->watched[share->first + i].neighbour->down_since -
			      second) > 0)
			return true;
	return false;
}

const struct external_watched *external_find_watched(const struct tables *tables, uint16_t network,
						     const struct ip_address *address)
{
	const struct externals *externals = tables->externals;
	uint32_t index = lookup_find(&externals->by_watched, lookup_key_address(network, address));

	return index ? &externals->watched[index - 1] : NULL;
}

uint16_t external_find_inside(const struct tables *tables, uint16_t network,
			      const struct ip_address *address)
{
	const struct external_prefix *found = find(&tables->externals->inside, network, address);

	return found ? found->domain : 0;
}

const struct network *external_of_vlan(const struct tables *tables, uint16_t vlan)
{
	return tables_network(tables, lookup_find(&tables->externals->by_vlan,
						  (struct lookup_key){{vlan, 0, 0}}));
}

uint32_t external_find_hop(const struct tables *tables, uint16_t network,
			   const struct ip_address *address)
{
	const struct externals *externals = tables->externals;
	uint32_t index = lookup_find(&externals->by_hop, lookup_key_address(network, address));

	return index ? externals->first_endpoint + index - 1 : 0;
}

uint32_t external_find_behind(const struct tables *tables, uint16_t network, uint16_t peer)
{
	const struct externals *externals = tables->externals;
	uint32_t index =
		lookup_find(&externals->by_behind, (struct lookup_key){{network, peer, 0}});

	return index ? externals->first_endpoint + externals->hop_count + index - 1 : 0;
}
