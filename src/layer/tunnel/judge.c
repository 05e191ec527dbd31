// A node is trusted with its own ports' addresses and with nobody else's; one that brings
// connections from outside to members of LoadBalancers, also with those that are outside.

#include "layer/allowed_address/allowed_address.h"
#include "layer/external/external.h"
#include "layer/load_balancer/load_balancer.h"
#include "layer/route/route.h"
#include "layer/tunnel/tunnel.h"

// Who replies to a workload of this node may be a member in another Vrf: that of the virtual
// address.
static uint32_t find_member(const struct walk *walk, uint16_t peer,
			    const struct ip_address *address)
{
	uint16_t home = walk->reply && walk->other
				? balancer_domain(walk->tables, walk->network->domain,
						  &walk->other->destination)
				: 0;

	return home ? route_find_sender(walk->tables, home, peer, address) : 0;
}

static bool source_allowed(struct walk *walk, bool routed)
{
	const struct tables *tables = walk->tables;
	const struct ip_address *address = &walk->packet->source;
	uint16_t peer = walk->ingress.peer, domain = walk->network->domain;
	const struct endpoint *by_mac, *by_address;
	uint32_t sender;

	if (routed) {
		sender = route_find_sender(tables, domain, peer, address);
		if (!sender)
			sender = find_member(walk, peer, address);
		if (sender)
			walk->source = &tables->endpoints[sender];
		return sender || (external_find_behind(tables, walk->network->number, peer) &&
				  route_is_outside(tables, domain, address));
	}
	by_mac = tables_endpoint(
		tables, tables_find_mac(tables, walk->network->number, &walk->packet->source_mac));
	if (!by_mac || by_mac->peer != peer)
		return false;
	walk->source = by_mac;
	if (ip_equal(address, &tables_detail(tables, by_mac)->link_local))
		return true;
	by_address = tables_endpoint(tables, tables_find_address(tables, domain, address));
	return by_address == by_mac || allowed_address_may_use(tables, by_mac, address);
}

static enum verdict judge_source(struct walk *walk, const void *tables)
{
	char text[IP_TEXT_SIZE];
	bool routed;

	if (walk->ingress.port != PORT_UPLINK || !walk->ingress.peer)
		return VERDICT_NEXT;
	// The other node's gateway has routed it, if it comes from the gateway's MAC address.
	routed = mac_equal(&walk->packet->source_mac, &walk->network->gateway_mac);
	if (ip_is_multicast(&walk->packet->source) ||
	    ip_equal(&walk->packet->source, &walk->packet->destination))
		return walk_drop(walk, DROP_MALFORMED);
	if (!source_allowed(walk, routed)) {
		walk_say(walk, "%s is no port of node %s", ip_format(&walk->packet->source, text),
			 walk->tables->peers[walk->ingress.peer].name);
		return walk_drop(walk, DROP_TUNNEL_SOURCE);
	}
	walk_say(walk, "%s is %s node %s", ip_format(&walk->packet->source, text),
		 walk->source ? "a port of" : "outside, by",
		 walk->tables->peers[walk->ingress.peer].name);
	return VERDICT_NEXT;
}

static enum verdict judge(struct walk *walk, const void *tables)
{
	const struct endpoint *to = walk->destination;
	const struct peer *peer;
	char text[IP_TEXT_SIZE];
	bool vnis;

	if (!to)
		return VERDICT_NEXT;
	if (!to->peer) {
		walk->action.port = to->port;
		return VERDICT_NEXT;
	}
	// What came through the tunnel, or from outside, ends here: no node relays for another, but
	// to members of LoadBalancers.
	if (walk->ingress.port == PORT_UPLINK &&
	    !(walk->network->external && (walk->action.flags & FLOW_ACTION_BALANCED)))
		return walk_drop(walk, DROP_TUNNEL_DESTINATION);
	peer = &walk->tables->peers[to->peer];
	// Without a VNI of the sender's network the reply, which travels under it, could not come
	// back.
	vnis = to->vni && (walk->network->vni || walk->network->external);
	if (!walk->tables->underlay.present || !vnis || !peer->number) {
		walk_say(walk, "node %s cannot be reached: %s",
			 peer->number ? peer->name : "of the destination",
			 vnis ? "no uplink on both nodes" : "the network has no VNI");
		return walk_drop(walk, DROP_NO_UPLINK);
	}
	if (!peer->next_hop) {
		walk_say(walk, "no way to %s of node %s", ip_format(&peer->vtep, text), peer->name);
		return walk_drop(walk, DROP_NO_UNDERLAY_ROUTE);
	}
	walk->action.port = PORT_UPLINK;
	walk->action.flags |= FLOW_ACTION_TUNNEL;
	walk_say(walk, "VXLAN, VNI %u, to %s of node %s", to->vni, ip_format(&peer->vtep, text),
		 peer->name);
	return VERDICT_NEXT;
}

const struct layer tunnel_source_layer = {
	.name = "tunnel-source",
	.kind = LAYER_DIRECTION,
	.judge = judge_source,
	.judge_sender = judge_source,
};

const struct layer tunnel_layer = {
	.name = "tunnel",
	.kind = LAYER_DIRECTION,
	.judge = judge,
	.judge_receiver = judge,
};
