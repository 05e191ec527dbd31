// From the tables to the kernel's map of addresses: what of an uplink's packets is Sluice's.

#include "port/claims.h"

#include <stdlib.h>

#include "base/log.h"
#include "control/control.h"
#include "layer/external/external.h"

static uint32_t add(struct claim *list, uint32_t count, const struct tables *tables,
		    const struct external_prefixes *prefixes)
{
	for (uint32_t i = 0; i < prefixes->count; i++) {
		const struct external_prefix *entry = &prefixes->list[i];
		const struct network *network = &tables->networks[entry->network];

		if (external_is_here(tables, network))
			list[count++] = (struct claim){.vlan = network->vlan,
						       .value = CLAIM_OURS,
						       .prefix = entry->prefix};
	}
	return count;
}

// Who moves to another MAC address, or is back, says so to all. A Route may name an address that is
// ours, and stays so.
static uint32_t add_heard(struct claim *list, uint32_t count, const struct tables *tables,
			  uint16_t network, const struct ip_address *address)
{
	if (!external_find_claim(tables, network, address) &&
	    !external_find_inside(tables, network, address))
		list[count++] = (struct claim){.vlan = tables->networks[network].vlan,
					       .value = CLAIM_HEARD,
					       .prefix = {.address = *address, .length = 128}};
	return count;
}

void control_claim(struct control *control, const struct tables *tables)
{
	const struct externals *externals = tables->externals;
	uint32_t count = 0;
	struct claim *list;

	if (!control->claims)
		return;
	list = malloc((externals->claims.count + externals->inside.count + externals->hop_count +
		       externals->watched_count + (size_t)1) *
		      sizeof(*list));
	if (list && tables->underlay.present)
		list[count++] = (struct claim){
			.value = CLAIM_OURS,
			.prefix = {.address = tables->underlay.vtep.address, .length = 128}};
	if (list) {
		count = add(list, count, tables, &externals->claims);
		count = add(list, count, tables, &externals->inside);
		for (uint32_t i = 0; i < externals->hop_count; i++)
			count = add_heard(list, count, tables, externals->hops[i].network,
					  &externals->hops[i].address);
		for (uint32_t i = 0; i < externals->watched_count; i++)
			count = add_heard(list, count, tables, externals->watched[i].network,
					  &externals->watched[i].address);
	}
	if (!list || !claims_set(control->claims, list, count))
		log_error("the kernel keeps packets on the uplink that are Sluice's");
	free(list);
}
