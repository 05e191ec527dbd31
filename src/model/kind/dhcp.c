// Checks of what DHCP, DHCPv6 and router advertisements hand out.

#include "base/domain_name.h"
#include "model/kind/check.h"

#define LEASE_MIN	  10
#define BOOT_FILE_MAX	  127 // of the header's field, with its zero
#define BOOT_TEXT_MAX	  255 // of an option
#define DOMAIN_SEARCH_MAX 8
#define ROUTES_MAX	  16
#define SERVERS_MAX	  8

static void text_check(struct check *check, const Sluice__V1__Object *object, const char *field,
		       const char *text, size_t max)
{
	if (strlen(text) > max)
		problems_add(check->problems, object, field, "longer than %zu characters", max);
	for (; *text; text++)
		if ((unsigned char)*text <= ' ' || (unsigned char)*text > '~') {
			problems_add(check->problems, object, field,
				     "has a space or what is not ASCII");
			return;
		}
}

void check_domain_name(struct check *check, const Sluice__V1__Object *object, const char *field,
		       const char *text)
{
	if (!domain_name_valid(text))
		problems_add(check->problems, object, field,
			     "'%s' is no domain name, as example.org", text);
}

void check_boot(struct check *check, const Sluice__V1__Object *object, const char *field,
		const Sluice__V1__Boot *boot)
{
	struct ip_address address;
	const char *server = CHECK_PATH("%s.server", field);

	if (*boot->server && ip_parse(boot->server, &address)) {
		if (!ip_is_v4(&address))
			problems_add(check->problems, object, server,
				     "'%s' is for DHCPv4: over IPv6 there is url", boot->server);
		else
			check_host_address(check, object, server, &address);
	} else if (*boot->server && !domain_name_valid(boot->server)) {
		problems_add(check->problems, object, server,
			     "'%s' is neither an IPv4 address nor a name", boot->server);
	}
	text_check(check, object, CHECK_PATH("%s.file", field), boot->file, BOOT_FILE_MAX);
	text_check(check, object, CHECK_PATH("%s.efiFile", field), boot->efi_file, BOOT_FILE_MAX);
	text_check(check, object, CHECK_PATH("%s.ipxeFile", field), boot->ipxe_file, BOOT_FILE_MAX);
	text_check(check, object, CHECK_PATH("%s.url", field), boot->url, BOOT_TEXT_MAX);
}

void check_dhcp(struct check *check, const Sluice__V1__Object *object, const Sluice__V1__Dhcp *dhcp)
{
	struct ip_address address;

	if (*dhcp->domain)
		check_domain_name(check, object, "dhcp.domain", dhcp->domain);
	if (dhcp->n_domain_search > DOMAIN_SEARCH_MAX)
		problems_add(check->problems, object, "dhcp.domainSearch", "more than %d",
			     DOMAIN_SEARCH_MAX);
	for (size_t i = 0; i < dhcp->n_domain_search; i++)
		check_domain_name(check, object, CHECK_PATH("dhcp.domainSearch[%zu]", i),
				  dhcp->domain_search[i]);
	if (dhcp->has_lease_seconds_case && dhcp->lease_seconds < LEASE_MIN)
		problems_add(check->problems, object, "dhcp.leaseSeconds", "%u is less than %d",
			     dhcp->lease_seconds, LEASE_MIN);
	if (dhcp->n_ntp > SERVERS_MAX)
		problems_add(check->problems, object, "dhcp.ntp", "more than %d", SERVERS_MAX);
	for (size_t i = 0; i < dhcp->n_ntp; i++) {
		const char *field = CHECK_PATH("dhcp.ntp[%zu]", i);

		if (check_address(check, object, field, dhcp->ntp[i], &address))
			check_host_address(check, object, field, &address);
	}
	if (dhcp->boot)
		check_boot(check, object, "dhcp.boot", dhcp->boot);
}

static void host_route_check(struct check *check, const Sluice__V1__Object *object, size_t index,
			     size_t number, const struct ip_prefix *prefix, const char *gateway)
{
	const Sluice__V1__HostRoute *route = object->network->subnets[index]->routes[number];
	const char *field = CHECK_PATH("subnets[%zu].routes[%zu].cidr", index, number);
	struct ip_address address, router;
	struct ip_prefix destination;

	if (check_prefix(check, object, field, route->cidr, &destination) &&
	    prefix_is_v4(&destination) != prefix_is_v4(prefix))
		problems_add(check->problems, object, field, "'%s' is not of the subnet's family",
			     route->cidr);
	field = CHECK_PATH("subnets[%zu].routes[%zu].nextHop", index, number);
	if (!*route->next_hop) {
		if (!*gateway)
			problems_add(check->problems, object, field,
				     "missing, and the subnet has no gateway");
		return;
	}
	if (!check_address(check, object, field, route->next_hop, &address) ||
	    !check_inside(check, object, field, &address, prefix) || ip_is_v4(&address))
		return;
	if (!ip_parse(gateway, &router) || !ip_equal(&router, &address))
		problems_add(check->problems, object, field,
			     "router advertisements tell of the gateway only");
}

void check_subnet_services(struct check *check, const Sluice__V1__Object *object, size_t index,
			   const struct ip_prefix *prefix)
{
	const Sluice__V1__Subnet *subnet = object->network->subnets[index];
	const char *field = CHECK_PATH("subnets[%zu].addressMode", index);

	if (subnet->n_dns > SERVERS_MAX)
		problems_add(check->problems, object, CHECK_PATH("subnets[%zu].dns", index),
			     "more than %d", SERVERS_MAX);
	if (subnet->n_routes > ROUTES_MAX)
		problems_add(check->problems, object, CHECK_PATH("subnets[%zu].routes", index),
			     "more than %d", ROUTES_MAX);
	for (size_t i = 0; i < subnet->n_routes; i++)
		host_route_check(check, object, index, i, prefix, subnet->gateway);
	if (subnet->address_mode == SLUICE__V1__ADDRESS_MODE__ADDRESS_MODE_UNSPECIFIED)
		return;
	if (prefix_is_v4(prefix))
		problems_add(check->problems, object, field, "is for IPv6 subnets");
	else if (subnet->address_mode != SLUICE__V1__ADDRESS_MODE__ADDRESS_MODE_DHCPV6_STATEFUL &&
		 prefix->length != 64)
		problems_add(check->problems, object, field,
			     "workloads form addresses in a /64 only (RFC 4862)");
}
