// Forwarding inside a network: by the destination MAC address, to a Port that the objects name.

#include "layer/external/external.h"
#include "layer/l2/l2.h"

static enum verdict judge(struct walk *walk, const void *tables)
{
	const struct packet *packet = walk->packet;
	char text[MAC_TEXT_SIZE];
	uint32_t found;

	if (mac_is_multicast(&packet->destination_mac) || ip_is_multicast(&packet->destination)) {
		// What the worker replicates has not come here.
		walk_say(walk, "a group's address, and one receiver's MAC address");
		return walk_drop(walk, DROP_MULTICAST);
	}
	// Only what is for this node's own MAC address has come here.
	if (walk->network->external)
		return VERDICT_NEXT;
	if (mac_equal(&packet->destination_mac, &walk->network->gateway_mac)) {
		// The node that has the sender routes; behind a tunnel there are ports only, and
		// those outside to whom connections are answered that have come by this node.
		if (walk->ingress.port == PORT_UPLINK && !external_is_answer(walk))
			return walk_drop(walk, DROP_TUNNEL_DESTINATION);
		walk_say(walk, "network %s: to its gateway", walk->network->name);
		return VERDICT_NEXT;
	}
	found = tables_find_mac(walk->tables, walk->network->number, &packet->destination_mac);
	if (!found) {
		walk_say(walk, "network %s: no port has MAC address %s", walk->network->name,
			 mac_format(&packet->destination_mac, text));
		return walk_drop(walk, DROP_UNKNOWN_MAC);
	}
	walk->destination = &walk->tables->endpoints[found];
	if (walk->destination == walk->source)
		return walk_drop(walk, DROP_HAIRPIN);
	walk->action.destination = found;
	walk_say(walk, "network %s: to port %s", walk->network->name,
		 tables_detail(walk->tables, walk->destination)->name);
	return VERDICT_NEXT;
}

const struct layer l2_layer = {
	.name = "l2",
	.kind = LAYER_DIRECTION,
	.judge = judge,
};
