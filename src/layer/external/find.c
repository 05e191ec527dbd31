#include "base/prefix_map.h"
#include "layer/external/external.h"

static bool is_behind(const struct external_prefix *entry, uint16_t network,
		      const struct ip_prefix *host)
{
	if (entry->network != network)
		return entry->network > network;
	return prefix_compare(&entry->prefix, host) > 0;
}

static const struct external_prefix *find(const struct external_prefixes *prefixes,
					  uint16_t network, const struct ip_address *address)
{
	struct ip_prefix host = {.address = *address, .length = 128};
	uint32_t first = 0, end = prefixes->count;
	const struct external_prefix *found;

	while (first < end) {
		uint32_t middle = first + (end - first) / 2;

		if (is_behind(&prefixes->list[middle], network, &host))
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
