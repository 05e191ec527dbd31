// ARP and ND from a workload: it may speak for itself only, and is told what the objects say.

#include <rte_mbuf.h>

#include "layer/address_resolution/address_resolution.h"
#include "layer/allowed_address/allowed_address.h"
#include "layer/load_balancer/load_balancer.h"
#include "layer/services/services.h"

static const struct ip_address unspecified;

static bool is_unspecified(const struct ip_address *address)
{
	return ip_equal(address, &unspecified) || (ip_is_v4(address) && address->words[3] == 0);
}

static bool owns(const struct tables *tables, const struct endpoint *endpoint,
		 const struct ip_address *address)
{
	// Link-local addresses are the workload's own choice, and nothing is routed to them.
	return allowed_address_may_use(tables, endpoint, address) ||
	       (!ip_is_v4(address) && ip_is_link_local(address));
}

// Who has the address, as seen from inside the network: NULL, the network's gateway (for virtual
// addresses, too) or a Port.
static const struct mac_address *find_target(const struct tables *tables,
					     const struct network *network,
					     const struct ip_address *target, bool *router)
{
	const struct endpoint *endpoint;

	*router = false;
	for (uint32_t i = 0; i < network->subnet_count; i++)
		if (network->subnets[i].has_gateway &&
		    ip_equal(&network->subnets[i].gateway, target)) {
			*router = true;
			return &network->gateway_mac;
		}
	// Where a subnet has no gateway, DHCP's server has an address of its own.
	if (services_dhcp_address(network, target))
		return &network->gateway_mac;
	if (ip_is_link_local(target) && !ip_is_v4(target)) {
		struct mac_address mac = {{target->bytes[8] ^ 2, target->bytes[9],
					   target->bytes[10], target->bytes[13], target->bytes[14],
					   target->bytes[15]}};

		if (target->bytes[11] != 0xff || target->bytes[12] != 0xfe)
			return NULL;
		if (mac_equal(&mac, &network->gateway_mac)) {
			*router = true;
			return &network->gateway_mac;
		}
		endpoint = tables_endpoint(tables, tables_find_mac(tables, network->number, &mac));
	} else {
		if (balancer_has_address(tables->load_balancers, network->domain, target))
			return &network->gateway_mac;
		endpoint = tables_endpoint(tables,
					   tables_find_address(tables, network->domain, target));
	}
	// Addresses of the other networks of the Vrf are behind the gateway, not on this segment.
	return endpoint && endpoint->network == network->number ? &endpoint->mac : NULL;
}

enum resolution resolution_from_port(const struct tables *tables, const struct network *network,
				     const struct endpoint *source, struct rte_mbuf *mbuf,
				     const struct packet *packet,
				     struct address_resolution *message, enum drop_reason *reason)
{
	const uint8_t *data = rte_pktmbuf_mtod(mbuf, const uint8_t *);
	bool arp = packet->kind == PACKET_ARP, router;
	static const struct mac_address no_mac;
	const struct shared_address *shared;
	const struct mac_address *mac;

	memset(message, 0, sizeof(*message));
	*reason = arp ? arp_read(data, rte_pktmbuf_data_len(mbuf), packet, message)
		      : nd_read(data, rte_pktmbuf_data_len(mbuf), packet, message);
	if (*reason != DROP_NONE)
		return RESOLUTION_DROP;
	*reason = DROP_SOURCE_MAC;
	if (!mac_equal(&packet->source_mac, &source->mac))
		return RESOLUTION_DROP;
	*reason = arp ? DROP_ARP_SPOOFED : DROP_ND_SPOOFED;
	// Workloads are no routers on their own network, even if they say in an advertisement of
	// their addresses that they forward; a router solicitation is answered elsewhere, if at
	// all.
	if (message->router_discovery) {
		if (message->solicitation)
			*reason = DROP_MULTICAST;
		return RESOLUTION_DROP;
	}
	if (!mac_equal(&message->sender_mac, &source->mac) &&
	    !(!arp && mac_equal(&message->sender_mac, &no_mac)))
		return RESOLUTION_DROP;
	if (!is_unspecified(&message->sender) && !owns(tables, source, &message->sender))
		return RESOLUTION_DROP;
	message->genuine = true;
	// Nobody needs to be told: all answers come from the objects.
	if (!message->solicitation || ip_equal(&message->sender, &message->target))
		return RESOLUTION_DONE;
	shared = tables_find_shared(tables, network->domain, &message->target);
	// Whoever wants to take such an address asks whether somebody has it: only they know.
	if (shared && is_unspecified(&message->sender) && owns(tables, source, &message->target))
		return RESOLUTION_ASK;
	mac = find_target(tables, network, &message->target, &router);
	if (!mac && shared && !tables_owner(tables, shared))
		return RESOLUTION_ASK;
	if (!mac) {
		// A probe for an address of its own that the objects don't give to anybody.
		if (is_unspecified(&message->sender) && owns(tables, source, &message->target))
			return RESOLUTION_DONE;
		*reason = arp ? DROP_ARP_UNKNOWN : DROP_ND_UNKNOWN;
		return RESOLUTION_DROP;
	}
	if (mac_equal(mac, &source->mac))
		return RESOLUTION_DONE;
	if (arp ? !arp_answer(mbuf, packet, message, mac)
		: !nd_answer(mbuf, packet, message, mac, router)) {
		*reason = DROP_NO_BUFFER;
		return RESOLUTION_DROP;
	}
	return RESOLUTION_ANSWERED;
}
