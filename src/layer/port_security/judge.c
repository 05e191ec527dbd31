// Anti-spoofing: a workload sends from its own MAC and IP addresses only. Holds with and without
// security groups.

#include "layer/allowed_address/allowed_address.h"
#include "layer/port_security/port_security.h"

static bool source_allowed(const struct walk *walk)
{
	const struct ip_address *source = &walk->packet->source;

	return allowed_address_may_use(walk->tables, walk->source, source) ||
	       ip_equal(source, &tables_detail(walk->tables, walk->source)->link_local);
}

// Addresses that nobody can send from (RFC 1122 section 3.2.1.3, RFC 4291 section 2.5), or from and
// to.
static bool nonsense(const struct packet *packet)
{
	const struct ip_address *source = &packet->source, *destination = &packet->destination;
	static const struct ip_address v6_loopback = {.bytes = {[15] = 1}};
	static const struct ip_address none;

	// Who has no address yet asks the network's services, which look at the sender themselves;
	// what gets here was for none of them, and has nobody as its sender.
	if (ip_is_multicast(destination) &&
	    (ip_equal(source, &none) || (ip_is_v4(source) && !source->words[3])))
		return false;
	if (ip_is_multicast(source) || ip_equal(source, destination))
		return true;
	if (ip_is_v4(source))
		return source->bytes[12] == 127 || source->bytes[12] == 0 ||
		       destination->bytes[12] == 127;
	return ip_equal(source, &v6_loopback) || ip_equal(destination, &v6_loopback) ||
	       ip_equal(source, &none) || ip_equal(destination, &none);
}

static enum verdict judge(struct walk *walk, const void *tables)
{
	char text[IP_TEXT_SIZE];

	if (walk->ingress.port == PORT_UPLINK)
		return VERDICT_NEXT;
	if (!mac_equal(&walk->packet->source_mac, &walk->source->mac)) {
		walk_say(walk, "%s is not the port's MAC address",
			 mac_format(&walk->packet->source_mac, text));
		return walk_drop(walk, DROP_SOURCE_MAC);
	}
	if (nonsense(walk->packet)) {
		walk_say(walk, "%s cannot be a source there",
			 ip_format(&walk->packet->source, text));
		return walk_drop(walk, DROP_MALFORMED);
	}
	if (!source_allowed(walk)) {
		walk_say(walk, "%s is not an address of the port",
			 ip_format(&walk->packet->source, text));
		return walk_drop(walk, DROP_SOURCE_ADDRESS);
	}
	walk_say(walk, "%s is an address of the port", ip_format(&walk->packet->source, text));
	return VERDICT_NEXT;
}

const struct layer port_security_layer = {
	.name = "port-security",
	.kind = LAYER_DIRECTION,
	.judge = judge,
	.judge_sender = judge,
};
