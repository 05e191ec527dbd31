// Checks of Port: addresses that belong to its network and to it alone, and its device.

#include <stdio.h>

#include "base/domain_name.h"
#include "model/kind/check.h"
#include "model/memory.h"
#include "model/network_mtu.h"
#include "model/object.h"

#define QUEUES_MAX	16
#define VLAN_MAX	4094
#define NODE_PORTS_MAX	65533
#define PORT_GROUPS_MAX 64 // a first packet may have to ask each of them

struct port_maps {
	struct key_map *addresses; // by Vrf, or network without one
	struct key_map *macs;	   // by network
	struct key_map *nodes;	   // the node's counter
	uint32_t *counts;	   // of ports, by node
	size_t node_count;
	size_t node_capacity;
	uint16_t default_mtu;
};

// A key of a scope's name and bytes in it; its size, or 0 where the name is too long for one.
static size_t scoped_key(char key[1200], char scope, const char *name, const void *data,
			 size_t size)
{
	size_t length = strlen(name) + 1;

	if (length > 1024)
		return 0;
	key[0] = scope;
	memcpy(key + 1, name, length);
	memcpy(key + 1 + length, data, size);
	return 1 + length + size;
}

static void mac_check(struct check *check, const Sluice__V1__Object *object, struct port_maps *maps)
{
	const Sluice__V1__Port *port = object->port;
	struct mac_address mac;
	char key[1200];

	if (!check_mac(check, object, "mac", port->mac, &mac))
		return;
	size_t size = scoped_key(key, 'n', port->network, &mac, sizeof(mac));
	const Sluice__V1__Object *other = size ? key_map_add(maps->macs, key, size, object) : NULL;
	if (other)
		problem_other(problems_add(check->problems, object, "mac",
					   "Port/%s has this address already", object_name(other)),
			      other, "mac");
}

// The subnet of the network that holds the address, or NULL.
static const Sluice__V1__Subnet *subnet_of(const Sluice__V1__Network *network,
					   const struct ip_address *address,
					   struct ip_prefix *prefix)
{
	for (size_t i = 0; i < network->n_subnets; i++)
		if (prefix_parse(network->subnets[i]->cidr, prefix) &&
		    prefix_is_v4(prefix) == ip_is_v4(address) && ip_in_prefix(address, prefix))
			return network->subnets[i];
	return NULL;
}

// A problem that is as much one of the network's subnets.
static void subnet_problem(struct check *check, const Sluice__V1__Object *object, const char *field,
			   const char *text, const char *what)
{
	const Sluice__V1__Object *network = object_set_find(
		check->set, SLUICE__V1__OBJECT__KIND_NETWORK, object->port->network);

	problem_other(problems_add(check->problems, object, field, "%s %s", text, what), network,
		      "subnets");
}

// Where the port has the address.
static const char *address_field(const Sluice__V1__Object *object, const struct ip_address *address,
				 char field[CHECK_PATH_SIZE])
{
	struct ip_address own;

	for (size_t i = 0; i < object->port->n_addresses; i++)
		if (ip_parse(object->port->addresses[i], &own) && ip_equal(&own, address))
			return check_path(field, "addresses[%zu]", i);
	return "addresses";
}

static void address_check(struct check *check, const Sluice__V1__Object *object, size_t index,
			  const Sluice__V1__Network *network, struct port_maps *maps)
{
	const char *field = CHECK_PATH("addresses[%zu]", index);
	const char *text = object->port->addresses[index];
	struct ip_address address, gateway;
	struct ip_prefix prefix;
	char key[1200], other_field[CHECK_PATH_SIZE];

	if (!check_address(check, object, field, text, &address) ||
	    !check_host_address(check, object, field, &address) || !network)
		return;
	const Sluice__V1__Subnet *subnet = subnet_of(network, &address, &prefix);
	if (!subnet) {
		char what[128];

		snprintf(what, sizeof(what), "is in no subnet of Network/%s", network->name);
		subnet_problem(check, object, field, text, what);
		return;
	}
	if (!check_inside(check, object, field, &address, &prefix))
		return;
	if (ip_parse(subnet->gateway, &gateway) && ip_equal(&gateway, &address)) {
		subnet_problem(check, object, field, text, "is the gateway of its subnet");
		return;
	}
	// RFC 4291 section 2.6.1; RFC 6164 excepts /127.
	if (!ip_is_v4(&address) && prefix.length < 127 && ip_equal(&address, &prefix.address)) {
		problems_add(check->problems, object, field,
			     "%s is the address of the subnet's routers (anycast)", text);
		return;
	}
	size_t size =
		scoped_key(key, *network->vrf ? 'v' : 'n',
			   *network->vrf ? network->vrf : network->name, &address, sizeof(address));
	const Sluice__V1__Object *other =
		size ? key_map_add(maps->addresses, key, size, object) : NULL;
	if (other == object)
		problems_add(check->problems, object, field, "%s is given twice", text);
	else if (other)
		problem_other(problems_add(check->problems, object, field, "Port/%s has %s already",
					   object_name(other), text),
			      other, address_field(other, &address, other_field));
}

static bool prefix_is_host(const struct ip_prefix *prefix)
{
	return prefix->length == 128;
}

static void allowed_check(struct check *check, const Sluice__V1__Object *object, size_t index,
			  const Sluice__V1__Network *network)
{
	const char *field = CHECK_PATH("allowedAddresses[%zu]", index);
	const char *text = object->port->allowed_addresses[index];
	const Sluice__V1__Subnet *subnet;
	struct ip_prefix prefix, around;
	struct ip_address gateway;

	if (!check_prefix(check, object, field, text, &prefix))
		return;
	// 0.0.0.0/0 and ::/0 mean any address that a packet can come from.
	if (prefix.length && ip_is_multicast(&prefix.address)) {
		problems_add(check->problems, object, field,
			     "%s is multicast, no packet comes from there", text);
		return;
	}
	subnet = network && prefix_is_host(&prefix) ? subnet_of(network, &prefix.address, &around)
						    : NULL;
	if (subnet && ip_parse(subnet->gateway, &gateway) && ip_equal(&gateway, &prefix.address))
		subnet_problem(check, object, field, text, "is the gateway of its subnet");
}

// A list that names something twice.
static void twice_check(struct check *check, const Sluice__V1__Object *object, const char *list,
			char *const *names, size_t count)
{
	struct key_map *seen;

	if (count < 2)
		return;
	seen = key_map_new();
	for (size_t i = 0; i < count; i++)
		if (key_map_add(seen, names[i], strlen(names[i]), names[i]))
			problems_add(check->problems, object, CHECK_PATH("%s[%zu]", list, i),
				     "'%s' is given twice", names[i]);
	key_map_free(seen);
}

static const Sluice__V1__Network *network_of(struct check *check, const Sluice__V1__Port *port)
{
	const Sluice__V1__Object *object =
		object_set_find(check->set, SLUICE__V1__OBJECT__KIND_NETWORK, port->network);

	return object ? object->network : NULL;
}

// A sub-interface; its frames go through the parent's device.
static void vlan_check(struct check *check, const Sluice__V1__Object *object,
		       const struct port_maps *maps)
{
	const char *field = "device.vlan.port";
	const Sluice__V1__Vlan *vlan = object->port->device->vlan;
	const Sluice__V1__Network *network = network_of(check, object->port), *outer;
	const Sluice__V1__Object *outer_object;
	const Sluice__V1__Port *parent;

	if (vlan->id < 1 || vlan->id > VLAN_MAX)
		problems_add(check->problems, object, "device.vlan.id", "%u is not 1 to %d",
			     vlan->id, VLAN_MAX);
	if (!check_reference(check, object, field, SLUICE__V1__OBJECT__KIND_PORT, vlan->port))
		return;
	outer_object = object_set_find(check->set, SLUICE__V1__OBJECT__KIND_PORT, vlan->port);
	parent = outer_object->port;
	if (parent->device && parent->device->device_case == SLUICE__V1__DEVICE__DEVICE_VLAN) {
		problem_other(problems_add(check->problems, object, field,
					   "Port/%s is a VLAN itself", vlan->port),
			      outer_object, "device.vlan");
		return;
	}
	if (strcmp(parent->node, object->port->node) != 0) {
		problem_other(problems_add(check->problems, object, field, "Port/%s is on Node/%s",
					   vlan->port, parent->node),
			      outer_object, "node");
		return;
	}
	check_vlan(check, object, "device.vlan.id", object->port->node, vlan->port, vlan->id);
	outer = network_of(check, parent);
	if (network && outer &&
	    network_mtu(network, maps->default_mtu) > network_mtu(outer, maps->default_mtu))
		problems_add(check->problems, object, "network",
			     "mtu %u is larger than the %u of Network/%s, which Port/%s is in",
			     network_mtu(network, maps->default_mtu),
			     network_mtu(outer, maps->default_mtu), outer->name, vlan->port);
}

#define DEVICES_MAX 8

static void one_of_several_check(struct check *check, const Sluice__V1__Object *object,
				 size_t index)
{
	const Sluice__V1__PortDevice *device = object->port->device->devices[index];
	const char *node = object->port->node;

	switch (device->device_case) {
	case SLUICE__V1__PORT_DEVICE__DEVICE_NETDEV:
		check_interface(check, object, CHECK_PATH("device.devices[%zu].netdev", index),
				node, "", device->netdev);
		break;
	case SLUICE__V1__PORT_DEVICE__DEVICE_PCI:
		check_pci(check, object, CHECK_PATH("device.devices[%zu].pci", index), node,
			  device->pci);
		break;
	case SLUICE__V1__PORT_DEVICE__DEVICE_DEVARGS:
		check_devargs(check, object, CHECK_PATH("device.devices[%zu].devargs", index), node,
			      device->devargs);
		break;
	default:
		break;
	}
}

static void devices_check(struct check *check, const Sluice__V1__Object *object)
{
	const Sluice__V1__Device *device = object->port->device;

	if (!device->n_devices)
		return;
	if (device->device_case != SLUICE__V1__DEVICE__DEVICE__NOT_SET)
		problems_add(check->problems, object, "device.devices",
			     "is a list instead of the one device that is named beside it");
	if (device->n_devices > DEVICES_MAX)
		problems_add(check->problems, object, "device.devices", "more than %d",
			     DEVICES_MAX);
	for (size_t i = 0; i < device->n_devices; i++)
		one_of_several_check(check, object, i);
}

static void device_check(struct check *check, const Sluice__V1__Object *object,
			 const struct port_maps *maps)
{
	const Sluice__V1__Device *device = object->port->device;
	const char *node = object->port->node;

	if (!device) {
		problems_add(check->problems, object, "device", "missing");
		return;
	}
	devices_check(check, object);
	switch (device->device_case) {
	case SLUICE__V1__DEVICE__DEVICE_VHOST_USER:
		check_vhost_user(check, object, "device.vhostUser", node, device->vhost_user,
				 QUEUES_MAX);
		break;
	case SLUICE__V1__DEVICE__DEVICE_TAP:
		check_netns(check, object, "device.tap.netns", device->tap->netns);
		check_interface(check, object, "device.tap.name", node, device->tap->netns,
				device->tap->name);
		break;
	case SLUICE__V1__DEVICE__DEVICE_NETDEV:
		check_interface(check, object, "device.netdev.name", node, "",
				device->netdev->name);
		break;
	case SLUICE__V1__DEVICE__DEVICE_PCI:
		check_pci(check, object, "device.pci", node, device->pci);
		break;
	case SLUICE__V1__DEVICE__DEVICE_DEVARGS:
		check_devargs(check, object, "device.devargs", node, device->devargs);
		break;
	case SLUICE__V1__DEVICE__DEVICE_VLAN:
		vlan_check(check, object, maps);
		break;
	default: // reported by the check that all messages have
		break;
	}
}

// Numbers of ports have 16 bits, and a node has some of its own.
static void count_check(struct check *check, const Sluice__V1__Object *object,
			struct port_maps *maps)
{
	const char *node = object->port->node;
	uintptr_t place = (uintptr_t)key_map_find(maps->nodes, node, strlen(node));

	if (!place) {
		place = maps->node_count + 1;
		maps->counts = memory_grow(maps->counts, maps->node_count, &maps->node_capacity,
					   sizeof(*maps->counts));
		maps->counts[maps->node_count++] = 0;
		key_map_add(maps->nodes, node, strlen(node), (const void *)place);
	}
	if (++maps->counts[place - 1] == NODE_PORTS_MAX + 1)
		problems_add(check->problems, object, "node", "more than %d ports on Node/%s",
			     NODE_PORTS_MAX, node);
}

static void one_port_check(struct check *check, const Sluice__V1__Object *object,
			   struct port_maps *maps)
{
	const Sluice__V1__Port *port = object->port;
	const Sluice__V1__Network *network = NULL;

	// Statistics give the uplink and the host's share in it under these names.
	if (strcmp(port->name, "uplink") == 0 || strcmp(port->name, "uplink-host") == 0)
		problems_add(check->problems, object, "name",
			     "'%s' is the name of a node's own port", port->name);
	check_reference(check, object, "node", SLUICE__V1__OBJECT__KIND_NODE, port->node);
	count_check(check, object, maps);
	if (check_reference(check, object, "network", SLUICE__V1__OBJECT__KIND_NETWORK,
			    port->network))
		network =
			object_set_find(check->set, SLUICE__V1__OBJECT__KIND_NETWORK, port->network)
				->network;
	if (network && network->external) {
		problems_add(check->problems, object, "network",
			     "Network/%s is external: no Ports are in it", network->name);
		network = NULL;
	}
	mac_check(check, object, maps);
	for (size_t i = 0; i < port->n_addresses; i++)
		address_check(check, object, i, network, maps);
	for (size_t i = 0; i < port->n_allowed_addresses; i++)
		allowed_check(check, object, i, network);
	twice_check(check, object, "allowedAddresses", port->allowed_addresses,
		    port->n_allowed_addresses);
	if (port->n_security_groups > PORT_GROUPS_MAX)
		problems_add(check->problems, object, "securityGroups", "more than %d",
			     PORT_GROUPS_MAX);
	for (size_t i = 0; i < port->n_security_groups; i++)
		check_reference(check, object, CHECK_PATH("securityGroups[%zu]", i),
				SLUICE__V1__OBJECT__KIND_SECURITY_GROUP, port->security_groups[i]);
	twice_check(check, object, "securityGroups", port->security_groups,
		    port->n_security_groups);
	device_check(check, object, maps);
	if (*port->host_name && !domain_label_valid(port->host_name))
		problems_add(check->problems, object, "hostName",
			     "'%s' is no host name (letters, digits and inner hyphens, at most %d)",
			     port->host_name, DOMAIN_LABEL_MAX);
	if (*port->qos_policy)
		check_reference(check, object, "qosPolicy", SLUICE__V1__OBJECT__KIND_QOS_POLICY,
				port->qos_policy);
	if (port->boot)
		check_boot(check, object, "boot", port->boot);
	check_limits(check, object, port->limits);
}

void port_check(struct check *check)
{
	struct port_maps maps = {.addresses = key_map_new(),
				 .nodes = key_map_new(),
				 .macs = key_map_new(),
				 .default_mtu = network_default_mtu(check->set)};
	size_t count = check_count(check, SLUICE__V1__OBJECT__KIND_PORT);

	for (size_t i = 0; i < count; i++)
		one_port_check(check, check_at(check, SLUICE__V1__OBJECT__KIND_PORT, i), &maps);
	key_map_free(maps.addresses);
	key_map_free(maps.macs);
	key_map_free(maps.nodes);
	free(maps.counts);
}
