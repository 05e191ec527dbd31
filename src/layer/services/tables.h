// What DHCP, DHCPv6 and router advertisements answer with, for the Ports of this node: compiled
// from the objects with the other tables, and never changed afterwards.

#pragma once

#include "layer/dhcp/dhcp.h"
#include "layer/dhcpv6/dhcpv6.h"
#include "layer/router_advertisement/router_advertisement.h"
#include "layer/tables.h"

// Of a network. Shared by the generations of the tables in which the Network is the same.
struct service_network {
	uint32_t references;	     // control thread
	struct dhcp_subnet *subnets; // in the order of the network's, IPv4 ones filled in
	uint32_t subnet_count;
	struct dhcpv6_server dhcpv6;
	struct router_advertisement advertisement;
	struct boot *boot;	       // NULL: not given
	char domain[DOMAIN_TEXT_SIZE]; // empty: none
	uint32_t lease;		       // seconds, UINT32_MAX: for ever
	bool disabled;
};

// Of a Port of this node.
struct service_endpoint {
	uint32_t endpoint; // index in the tables
	char host_name[HOST_NAME_SIZE];
	struct boot *own_boot; // NULL: the network's
	struct dhcp_offer dhcp;
	struct dhcpv6_offer dhcpv6;
	struct router_offer advertisement;
};

// What a workload boots: its own, its network's, or nothing.
static inline const struct boot *service_boot(const struct service_endpoint *endpoint,
					      const struct service_network *network)
{
	if (endpoint->own_boot)
		return endpoint->own_boot;
	return network->boot ? network->boot : &boot_none;
}

struct services {
	struct service_network **networks; // by number; NULL where there is none
	uint32_t network_count;
	struct service_endpoint *endpoints;
	uint32_t endpoint_count;
	uint32_t *by_endpoint; // index + 1 above; 0: none
};

// NULL for Ports of other nodes.
static inline const struct service_endpoint *services_find(const struct tables *tables,
							   uint32_t endpoint)
{
	const struct services *services = tables->services;
	uint32_t index = services && endpoint ? services->by_endpoint[endpoint] : 0;

	return index ? &services->endpoints[index - 1] : NULL;
}
