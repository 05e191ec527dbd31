// Checks of LoadBalancer: virtual addresses that nobody else has, members that can be reached, and
// how their health is asked for.

#include <stdio.h>
#include <string.h>

#include "model/kind/check.h"
#include "model/kind/load_balancer_private.h"
#include "model/memory.h"
#include "model/object.h"

#define LOAD_BALANCER SLUICE__V1__OBJECT__KIND_LOAD_BALANCER
#define NETWORK	      SLUICE__V1__OBJECT__KIND_NETWORK
#define PORT	      SLUICE__V1__OBJECT__KIND_PORT
#define VRF	      SLUICE__V1__OBJECT__KIND_VRF

#define ADDRESSES_MAX 16
#define PORTS_MAX     64

#define KEY_SIZE 1200

// A Vrf's name and what is in it; 0 where the name is too long for one.
static size_t make_key(char key[KEY_SIZE], const char *vrf, const void *data, size_t size)
{
	size_t length = strlen(vrf) + 1;

	if (length > 1024)
		return 0;
	memcpy(key, vrf, length);
	memcpy(key + length, data, size);
	return length + size;
}

// Who had it before, or NULL.
static const struct holder *hold(struct maps *maps, struct key_map *map, const char *vrf,
				 const void *data, size_t data_size,
				 const Sluice__V1__Object *object, const char *field)
{
	struct holder *holder = memory_new(sizeof(*holder));
	const struct holder *other;
	char key[KEY_SIZE];
	size_t size = make_key(key, vrf, data, data_size);

	holder->object = object;
	snprintf(holder->field, sizeof(holder->field), "%s", field);
	maps->holders =
		memory_grow(maps->holders, maps->count, &maps->capacity, sizeof(*maps->holders));
	maps->holders[maps->count++] = holder;
	other = size ? key_map_add(map, key, size, holder) : NULL;
	return other;
}

const struct holder *balancer_find_holder(struct key_map *map, const char *vrf,
					  const struct ip_address *address)
{
	char key[KEY_SIZE];
	size_t size = make_key(key, vrf, address, sizeof(*address));

	return size ? key_map_find(map, key, size) : NULL;
}

const Sluice__V1__Network *balancer_network_of(const struct check *check,
					       const Sluice__V1__Port *port)
{
	const Sluice__V1__Object *object = object_set_find(check->set, NETWORK, port->network);

	return object ? object->network : NULL;
}

static void add_ports(struct check *check, struct maps *maps)
{
	for (size_t i = 0; i < check_count(check, PORT); i++) {
		const Sluice__V1__Object *object = check_at(check, PORT, i);
		const Sluice__V1__Port *port = object->port;
		const Sluice__V1__Network *network = balancer_network_of(check, port);
		struct ip_address address;
		struct ip_prefix prefix;

		if (!network || !*network->vrf)
			continue;
		for (size_t a = 0; a < port->n_addresses; a++)
			if (ip_parse(port->addresses[a], &address))
				hold(maps, maps->held, network->vrf, &address, sizeof(address),
				     object, CHECK_PATH("addresses[%zu]", a));
		for (size_t a = 0; a < port->n_allowed_addresses; a++)
			if (prefix_parse(port->allowed_addresses[a], &prefix) &&
			    prefix.length == 128)
				hold(maps, maps->held, network->vrf, &prefix.address,
				     sizeof(prefix.address), object,
				     CHECK_PATH("allowedAddresses[%zu]", a));
	}
}

bool balancer_place_check(struct check *check, const Sluice__V1__Object *object, const char *field,
			  const struct ip_address *address, const struct maps *maps, bool must)
{
	const char *vrf = object->load_balancer->vrf;
	const struct vrf_subnet *found = subnets_find(&maps->subnets, vrf, address);
	struct ip_address gateway;
	char text[IP_TEXT_SIZE];

	if (!found) {
		if (must)
			problems_add(check->problems, object, field,
				     "can't be reached: %s is in no subnet of Vrf/%s",
				     ip_format(address, text), vrf);
		return !must;
	}
	if (!check_inside(check, object, field, address, &found->prefix))
		return false;
	if (!ip_parse(found->network->network->subnets[found->index]->gateway, &gateway) ||
	    !ip_equal(&gateway, address))
		return true;
	problem_other(problems_add(check->problems, object, field,
				   "%s is the gateway of Network/%s", ip_format(address, text),
				   object_name(found->network)),
		      found->network, CHECK_PATH("subnets[%zu].gateway", found->index));
	return false;
}

// `scope`: a Vrf, or an external network.
static void services_check(struct check *check, const Sluice__V1__Object *object, const char *scope,
			   size_t index, const struct ip_address *address, struct maps *maps)
{
	const Sluice__V1__LoadBalancer *balancer = object->load_balancer;
	char text[IP_TEXT_SIZE];

	for (size_t i = 0; i < balancer->n_ports; i++) {
		const Sluice__V1__BalancedPort *port = balancer->ports[i];
		struct {
			struct ip_address address;
			uint32_t protocol, port;
		} service = {*address, port->protocol ? port->protocol : 1, port->port};
		const struct holder *other =
			hold(maps, maps->services, scope, &service, sizeof(service), object,
			     CHECK_PATH("addresses[%zu]", index));

		if (!other)
			continue;
		// Its own are reported already, and so are those of the Vrf.
		if (other->object != object &&
		    (scope == balancer->vrf ||
		     strcmp(other->object->load_balancer->vrf, balancer->vrf) != 0))
			problem_other(problems_add(check->problems, object,
						   CHECK_PATH("addresses[%zu]", index),
						   "LoadBalancer/%s has %s with port %u already",
						   object_name(other->object),
						   ip_format(address, text), port->port),
				      other->object, other->field);
	}
}

// On an external network, where several LoadBalancers may have it.
static bool outside_check(struct check *check, const Sluice__V1__Object *object, size_t index,
			  const struct ip_address *address, struct maps *maps)
{
	const char *network = object->load_balancer->network;
	const char *field = CHECK_PATH("addresses[%zu]", index);
	const Sluice__V1__Object *outside = object_set_find(check->set, NETWORK, network);
	struct ip_prefix host = {.address = *address, .length = 128};
	char scope[CHECK_PATH_SIZE];

	if (!outside || !outside->network->external)
		return false;
	// No Vrf has such a name.
	check_path(scope, "Network/%s", network);
	if (!hold(maps, maps->own, scope, address, sizeof(*address), object, field) &&
	    !check_external_prefix(check, object, field, network, &host))
		return false;
	services_check(check, object, scope, index, address, maps);
	return true;
}

// Returns the address's family.
static unsigned int address_check(struct check *check, const Sluice__V1__Object *object,
				  size_t index, struct maps *maps)
{
	const Sluice__V1__LoadBalancer *balancer = object->load_balancer;
	const char *text = balancer->addresses[index], *field = CHECK_PATH("addresses[%zu]", index);
	const struct holder *other;
	struct ip_address address;

	if (!check_address(check, object, field, text, &address) ||
	    !check_host_address(check, object, field, &address))
		return 0;
	if (ip_is_link_local(&address)) {
		problems_add(check->problems, object, field, "%s is a link-local address", text);
		return 0;
	}
	if (!*balancer->vrf || !balancer_place_check(check, object, field, &address, maps, false))
		return 0;
	other = balancer_find_holder(maps->held, balancer->vrf, &address);
	if (other) {
		problem_other(problems_add(check->problems, object, field, "Port/%s has %s already",
					   object_name(other->object), text),
			      other->object, other->field);
		return 0;
	}
	other = hold(maps, maps->own, balancer->vrf, &address, sizeof(address), object, field);
	if (other && other->object == object) {
		problems_add(check->problems, object, field, "%s is given twice", text);
		return 0;
	}
	if (*balancer->network && !outside_check(check, object, index, &address, maps))
		return 0;
	services_check(check, object, balancer->vrf, index, &address, maps);
	return ip_is_v4(&address) ? V4 : V6;
}

static void ports_check(struct check *check, const Sluice__V1__Object *object)
{
	const Sluice__V1__LoadBalancer *balancer = object->load_balancer;
	struct key_map *seen = key_map_new();

	if (!balancer->n_ports)
		problems_add(check->problems, object, "ports", "missing");
	if (balancer->n_ports > PORTS_MAX)
		problems_add(check->problems, object, "ports", "more than %d", PORTS_MAX);
	for (size_t i = 0; i < balancer->n_ports; i++) {
		const Sluice__V1__BalancedPort *port = balancer->ports[i];
		uint32_t key[2] = {port->protocol ? port->protocol : 1, port->port};

		check_port_number(check, object, CHECK_PATH("ports[%zu].port", i), port->port);
		if (port->has_member_port_case)
			check_port_number(check, object, CHECK_PATH("ports[%zu].memberPort", i),
					  port->member_port);
		if (key_map_add(seen, key, sizeof(key), port))
			problems_add(check->problems, object, CHECK_PATH("ports[%zu]", i),
				     "port %u is given twice", port->port);
	}
	key_map_free(seen);
}

void load_balancer_check(struct check *check)
{
	size_t count = check_count(check, LOAD_BALANCER);
	struct maps maps = {.held = NULL};
	unsigned int *families;

	if (!count)
		return;
	maps.held = key_map_new();
	maps.own = key_map_new();
	maps.services = key_map_new();
	maps.subnets = subnets_of(check);
	families = memory_new(count * sizeof(*families));
	add_ports(check, &maps);
	for (size_t i = 0; i < count; i++) {
		const Sluice__V1__Object *object = check_at(check, LOAD_BALANCER, i);
		const Sluice__V1__LoadBalancer *balancer = object->load_balancer;

		check_reference(check, object, "vrf", VRF, balancer->vrf);
		if (*balancer->network)
			check_external_reference(check, object, "network", balancer->network);
		if (!balancer->n_addresses)
			problems_add(check->problems, object, "addresses", "missing");
		if (balancer->n_addresses > ADDRESSES_MAX)
			problems_add(check->problems, object, "addresses", "more than %d",
				     ADDRESSES_MAX);
		for (size_t a = 0; a < balancer->n_addresses; a++)
			families[i] |= address_check(check, object, a, &maps);
	}
	// When all virtual addresses are known.
	for (size_t i = 0; i < count; i++) {
		const Sluice__V1__Object *object = check_at(check, LOAD_BALANCER, i);

		ports_check(check, object);
		check_members(check, object, families[i], &maps);
		if (object->load_balancer->health_check)
			check_health(check, object, object->load_balancer->health_check);
	}
	for (size_t i = 0; i < maps.count; i++)
		free(maps.holders[i]);
	free(maps.holders);
	free(families);
	key_map_free(maps.held);
	key_map_free(maps.own);
	key_map_free(maps.services);
	subnets_free(&maps.subnets);
}
