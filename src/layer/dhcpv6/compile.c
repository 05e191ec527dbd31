// From a network to DHCPv6's options.

#include <stdlib.h>

#include "layer/services/compile.h"

#define SERVERS_MAX	  8
#define SEARCH_SIZE	  2048
#define NTP_SERVER	  1 // suboption: a unicast address
#define NTP_SERVER_SIZE	  20
#define DUID_LINK_LAYER	  3 // RFC 8415 section 11.4
#define HARDWARE_ETHERNET 1

static uint32_t v6_list(char *const *texts, size_t count, struct ip_address *list)
{
	uint32_t used = 0;

	for (size_t i = 0; i < count && used < SERVERS_MAX; i++)
		if (ip_parse(texts[i], &list[used]) && !ip_is_v4(&list[used]))
			used++;
	return used;
}

bool dhcpv6_compile(const Sluice__V1__Network *object, const struct network *network,
		    struct service_network *service)
{
	const struct router_advertisement *advertisement = &service->advertisement;
	struct dhcpv6_server *server = &service->dhcpv6;
	struct service_options *options = &server->options;
	uint8_t search[SEARCH_SIZE], ntp[SERVERS_MAX * NTP_SERVER_SIZE];
	struct ip_address servers[SERVERS_MAX + 1];
	uint32_t count =
		object->dhcp ? v6_list(object->dhcp->ntp, object->dhcp->n_ntp, servers) : 0;

	// The gateway's MAC address is the same on every node, so this is.
	server->identifier[1] = DUID_LINK_LAYER;
	server->identifier[3] = HARDWARE_ETHERNET;
	memcpy(server->identifier + 4, &network->gateway_mac, 6);
	server->lease = service->lease;
	server->mtu = network->mtu;
	for (uint32_t i = 0; i < count; i++) {
		uint8_t *suboption = ntp + (size_t)i * NTP_SERVER_SIZE;

		memcpy(suboption, (uint8_t[4]){0, NTP_SERVER, 0, 16}, 4);
		memcpy(suboption + 4, &servers[i], 16);
	}
	return service_options_add(options, DHCPV6_OPTION_DNS, advertisement->dns,
				   advertisement->dns_count * 16) &&
	       service_options_add(options, DHCPV6_OPTION_DOMAIN_SEARCH, search,
				   services_search(object->dhcp, search, sizeof(search))) &&
	       service_options_add(options, DHCPV6_OPTION_NTP, ntp, count * NTP_SERVER_SIZE) &&
	       service_options_add(options, DHCPV6_OPTION_SNTP, servers, count * 16);
}

bool dhcpv6_compile_offer(const struct service_network *service,
			  const struct endpoint_detail *detail, struct dhcpv6_offer *offer)
{
	const struct router_advertisement *advertisement = &service->advertisement;
	uint32_t count = 0;

	// In an IPv4 network nobody is there.
	if (!advertisement->present)
		return true;
	offer->addresses = calloc(detail->address_count + 1, sizeof(*offer->addresses));
	if (!offer->addresses)
		return false;
	for (uint32_t i = 0; i < detail->address_count; i++)
		if (!ip_is_v4(&detail->addresses[i]))
			offer->addresses[count++] = detail->addresses[i];
	offer->address_count = count;
	offer->prefixes = advertisement->prefixes;
	offer->prefix_count = advertisement->prefix_count;
	offer->server = &service->dhcpv6;
	return true;
}
