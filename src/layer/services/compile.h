// From Network.dhcp, the subnets and the Ports of this node to what the services answer with.

#pragma once

#include "layer/compile.h"
#include "layer/services/tables.h"
#include "model/set.h"

// Fills compile->tables->services; the topology is complete. 0 or -1.
int services_compile(struct compile *compile, struct error *err);
void services_free(struct services *services);

// Each service's half. `subnet` and `object` of one IPv4 subnet; false without memory.
bool dhcp_compile_subnet(const Sluice__V1__Network *network, const Sluice__V1__Subnet *object,
			 const struct service_network *service, uint16_t mtu,
			 struct dhcp_subnet *subnet);
bool dhcpv6_compile(const Sluice__V1__Network *object, const struct network *network,
		    struct service_network *service);
void router_advertisement_compile(const Sluice__V1__Network *object, const struct network *network,
				  struct service_network *service);

// For one Port.
void dhcp_compile_offer(const struct network *network, const struct service_network *service,
			const struct endpoint_detail *detail, struct dhcp_offer *offer);
bool dhcpv6_compile_offer(const struct service_network *service,
			  const struct endpoint_detail *detail, struct dhcpv6_offer *offer);
void router_advertisement_compile_offer(const Sluice__V1__Network *object,
					const struct service_network *service,
					const struct endpoint *endpoint,
					const struct endpoint_detail *detail,
					struct router_offer *offer);

// Domains to look names up in, as messages hold them. Returns the bytes used.
uint32_t services_search(const Sluice__V1__Dhcp *dhcp, uint8_t *wire, uint32_t room);
