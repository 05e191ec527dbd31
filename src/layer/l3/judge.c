// Forwarding between the networks of a Vrf: what was sent to the gateway's MAC address goes to the
// Port that has the destination address, or that a Route names, with new MAC addresses and one hop
// less.

#include "layer/external/external.h"
#include "layer/l3/l3.h"
#include "layer/route/route.h"

static bool is_gateway(const struct walk *walk)
{
	const struct ip_address *destination = &walk->leaving.destination;
	struct ip_address own;

	if (!ip_is_v4(destination) && ip_is_link_local(destination)) {
		own = ip_link_local_of(&walk->network->gateway_mac);
		return ip_equal(destination, &own);
	}
	return lookup_find(&walk->tables->by_gateway,
			   lookup_key_address(walk->network->domain, destination));
}

// Back to who is outside by the node that has brought the connection: that one knows it. 0: no such
// connection.
static uint32_t find_way_back(const struct walk *walk)
{
	uint32_t behind = walk->brought_by
				  ? external_find_behind(walk->tables, walk->network->number,
							 walk->brought_by)
				  : 0;

	return behind && !route_find_sender(walk->tables, walk->network->domain, walk->brought_by,
					    &walk->leaving.destination)
		       ? behind
		       : 0;
}

static const char *what_is(const struct endpoint *endpoint, bool back)
{
	return endpoint->external ? "router" : back ? "who is outside, by node" : "port";
}

static enum verdict judge(struct walk *walk, const void *tables)
{
	const struct packet *packet = walk->packet;
	const struct ip_address *destination = &walk->leaving.destination;
	char text[IP_TEXT_SIZE];
	enum drop_reason reason;
	uint32_t found, back;

	if (walk->destination || walk->to_gateway)
		return VERDICT_NEXT;
	if (is_gateway(walk)) {
		walk->to_gateway = true;
		walk_say(walk, "%s is the gateway itself", ip_format(destination, text));
		return VERDICT_NEXT;
	}
	if (!walk->domain && walk->network->external) {
		walk_say(walk, "%s is known outside only", ip_format(destination, text));
		return walk_drop(walk, DROP_NO_ROUTE);
	}
	if (!walk->network->routed && !walk->network->external) {
		walk_say(walk, "network %s has no Vrf", walk->network->name);
		return walk_drop(walk, DROP_NOT_ROUTED);
	}
	if (ip_is_link_local(destination) || ip_is_link_local(&packet->source)) {
		walk_say(walk, "link-local addresses are not routed");
		return walk_drop(walk, tables_find_subnet(walk->tables, walk->domain, destination)
					       ? DROP_NO_HOST
					       : DROP_NO_ROUTE);
	}
	back = find_way_back(walk);
	found = back;
	reason = back ? DROP_NONE : route_resolve(walk, &found);
	if (reason != DROP_NONE)
		return walk_drop(walk, reason);
	walk->destination = &walk->tables->endpoints[found];
	// A workload can talk to itself by an address that is translated to its own, if it can't
	// tell (RFC 4787 REQ-9).
	if (walk->destination == walk->source &&
	    ip_equal(&walk->leaving.source, &packet->key.source))
		return walk_drop(walk, DROP_HAIRPIN);
	if (packet->ttl <= 1) {
		walk_say(walk, "the hop limit ends here");
		return walk_drop(walk, DROP_TTL);
	}
	walk->action.destination = found;
	walk->action.flags |= FLOW_ACTION_ROUTE;
	walk_say(walk, "%s: to %s %s in network %s", ip_format(destination, text),
		 what_is(walk->destination, back),
		 tables_detail(walk->tables, walk->destination)->name,
		 walk->tables->networks[walk->destination->network].name);
	return VERDICT_NEXT;
}

const struct layer l3_layer = {
	.name = "l3",
	.kind = LAYER_DIRECTION,
	.judge = judge,
};
