// Connections that use a mapping: they take it when they begin, and give it back at their end.

#include "flow/flow.h"
#include "layer/nat/nat.h"
#include "layer/nat/tables.h"

static struct nat_inside inside_of(const struct flow_key *key, uint16_t owner)
{
	return (struct nat_inside){
		.address = key->source,
		.port = key->source_port,
		.network = key->network,
		.owner = owner,
		.protocol = key->protocol,
	};
}

bool nat_connection_begins(const struct walk *walk, uint32_t now)
{
	struct nat_inside inside = inside_of(&walk->packet->key, walk->ingress.port);
	struct nat_choice choice = {
		.address = walk->leaving.source,
		.port = walk->leaving.source_port,
		.shared = walk->mapping_shared,
		.number = walk->mapping,
	};

	return nat_mappings_take(walk->tables->nat->mappings, &inside, &choice, now);
}

void nat_connection_fails(const struct walk *walk)
{
	struct nat_inside inside = inside_of(&walk->packet->key, walk->ingress.port);

	nat_mappings_release(walk->tables->nat->mappings, &inside, &walk->leaving.source,
			     walk->leaving.source_port, 0);
}

// The port of an end that has waited in TIME-WAIT need not wait again (RFC 6888 REQ-8).
void nat_connection_ended(void *context, const struct flow *flow)
{
	const struct flow_key *back = &flow->direction[FLOW_REPLY].key;
	struct nat_inside inside = inside_of(&flow->direction[FLOW_ORIGINAL].key, 0);
	bool waited = flow_state_get(&flow->account) == FLOW_STATE_TIME_WAIT;

	nat_mappings_release(context, &inside, &back->destination, back->destination_port,
			     waited ? 0 : NAT_HOLD);
}

uint32_t nat_turn(const struct tables *tables, uint32_t worker, uint32_t now)
{
	struct nat_mappings *mappings = tables->nat ? tables->nat->mappings : NULL;

	return mappings ? nat_mappings_expire(mappings, worker, now) : 0;
}
