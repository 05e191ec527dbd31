#include "layer/compare.h"
#include "layer/services/tables.h"

static bool options_equal(const struct service_options *a, const struct service_options *b)
{
	if (a->count != b->count || a->size != b->size)
		return false;
	for (uint32_t i = 0; i < a->count; i++)
		if (a->list[i].code != b->list[i].code || a->list[i].size != b->list[i].size ||
		    a->list[i].offset != b->list[i].offset)
			return false;
	return !a->size || memcmp(a->bytes, b->bytes, a->size) == 0;
}

static bool boot_equal(const struct boot *a, const struct boot *b)
{
	if (!a || !b)
		return a == b;
	return a->server_address == b->server_address &&
	       strncmp(a->server, b->server, sizeof(a->server)) == 0 &&
	       strncmp(a->file, b->file, sizeof(a->file)) == 0 &&
	       strncmp(a->efi_file, b->efi_file, sizeof(a->efi_file)) == 0 &&
	       strncmp(a->ipxe_file, b->ipxe_file, sizeof(a->ipxe_file)) == 0 &&
	       strncmp(a->url, b->url, sizeof(a->url)) == 0;
}

static bool advertisement_equal(const struct router_advertisement *a,
				const struct router_advertisement *b)
{
	if (a->present != b->present || !mac_equal(&a->mac, &b->mac) || a->mtu != b->mtu ||
	    a->router != b->router || a->prefix_count != b->prefix_count ||
	    a->dns_count != b->dns_count || a->route_count != b->route_count ||
	    a->search_size != b->search_size || memcmp(a->search, b->search, a->search_size) != 0)
		return false;
	for (uint32_t i = 0; i < a->prefix_count; i++)
		if (!prefix_equal(&a->prefixes[i], &b->prefixes[i]))
			return false;
	for (uint32_t i = 0; i < a->dns_count; i++)
		if (!ip_equal(&a->dns[i], &b->dns[i]))
			return false;
	for (uint32_t i = 0; i < a->route_count; i++)
		if (!prefix_equal(&a->routes[i], &b->routes[i]))
			return false;
	return true;
}

static bool service_network_equal(const struct service_network *a, const struct service_network *b)
{
	if (!a || !b)
		return a == b;
	if (a->subnet_count != b->subnet_count || a->lease != b->lease ||
	    a->disabled != b->disabled || strncmp(a->domain, b->domain, sizeof(a->domain)) != 0 ||
	    !boot_equal(a->boot, b->boot) ||
	    !advertisement_equal(&a->advertisement, &b->advertisement) ||
	    memcmp(a->dhcpv6.identifier, b->dhcpv6.identifier, sizeof(a->dhcpv6.identifier)) != 0 ||
	    a->dhcpv6.lease != b->dhcpv6.lease || a->dhcpv6.mtu != b->dhcpv6.mtu ||
	    !options_equal(&a->dhcpv6.options, &b->dhcpv6.options))
		return false;
	for (uint32_t i = 0; i < a->subnet_count; i++) {
		const struct dhcp_subnet *x = &a->subnets[i], *y = &b->subnets[i];

		if (x->server != y->server || x->mask != y->mask || x->lease != y->lease ||
		    x->mtu != y->mtu || !options_equal(&x->options, &y->options))
			return false;
	}
	return true;
}

// A pointer into the part of the network that these same tables have, as a number; -1: NULL, -2:
// elsewhere.
static ptrdiff_t subnet_number(const struct service_network *network,
			       const struct dhcp_subnet *subnet)
{
	if (!subnet)
		return -1;
	if (subnet < network->subnets || subnet >= network->subnets + network->subnet_count)
		return -2;
	return subnet - network->subnets;
}

static bool dhcpv6_equal(const struct dhcpv6_offer *a, const struct dhcpv6_offer *b)
{
	if ((a->server == NULL) != (b->server == NULL) || a->address_count != b->address_count ||
	    a->prefix_count != b->prefix_count || (a->domain == NULL) != (b->domain == NULL) ||
	    (a->domain && strncmp(a->domain, b->domain, DOMAIN_TEXT_SIZE) != 0))
		return false;
	for (uint32_t i = 0; i < a->address_count; i++)
		if (!ip_equal(&a->addresses[i], &b->addresses[i]))
			return false;
	for (uint32_t i = 0; i < a->prefix_count; i++)
		if (!prefix_equal(&a->prefixes[i], &b->prefixes[i]))
			return false;
	return true;
}

static bool service_endpoint_equal(const struct service_endpoint *a,
				   const struct service_network *a_network,
				   const struct service_endpoint *b,
				   const struct service_network *b_network)
{
	if (strncmp(a->host_name, b->host_name, sizeof(a->host_name)) != 0 ||
	    !boot_equal(a->own_boot, b->own_boot) || !mac_equal(&a->dhcp.mac, &b->dhcp.mac) ||
	    a->dhcp.address != b->dhcp.address ||
	    subnet_number(a_network, a->dhcp.subnet) != subnet_number(b_network, b->dhcp.subnet))
		return false;
	// Of the network's that these tables have, not of others.
	if (a->dhcp.host_name != a->host_name || a->dhcp.boot != service_boot(a, a_network) ||
	    (a->dhcpv6.server && a->dhcpv6.server != &a_network->dhcpv6) ||
	    a->advertisement.network != &a_network->advertisement)
		return false;
	return a->advertisement.managed == b->advertisement.managed &&
	       a->advertisement.other == b->advertisement.other &&
	       a->advertisement.autonomous == b->advertisement.autonomous &&
	       a->advertisement.hash == b->advertisement.hash &&
	       dhcpv6_equal(&a->dhcpv6, &b->dhcpv6);
}

void services_compare(const struct tables *have, const struct tables *want,
		      struct differences *differences)
{
	const struct services *a = have->services, *b = want->services;

	if (a->network_count != b->network_count || a->endpoint_count != b->endpoint_count) {
		differences_add(differences, "services of %u ports instead of %u",
				a->endpoint_count, b->endpoint_count);
		return;
	}
	for (uint32_t i = 0; i < b->network_count; i++)
		if (!service_network_equal(a->networks[i], b->networks[i]))
			differences_add(differences, "Network/%s: services",
					want->networks[i].name);
	for (uint32_t i = 0; i < want->endpoint_count; i++)
		if (a->by_endpoint[i] != b->by_endpoint[i])
			differences_add(differences, "Port/%s: services", want->details[i].name);
	for (uint32_t i = 0; i < b->endpoint_count; i++) {
		const struct service_endpoint *x = &a->endpoints[i], *y = &b->endpoints[i];
		uint16_t network = want->endpoints[y->endpoint].network;

		if (x->endpoint != y->endpoint ||
		    !service_endpoint_equal(x, a->networks[network], y, b->networks[network]))
			differences_add(differences, "Port/%s: services",
					want->details[y->endpoint].name);
	}
}
