#include "layer/shared_address/owner.h"
#include "layer/tables.h"

bool tables_is_candidate(const struct tables *tables, const struct shared_address *shared,
			 const struct endpoint *endpoint)
{
	uint32_t index = (uint32_t)(endpoint - tables->endpoints), first = 0;
	uint32_t end = shared->candidate_count;

	while (first < end) {
		uint32_t middle = first + (end - first) / 2;

		if (shared->candidates[middle] < index)
			first = middle + 1;
		else
			end = middle;
	}
	return first < shared->candidate_count && shared->candidates[first] == index;
}

uint32_t tables_owner(const struct tables *tables, const struct shared_address *shared)
{
	uint64_t port = atomic_load_explicit(&shared->owner->port, memory_order_acquire);
	struct mac_address mac;
	uint32_t found;

	if (!port)
		return 0;
	memcpy(&mac, &port, sizeof(mac));
	found = tables_find_mac(tables, (uint16_t)(port >> 48), &mac);
	// It may have been removed, or lost the address, since it spoke.
	return found && tables_is_candidate(tables, shared, &tables->endpoints[found]) ? found : 0;
}

struct ip_address network_own_address(const struct network *network, bool v4)
{
	if (!v4)
		return ip_link_local_of(&network->gateway_mac);
	for (uint32_t i = 0; i < network->subnet_count; i++)
		if (network->subnets[i].has_gateway && ip_is_v4(&network->subnets[i].gateway))
			return network->subnets[i].gateway;
	return ip_from_v4(0);
}
