// From a subnet to DHCP's options.

#include <arpa/inet.h>

#include "base/domain_name.h"
#include "layer/services/compile.h"

#define SERVERS_MAX 8
// Bytes of option 121: a route has nine at most.
#define ROUTES_SIZE 1024
#define SEARCH_SIZE 2048

static uint32_t v4_list(char *const *texts, size_t count, uint32_t *list)
{
	struct ip_address address;
	uint32_t used = 0;

	for (size_t i = 0; i < count && used < SERVERS_MAX; i++)
		if (ip_parse(texts[i], &address) && ip_is_v4(&address))
			list[used++] = address.words[3];
	return used * 4;
}

// RFC 3442: prefix length, its bytes as far as they count, router.
static uint32_t write_route(uint8_t *to, uint8_t length, const struct ip_address *prefix,
			    uint32_t router)
{
	uint32_t bytes = (length + 7u) / 8;

	to[0] = length;
	memcpy(to + 1, prefix->bytes + 12, bytes);
	memcpy(to + 1 + bytes, &router, 4);
	return 1 + bytes + 4;
}

// Who takes the routes takes the default one from here too, so it is among them.
static uint32_t write_routes(const Sluice__V1__Subnet *object, const struct ip_address *gateway,
			     uint8_t *to)
{
	static const struct ip_address any;
	uint32_t used = 0;

	for (size_t i = 0; i < object->n_routes && used + 18 <= ROUTES_SIZE; i++) {
		struct ip_address router = *gateway;
		struct ip_prefix prefix;

		if (!prefix_parse(object->routes[i]->cidr, &prefix) ||
		    (*object->routes[i]->next_hop &&
		     !ip_parse(object->routes[i]->next_hop, &router)))
			continue;
		used += write_route(to + used, (uint8_t)(prefix.length - 96), &prefix.address,
				    router.words[3]);
	}
	if (used && gateway->words[3])
		used += write_route(to + used, 0, &any, gateway->words[3]);
	return used;
}

bool dhcp_compile_subnet(const Sluice__V1__Network *network, const Sluice__V1__Subnet *object,
			 const struct service_network *service, uint16_t mtu,
			 struct dhcp_subnet *subnet)
{
	struct service_options *options = &subnet->options;
	struct ip_address gateway = {.words = {0}};
	uint8_t routes[ROUTES_SIZE], search[SEARCH_SIZE];
	uint32_t dns[SERVERS_MAX], ntp[SERVERS_MAX], broadcast, length;
	uint16_t mtu_value = htons(mtu);
	struct ip_prefix prefix;
	bool routed = ip_parse(object->gateway, &gateway);
	const Sluice__V1__Dhcp *dhcp = network->dhcp;

	if (!prefix_parse(object->cidr, &prefix))
		return true;
	length = prefix.length - 96u;
	subnet->mask = length ? htonl(UINT32_MAX << (32 - length)) : 0;
	subnet->server = routed ? gateway.words[3] : htonl(DHCP_SERVER_WITHOUT_GATEWAY);
	subnet->lease = service->lease;
	subnet->mtu = mtu;
	broadcast = prefix.address.words[3] | ~subnet->mask;
	return service_options_add(options, DHCP_OPTION_ROUTES, routes,
				   write_routes(object, &gateway, routes)) &&
	       service_options_add(options, DHCP_OPTION_ROUTER, &gateway.words[3],
				   routed ? 4 : 0) &&
	       service_options_add(options, DHCP_OPTION_DNS, dns,
				   v4_list(object->dns, object->n_dns, dns)) &&
	       service_options_add(options, DHCP_OPTION_DOMAIN, service->domain,
				   (uint32_t)strlen(service->domain)) &&
	       service_options_add(options, DHCP_OPTION_MTU, &mtu_value, 2) &&
	       service_options_add(options, DHCP_OPTION_BROADCAST, &broadcast,
				   length < 31 ? 4 : 0) &&
	       service_options_add(options, DHCP_OPTION_NTP, ntp,
				   dhcp ? v4_list(dhcp->ntp, dhcp->n_ntp, ntp) : 0) &&
	       service_options_add(options, DHCP_OPTION_DOMAIN_SEARCH, search,
				   services_search(dhcp, search, sizeof(search)));
}

void dhcp_compile_offer(const struct network *network, const struct service_network *service,
			const struct endpoint_detail *detail, struct dhcp_offer *offer)
{
	for (uint32_t i = 0; i < detail->address_count; i++) {
		if (!ip_is_v4(&detail->addresses[i]))
			continue;
		for (uint32_t j = 0; j < network->subnet_count; j++)
			if (ip_in_prefix(&detail->addresses[i], &network->subnets[j].prefix)) {
				offer->subnet = &service->subnets[j];
				offer->address = detail->addresses[i].words[3];
				return;
			}
	}
}
