// Checks of FloatingIp: an address outside that nobody else has, for a Port that has one of the
// same family and no other outside.

#include <string.h>

#include "model/kind/check.h"
#include "model/object.h"

#define FLOATING_IP SLUICE__V1__OBJECT__KIND_FLOATING_IP
#define NETWORK	    SLUICE__V1__OBJECT__KIND_NETWORK
#define PORT	    SLUICE__V1__OBJECT__KIND_PORT

// False: the Port has none that the FloatingIp could be for, which is reported.
static bool find_internal(struct check *check, const Sluice__V1__Object *object,
			  const Sluice__V1__Object *port, bool v4, struct ip_address *internal)
{
	const Sluice__V1__FloatingIp *floating = object->floating_ip;
	bool named = *floating->internal_address, found = false;
	struct ip_address address;

	if (named &&
	    !check_address(check, object, "internalAddress", floating->internal_address, internal))
		return false;
	if (named && ip_is_v4(internal) != v4) {
		problems_add(check->problems, object, "internalAddress",
			     "%s is not of the family of %s", floating->internal_address,
			     floating->address);
		return false;
	}
	for (size_t i = 0; i < port->port->n_addresses && !found; i++) {
		if (!ip_parse(port->port->addresses[i], &address) || ip_is_v4(&address) != v4)
			continue;
		found = !named || ip_equal(&address, internal);
		if (found)
			*internal = address;
	}
	if (!found && named)
		problem_other(problems_add(check->problems, object, "internalAddress",
					   "Port/%s does not have %s", object_name(port),
					   floating->internal_address),
			      port, "addresses");
	else if (!found)
		problem_other(problems_add(check->problems, object, "port",
					   "Port/%s has no %s address", object_name(port),
					   v4 ? "IPv4" : "IPv6"),
			      port, "addresses");
	return found;
}

static void port_check_of(struct check *check, const Sluice__V1__Object *object,
			  const struct ip_address *address, struct key_map *internals)
{
	const Sluice__V1__FloatingIp *floating = object->floating_ip;
	const Sluice__V1__Object *port = object_set_find(check->set, PORT, floating->port);
	const Sluice__V1__Object *network =
					 object_set_find(check->set, NETWORK, port->port->network),
				 *other;
	struct ip_address internal;
	char key[CHECK_PATH_SIZE], text[IP_TEXT_SIZE];

	if (network && !*network->network->vrf) {
		problem_other(problems_add(check->problems, object, "port",
					   "Port/%s is in Network/%s, which has no Vrf",
					   floating->port, port->port->network),
			      network, "vrf");
		return;
	}
	if (!find_internal(check, object, port, ip_is_v4(address), &internal))
		return;
	check_path(key, "%s %s %s", floating->network, floating->port, ip_format(&internal, text));
	other = key_map_add(internals, key, strlen(key), object);
	if (other)
		problem_other(problems_add(check->problems, object, "port",
					   "FloatingIp/%s is for %s of Port/%s already",
					   object_name(other), text, floating->port),
			      other, "port");
}

// The node that has the Port answers for the address.
static void node_check_of(struct check *check, const Sluice__V1__Object *object)
{
	const Sluice__V1__Object *port =
		object_set_find(check->set, PORT, object->floating_ip->port);
	const Sluice__V1__Object *network =
		object_set_find(check->set, NETWORK, object->floating_ip->network);

	check_external_part(check, object, "port", network, port->port->node);
}

void floating_ip_check(struct check *check)
{
	size_t count = check_count(check, FLOATING_IP);
	struct key_map *internals = key_map_new();

	for (size_t i = 0; i < count; i++) {
		const Sluice__V1__Object *object = check_at(check, FLOATING_IP, i);
		const Sluice__V1__FloatingIp *floating = object->floating_ip;
		struct ip_prefix host = {.length = 128};
		bool there = check_external_reference(check, object, "network", floating->network);
		bool sound = *floating->address && check_address(check, object, "address",
								 floating->address, &host.address);
		bool port = check_reference(check, object, "port", PORT, floating->port);

		check_nat_helpers(check, object, floating->helpers, floating->n_helpers);
		if (!*floating->address)
			problems_add(check->problems, object, "address", "missing");
		if (there && sound &&
		    !check_external_prefix(check, object, "address", floating->network, &host))
			continue;
		if (sound && port)
			port_check_of(check, object, &host.address, internals);
		if (there && port)
			node_check_of(check, object);
	}
	key_map_free(internals);
}
