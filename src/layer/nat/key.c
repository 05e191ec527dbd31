// Keys of what comes from outside to a FloatingIp. Both keys of a connection have to be one
// worker's, and neither of its ends can be chosen: so the one outside says in its flags by what its
// shard differs from that of the end inside.

#include "layer/nat/nat.h"
#include "layer/nat/tables.h"

void nat_key_shift(const struct tables *tables, struct flow_key *key)
{
	const struct network *network = tables_network(tables, key->network);
	const struct nat_tables *nat = tables->nat;
	const struct nat_floating *floating;
	uint32_t found;

	key->flags &= (uint8_t)~FLOW_KEY_SHIFT;
	if (!network || !network->external)
		return;
	found = lookup_find(&nat->floating_by_external,
			    lookup_key_address(key->network, &key->destination));
	if (!found)
		return;
	floating = &nat->floating[found - 1];
	key->flags |= nat_mappings_shift(nat->mappings, &floating->external, &floating->internal,
					 key->destination_port);
}
