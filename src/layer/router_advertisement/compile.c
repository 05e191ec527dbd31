// From a network to its router advertisements, and from a Port to what they let it do.

#include "layer/services/compile.h"

static bool form_wanted(Sluice__V1__AddressMode mode)
{
	return mode == SLUICE__V1__ADDRESS_MODE__ADDRESS_MODE_SLAAC ||
	       mode == SLUICE__V1__ADDRESS_MODE__ADDRESS_MODE_DHCPV6_STATELESS;
}

void router_advertisement_compile(const Sluice__V1__Network *object, const struct network *network,
				  struct service_network *service)
{
	struct router_advertisement *advertisement = &service->advertisement;

	advertisement->mac = network->gateway_mac;
	advertisement->mtu = network->mtu;
	for (size_t i = 0; i < object->n_subnets; i++) {
		const Sluice__V1__Subnet *subnet = object->subnets[i];
		struct ip_prefix prefix;
		struct ip_address address;

		if (ip_is_v4(&network->subnets[i].prefix.address) ||
		    advertisement->prefix_count == ADVERTISED_PREFIXES)
			continue;
		advertisement->present = true;
		advertisement->router |= network->subnets[i].has_gateway;
		advertisement->prefixes[advertisement->prefix_count++] = network->subnets[i].prefix;
		for (size_t j = 0; j < subnet->n_dns; j++)
			if (advertisement->dns_count < ADVERTISED_DNS &&
			    ip_parse(subnet->dns[j], &address))
				advertisement->dns[advertisement->dns_count++] = address;
		for (size_t j = 0; j < subnet->n_routes; j++)
			if (advertisement->route_count < ADVERTISED_ROUTES &&
			    prefix_parse(subnet->routes[j]->cidr, &prefix))
				advertisement->routes[advertisement->route_count++] = prefix;
	}
	advertisement->search_size =
		services_search(object->dhcp, advertisement->search, ADVERTISED_SEARCH);
}

// What becomes of a host's MAC address in a /64 (RFC 4291 appendix A).
static struct ip_address formed_address(const struct ip_prefix *prefix,
					const struct mac_address *mac)
{
	struct ip_address address = ip_link_local_of(mac);

	memcpy(address.bytes, prefix->address.bytes, 8);
	return address;
}

// By how it comes to its addresses in one subnet: true, it forms them. `*managed` is set where it
// has to ask for some.
static bool forms_address(Sluice__V1__AddressMode mode, const struct ip_prefix *prefix,
			  const struct mac_address *mac, const struct endpoint_detail *detail,
			  bool *managed)
{
	struct ip_address formed = formed_address(prefix, mac);
	uint32_t count = 0;
	bool own = false;

	if (form_wanted(mode))
		return true;
	for (uint32_t i = 0; i < detail->address_count; i++)
		if (ip_in_prefix(&detail->addresses[i], prefix)) {
			count++;
			own |= ip_equal(&detail->addresses[i], &formed);
		}
	if (mode == SLUICE__V1__ADDRESS_MODE__ADDRESS_MODE_UNSPECIFIED && prefix->length == 64 &&
	    own && count == 1)
		return true;
	*managed |= count > 0 || mode == SLUICE__V1__ADDRESS_MODE__ADDRESS_MODE_DHCPV6_STATEFUL;
	return false;
}

// FNV-1a of the message: whatever changes in it is worth to be said.
static uint32_t hash_offer(const struct router_offer *offer)
{
	uint8_t message[ADVERTISEMENT_MAX];
	uint32_t size = router_advertisement_write(offer, NULL, message), hash = 2166136261;

	for (uint32_t i = 0; i < size; i++)
		hash = (hash ^ message[i]) * 16777619;
	return hash;
}

void router_advertisement_compile_offer(const Sluice__V1__Network *object,
					const struct service_network *service,
					const struct endpoint *endpoint,
					const struct endpoint_detail *detail,
					struct router_offer *offer)
{
	uint32_t number = 0;

	offer->network = &service->advertisement;
	for (size_t i = 0; i < object->n_subnets && number < ADVERTISED_PREFIXES; i++) {
		Sluice__V1__AddressMode mode = object->subnets[i]->address_mode;
		struct ip_prefix prefix;

		if (!prefix_parse(object->subnets[i]->cidr, &prefix) || ip_is_v4(&prefix.address))
			continue;
		if (forms_address(mode, &prefix, &endpoint->mac, detail, &offer->managed))
			offer->autonomous |= UINT32_C(1) << number;
		offer->other |= mode != SLUICE__V1__ADDRESS_MODE__ADDRESS_MODE_SLAAC;
		number++;
	}
	if (service->disabled)
		offer->managed = offer->other = false;
	offer->hash = hash_offer(offer);
}
