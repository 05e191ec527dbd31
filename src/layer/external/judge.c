// What passes between a Vrf and an external network. On the way in: the sender must be outside, and
// a Route must lead back to it there. On the way out: the source must be known there.

#include "layer/external/external.h"
#include "layer/route/route.h"

static bool is_sender(const struct packet *packet)
{
	static const struct ip_address v6_loopback = {.bytes = {[15] = 1}}, none;
	const struct ip_address *source = &packet->source;

	if (ip_is_multicast(source) || ip_equal(source, &packet->destination))
		return false;
	if (ip_is_v4(source))
		return source->bytes[12] != 127 && source->bytes[12] != 0;
	return !ip_equal(source, &v6_loopback) && !ip_equal(source, &none);
}

// Where the destination inside is: in the domain of who answers, or where it is known outside.
static uint16_t find_domain(const struct walk *walk)
{
	const struct tables *tables = walk->tables;
	const struct network *network;

	if (walk->other && !ip_equal(&walk->leaving.destination, &walk->packet->key.destination)) {
		network = tables_network(tables, walk->other->network);
		return network && !network->external ? network->domain : 0;
	}
	return external_find_inside(tables, walk->network->number, &walk->leaving.destination);
}

static enum verdict judge_source(struct walk *walk, const void *tables)
{
	const struct ip_address *source = &walk->packet->source;
	char text[IP_TEXT_SIZE];

	if (walk->ingress.port != PORT_UPLINK || walk->ingress.peer)
		return VERDICT_NEXT;
	if (!walk->network->external)
		return walk_drop(walk, DROP_NOT_FOR_US);
	if (!is_sender(walk->packet))
		return walk_drop(walk, DROP_MALFORMED);
	if (external_find_claim(walk->tables, walk->network->number, source) ||
	    external_find_inside(walk->tables, walk->network->number, source)) {
		walk_say(walk, "%s is not outside", ip_format(source, text));
		return walk_drop(walk, DROP_EXTERNAL_SOURCE);
	}
	walk->domain = find_domain(walk);
	walk_say(walk, "%s, from external network %s", ip_format(source, text),
		 walk->network->name);
	return VERDICT_NEXT;
}

static enum verdict judge_in(struct walk *walk)
{
	const struct endpoint *to = walk->destination;
	const struct network *inside = &walk->tables->networks[to->network];
	const struct ip_address *source = &walk->packet->source;
	char text[IP_TEXT_SIZE];

	if (to->external)
		return walk_drop(walk, DROP_HAIRPIN);
	if (!route_leads_out(walk->tables, inside->domain, source, walk->network->number)) {
		walk_say(walk, "no Route to %s leads to network %s", ip_format(source, text),
			 walk->network->name);
		return walk_drop(walk, DROP_EXTERNAL_SOURCE);
	}
	walk_say(walk, "the way back leads to network %s", walk->network->name);
	return VERDICT_NEXT;
}

static enum verdict judge_out(struct walk *walk)
{
	const struct network *network = &walk->tables->networks[walk->destination->network];
	const struct ip_address *source = &walk->leaving.source;
	char text[IP_TEXT_SIZE];

	if (!external_find_inside(walk->tables, network->number, source) &&
	    !external_find_claim(walk->tables, network->number, source)) {
		walk_say(walk, "%s is not known in network %s", ip_format(source, text),
			 network->name);
		return walk_drop(walk, DROP_NOT_TRANSLATED);
	}
	walk->action.flags |= FLOW_ACTION_EXTERNAL;
	if (network->vlan)
		walk_say(walk, "to external network %s, VLAN %u", network->name, network->vlan);
	else
		walk_say(walk, "to external network %s", network->name);
	return VERDICT_NEXT;
}

static enum verdict judge(struct walk *walk, const void *tables)
{
	if (!walk->destination)
		return VERDICT_NEXT;
	if (walk->network->external)
		return judge_in(walk);
	return walk->destination->external ? judge_out(walk) : VERDICT_NEXT;
}

const struct layer external_source_layer = {
	.name = "external-source",
	.kind = LAYER_DIRECTION,
	.judge = judge_source,
};

const struct layer external_layer = {
	.name = "external",
	.kind = LAYER_DIRECTION,
	.judge = judge,
};
