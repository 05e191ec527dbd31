// DHCP, DHCPv6 and router solicitations of workloads: each node answers its own, from the objects.

#pragma once

#include "layer/services/tables.h"
#include "layer/walk.h"

struct rte_mbuf;

enum service {
	SERVICE_NONE,	  // nothing of these: the packet goes its way
	SERVICE_ANSWERED, // the mbuf holds the answer
	SERVICE_DONE,	  // nothing to answer, or nothing now
	SERVICE_DROP,
};

// Can a packet from a workload's port be for them at all? Most that are no plain packet of a
// connection are not.
static inline bool services_concern(const struct packet *packet)
{
	switch (packet->kind) {
	case PACKET_ND:
	case PACKET_FRAGMENT:
		return true;
	case PACKET_IP:
		if (packet->key.protocol != IPPROTO_UDP)
			return false;
		switch (ntohs(packet->key.destination_port)) {
		case DHCP_SERVER_PORT:
		case DHCP_CLIENT_PORT:
		case DHCPV6_SERVER_PORT:
		case DHCPV6_CLIENT_PORT:
			return true;
		default:
			return false;
		}
	default:
		return false;
	}
}

// A packet from a workload's port that concerns them; of a datagram that came in fragments, the
// first of them, which is never answered. On SERVICE_DROP `*reason` says why. On others than
// SERVICE_NONE and SERVICE_DROP `*about` says for a trace what it was. `schedule` may be NULL: then
// no advertisement is too many.
enum service services_from_port(const struct tables *tables, const struct endpoint *source,
				struct rte_mbuf *mbuf, const struct packet *packet,
				struct router_schedule *schedule, uint32_t now,
				enum drop_reason *reason, const char **about);

// An advertisement to all nodes on the port, into an empty mbuf. False where it has no room.
bool services_advertise(const struct network *network, const struct router_offer *offer,
			const struct router_schedule *schedule, struct rte_mbuf *mbuf);

// Is it what DHCP's server is called in a subnet of the network that has no gateway?
static inline bool services_dhcp_address(const struct network *network,
					 const struct ip_address *address)
{
	if (!ip_is_v4(address) || address->words[3] != htonl(DHCP_SERVER_WITHOUT_GATEWAY))
		return false;
	for (uint32_t i = 0; i < network->subnet_count; i++)
		if (ip_is_v4(&network->subnets[i].prefix.address) &&
		    !network->subnets[i].has_gateway)
			return true;
	return false;
}
