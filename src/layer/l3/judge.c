// Forwarding between the networks of a Vrf: what was sent to the gateway's MAC address goes to the
// Port that has the destination address, with new MAC addresses and one hop less.

#include "layer/l3/l3.h"

static bool is_gateway(const struct walk *walk)
{
	const struct ip_address *destination = &walk->packet->destination;
	struct ip_address own;

	if (!ip_is_v4(destination) && ip_is_link_local(destination)) {
		own = ip_link_local_of(&walk->network->gateway_mac);
		return ip_equal(destination, &own);
	}
	return lookup_find(&walk->tables->by_gateway,
			   lookup_key_address(walk->network->domain, destination));
}

static enum verdict judge(struct walk *walk, const void *tables)
{
	const struct packet *packet = walk->packet;
	uint16_t domain = walk->network->domain;
	char text[IP_TEXT_SIZE];
	uint32_t found;

	if (walk->destination)
		return VERDICT_NEXT;
	if (is_gateway(walk)) {
		walk->to_gateway = true;
		walk_say(walk, "%s is the gateway itself", ip_format(&packet->destination, text));
		return VERDICT_NEXT;
	}
	if (!walk->network->routed) {
		walk_say(walk, "network %s has no Vrf", walk->network->name);
		return walk_drop(walk, DROP_NOT_ROUTED);
	}
	found = ip_is_link_local(&packet->destination) || ip_is_link_local(&packet->source)
			? 0
			: tables_find_address(walk->tables, domain, &packet->destination);
	if (!found) {
		// One that several ports may have need not be in a subnet.
		bool known = tables_find_subnet(walk->tables, domain, &packet->destination) ||
			     tables_find_shared(walk->tables, domain, &packet->destination);

		walk_say(walk, "no %s for %s", known ? "port" : "subnet",
			 ip_format(&packet->destination, text));
		return walk_drop(walk, known ? DROP_NO_HOST : DROP_NO_ROUTE);
	}
	walk->destination = &walk->tables->endpoints[found];
	if (walk->destination == walk->source)
		return walk_drop(walk, DROP_HAIRPIN);
	if (packet->ttl <= 1) {
		walk_say(walk, "the hop limit ends here");
		return walk_drop(walk, DROP_TTL);
	}
	walk->action.destination = found;
	walk->action.flags |= FLOW_ACTION_ROUTE;
	walk_say(walk, "%s is port %s in network %s", ip_format(&packet->destination, text),
		 tables_detail(walk->tables, walk->destination)->name,
		 walk->tables->networks[walk->destination->network].name);
	return VERDICT_NEXT;
}

const struct layer l3_layer = {
	.name = "l3",
	.kind = LAYER_DIRECTION,
	.judge = judge,
};
