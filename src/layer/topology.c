#include "layer/topology.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/prefix_map.h"
#include "layer/allowed_address/compile.h"
#include "layer/multicast/receivers.h"
#include "layer/shared_address/compile.h"
#include "layer/tracking/compile.h"
#include "layer/tunnel/tunnel.h"
#include "model/network_mtu.h"

#define MULTICAST_RATE 1000

static int no_memory(struct error *err)
{
	return error_set(err, "no memory for the tables");
}

static const Sluice__V1__Object *object_at(const struct compile *compile,
					   Sluice__V1__Object__KindCase kind, size_t i)
{
	return object_set_at(compile->objects, kind, i);
}

static size_t object_count(const struct compile *compile, Sluice__V1__Object__KindCase kind)
{
	return object_set_count(compile->objects, kind);
}

// Same MAC address on every node and in every network that can't be told apart: workloads keep
// their neighbour entry when they move. 02:53:4c is locally administered and refused for ports.
static struct mac_address gateway_mac(uint32_t vni)
{
	return (struct mac_address){
		{0x02, 0x53, 0x4c, (uint8_t)(vni >> 16), (uint8_t)(vni >> 8), (uint8_t)vni}};
}

static int compile_subnet(struct tables *tables, struct network *network,
			  const Sluice__V1__Subnet *object, struct error *err)
{
	struct subnet *subnet = &network->subnets[network->subnet_count++];

	if (!prefix_parse(object->cidr, &subnet->prefix))
		return error_set(err, "Network/%s: cidr %s", network->name, object->cidr);
	subnet->has_gateway =
		object->gateway && *object->gateway && ip_parse(object->gateway, &subnet->gateway);
	if (subnet->has_gateway &&
	    !lookup_add(&tables->by_gateway, lookup_key_address(network->domain, &subnet->gateway),
			network->number))
		return no_memory(err);
	tables->subnets[tables->subnet_count++] = (struct domain_prefix){
		.domain = network->domain,
		.prefix = subnet->prefix,
	};
	return 0;
}

static int compare_subnets(const void *a, const void *b)
{
	const struct domain_prefix *x = a, *y = b;
	int order = (int)x->domain - (int)y->domain;

	return order ? order : prefix_compare(&x->prefix, &y->prefix);
}

static int compile_networks(struct compile *compile, struct error *err)
{
	struct tables *tables = compile->tables;
	size_t count = object_count(compile, SLUICE__V1__OBJECT__KIND_NETWORK), subnets = 0;
	uint16_t mtu = network_default_mtu(compile->objects);

	for (size_t i = 0; i < count; i++) {
		const Sluice__V1__Network *object =
			object_at(compile, SLUICE__V1__OBJECT__KIND_NETWORK, i)->network;
		uint32_t number = numbers_get(&compile->numbers->networks, object->name);

		if (!number)
			return error_set(err, "Network/%s: more than 65535 networks", object->name);
		if (number >= tables->network_count)
			tables->network_count = number + 1;
		subnets += object->n_subnets;
	}
	tables->networks = calloc(tables->network_count + 1, sizeof(*tables->networks));
	tables->subnets = calloc(subnets + 1, sizeof(*tables->subnets));
	if (!tables->networks || !tables->subnets)
		return no_memory(err);
	for (size_t i = 0; i < count; i++) {
		const Sluice__V1__Network *object =
			object_at(compile, SLUICE__V1__OBJECT__KIND_NETWORK, i)->network;
		uint32_t number = numbers_get(&compile->numbers->networks, object->name);
		struct network *network = &tables->networks[number];
		char domain[TABLES_NAME_SIZE + 16];

		snprintf(network->name, sizeof(network->name), "%s", object->name);
		network->number = (uint16_t)number;
		network->routed = object->vrf && *object->vrf;
		snprintf(domain, sizeof(domain), "%s/%s", network->routed ? "Vrf" : "Network",
			 network->routed ? object->vrf : object->name);
		network->domain = (uint16_t)numbers_get(&compile->numbers->domains, domain);
		if (!network->domain)
			return error_set(err, "Network/%s: more than 65535 routing domains",
					 object->name);
		network->mtu = network_mtu(object, mtu);
		network->vni = object->vni;
		network->gateway_mac = gateway_mac(object->vni);
		network->multicast_rate = MULTICAST_RATE;
		if (object->multicast && object->multicast->has_rate_case)
			network->multicast_rate = object->multicast->rate;
		network->multicast_burst = network->multicast_rate;
		if (object->multicast && object->multicast->has_burst_case)
			network->multicast_burst = object->multicast->burst;
		if (!tracking_compile(network, object->connection_tracking))
			return no_memory(err);
		network->subnets = calloc(object->n_subnets + 1, sizeof(*network->subnets));
		if (!network->subnets)
			return no_memory(err);
		if (network->vni &&
		    !lookup_add(&tables->by_vni, (struct lookup_key){{network->vni, 0, 0}}, number))
			return no_memory(err);
		for (size_t j = 0; j < object->n_subnets; j++)
			if (compile_subnet(tables, network, object->subnets[j], err) < 0)
				return -1;
	}
	qsort(tables->subnets, tables->subnet_count, sizeof(*tables->subnets), compare_subnets);
	return tracking_collect(tables) ? 0 : no_memory(err);
}

static int find_next_hop(struct compile *compile, struct peer *peer, struct error *err)
{
	struct underlay *underlay = &compile->tables->underlay;
	const struct ip_address *address = &peer->vtep;
	uint32_t index;

	if (!ip_in_prefix(address, &underlay->vtep)) {
		if (!underlay->has_gateway || ip_is_v4(address) != ip_is_v4(&underlay->gateway))
			return 0;
		address = &underlay->gateway;
	}
	peer->next_hop = neighbours_get(compile->neighbours, address);
	if (!peer->next_hop)
		return error_set(err, "Node/%s: more than %u next hops", peer->name,
				 NEIGHBOURS_MAX);
	index = lookup_find(&underlay->neighbours, lookup_key_address(0, address));
	if (index)
		return 0;
	underlay->neighbour[underlay->neighbour_count++] = peer->next_hop;
	return lookup_add(&underlay->neighbours, lookup_key_address(0, address),
			  underlay->neighbour_count)
		       ? 0
		       : no_memory(err);
}

static int compile_nodes(struct compile *compile, struct error *err)
{
	struct tables *tables = compile->tables;
	struct underlay *underlay = &tables->underlay;
	size_t count = object_count(compile, SLUICE__V1__OBJECT__KIND_NODE);
	const Sluice__V1__Object *self =
		object_set_find(compile->objects, SLUICE__V1__OBJECT__KIND_NODE, compile->node);

	if (self && self->node->uplink && self->node->vtep &&
	    prefix_parse(self->node->vtep, &underlay->vtep)) {
		underlay->present = true;
		underlay->has_gateway = self->node->gateway && *self->node->gateway &&
					ip_parse(self->node->gateway, &underlay->gateway);
	}
	for (size_t i = 0; i < count; i++) {
		uint32_t number = numbers_get(
			&compile->numbers->nodes,
			object_at(compile, SLUICE__V1__OBJECT__KIND_NODE, i)->node->name);

		if (!number)
			return error_set(err, "more than 65535 nodes");
		if (number >= tables->peer_count)
			tables->peer_count = number + 1;
	}
	tables->peers = calloc(tables->peer_count + 1, sizeof(*tables->peers));
	underlay->neighbour = calloc(count + 1, sizeof(*underlay->neighbour));
	if (!tables->peers || !underlay->neighbour)
		return no_memory(err);
	for (size_t i = 0; i < count; i++) {
		const Sluice__V1__Node *object =
			object_at(compile, SLUICE__V1__OBJECT__KIND_NODE, i)->node;
		uint32_t number = numbers_get(&compile->numbers->nodes, object->name);
		struct peer *peer = &tables->peers[number];
		struct ip_prefix vtep;

		snprintf(peer->name, sizeof(peer->name), "%s", object->name);
		if (strcmp(object->name, compile->node) == 0 || !object->uplink || !object->vtep ||
		    !prefix_parse(object->vtep, &vtep))
			continue;
		peer->number = (uint16_t)number;
		peer->vtep = vtep.address;
		// Complete, if without a MAC address, as long as the uplink's device is not open.
		tunnel_header_make(peer, underlay);
		peer->path = neighbours_get(compile->neighbours, &peer->vtep);
		if (!peer->path)
			return error_set(err,
					 "Node/%s: more than %u tunnel addresses and next hops",
					 peer->name, NEIGHBOURS_MAX);
		if (!lookup_add(&tables->by_vtep, lookup_key_address(0, &peer->vtep), number))
			return no_memory(err);
		if (underlay->present && find_next_hop(compile, peer, err) < 0)
			return -1;
	}
	return 0;
}

// The lists of one Port in one piece of memory.
static bool lists_new(struct endpoint_detail *detail, const Sluice__V1__Port *object)
{
	size_t addresses = object->n_addresses * sizeof(*detail->addresses);
	size_t allowed = object->n_allowed_addresses * sizeof(*detail->allowed);
	size_t groups = object->n_security_groups * sizeof(*detail->groups);
	// Addresses have the strictest alignment.
	size_t start = sizeof(struct ip_address);

	static_assert(sizeof(struct endpoint_lists) <= sizeof(struct ip_address), "room");
	detail->lists = calloc(1, start + addresses + allowed + groups);
	if (!detail->lists)
		return false;
	detail->lists->references = 1;
	detail->addresses = (struct ip_address *)((char *)detail->lists + start);
	detail->allowed = (struct ip_prefix *)((char *)detail->addresses + addresses);
	detail->groups = (uint16_t *)((char *)detail->allowed + allowed);
	return true;
}

static int read_lists(struct compile *compile, const Sluice__V1__Port *object,
		      struct endpoint_detail *detail, struct error *err)
{
	if (!lists_new(detail, object))
		return no_memory(err);
	for (size_t i = 0; i < object->n_addresses; i++)
		if (!ip_parse(object->addresses[i], &detail->addresses[detail->address_count++]))
			return error_set(err, "Port/%s: address %s", object->name,
					 object->addresses[i]);
	for (size_t i = 0; i < object->n_allowed_addresses; i++)
		if (!prefix_parse(object->allowed_addresses[i],
				  &detail->allowed[detail->allowed_count++]))
			return error_set(err, "Port/%s: prefix %s", object->name,
					 object->allowed_addresses[i]);
	for (size_t i = 0; i < object->n_security_groups; i++)
		detail->groups[detail->group_count++] = (uint16_t)numbers_find(
			&compile->numbers->groups, object->security_groups[i]);
	return 0;
}

// What follows from the Port alone, and from numbers.
static int read_port(struct compile *compile, const Sluice__V1__Port *object,
		     struct endpoint *endpoint, struct endpoint_detail *detail, struct error *err)
{
	if (!mac_parse(object->mac, &endpoint->mac))
		return error_set(err, "Port/%s: mac", object->name);
	endpoint->network = (uint16_t)numbers_find(&compile->numbers->networks, object->network);
	if (strcmp(object->node, compile->node) == 0) {
		endpoint->port = (uint16_t)numbers_find(&compile->numbers->ports, object->name);
	} else {
		endpoint->port = PORT_UPLINK;
		endpoint->peer = (uint16_t)numbers_find(&compile->numbers->nodes, object->node);
	}
	snprintf(detail->name, sizeof(detail->name), "%s", object->name);
	detail->link_local = ip_link_local_of(&endpoint->mac);
	return read_lists(compile, object, detail, err);
}

static void keep_port(const struct tables *previous, uint32_t index, struct endpoint *endpoint,
		      struct endpoint_detail *detail)
{
	const struct endpoint *before = &previous->endpoints[index];

	*detail = previous->details[index];
	detail->lists->references++;
	endpoint->mac = before->mac;
	endpoint->network = before->network;
	endpoint->port = before->port;
	endpoint->peer = before->peer;
}

static int compile_port(struct compile *compile, uint32_t index, struct error *err)
{
	struct tables *tables = compile->tables;
	struct endpoint *endpoint = &tables->endpoints[index];
	struct endpoint_detail *detail = &tables->details[index];
	const struct network *network;

	if (compile_kept(compile, SLUICE__V1__OBJECT__KIND_PORT, index - 1))
		keep_port(compile->previous, index, endpoint, detail);
	else if (read_port(compile,
			   object_at(compile, SLUICE__V1__OBJECT__KIND_PORT, index - 1)->port,
			   endpoint, detail, err) < 0)
		return -1;
	network = tables_network(tables, endpoint->network);
	if (!network)
		return error_set(err, "Port/%s: network", detail->name);
	endpoint->gateway_mac = network->gateway_mac;
	endpoint->vni = network->vni;
	endpoint->mtu = network->mtu;
	if (!endpoint->peer)
		tables->ports[endpoint->port].endpoint = index;
	if (!lookup_add(&tables->by_mac, lookup_key_mac(network->number, &endpoint->mac), index))
		return no_memory(err);
	for (uint32_t i = 0; i < detail->address_count; i++)
		if (!lookup_add(&tables->by_address,
				lookup_key_address(network->domain, &detail->addresses[i]), index))
			return no_memory(err);
	for (uint32_t i = 0; i < detail->allowed_count; i++)
		tables->allowed[tables->allowed_count++] = (struct domain_prefix){
			.domain = network->domain, .endpoint = index, .prefix = detail->allowed[i]};
	return 0;
}

// A port that is a VLAN on another one's device.
static int compile_vlan(struct compile *compile, const Sluice__V1__Port *object, struct error *err)
{
	struct tables *tables = compile->tables;
	const Sluice__V1__Vlan *vlan = object->device->vlan;
	uint32_t number = numbers_find(&compile->numbers->ports, object->name);
	uint32_t parent = numbers_find(&compile->numbers->ports, vlan->port);
	struct port_binding *binding = &tables->ports[number];

	if (!parent || parent >= tables->port_count || !tables->ports[parent].endpoint)
		return error_set(err, "Port/%s: port %s", object->name, vlan->port);
	binding->parent = (uint16_t)parent;
	binding->vlan = (uint16_t)vlan->id;
	return lookup_add(&tables->by_vlan, (struct lookup_key){{parent, vlan->id, 0}}, number)
		       ? 0
		       : no_memory(err);
}

static int compile_vlans(struct compile *compile, struct error *err)
{
	const struct tables *tables = compile->tables;

	for (uint32_t number = PORT_HOST + 1; number < tables->port_count; number++) {
		uint32_t index = tables->ports[number].endpoint;
		const Sluice__V1__Port *object;

		if (!index)
			continue;
		object = object_at(compile, SLUICE__V1__OBJECT__KIND_PORT, index - 1)->port;
		if (object->device &&
		    object->device->device_case == SLUICE__V1__DEVICE__DEVICE_VLAN &&
		    compile_vlan(compile, object, err) < 0)
			return -1;
	}
	return 0;
}

// What there is to make room for.
struct totals {
	uint32_t addresses;
	uint32_t allowed;
};

// Gives the Ports of this node their numbers.
static int number_ports(struct compile *compile, struct totals *totals, struct error *err)
{
	size_t count = object_count(compile, SLUICE__V1__OBJECT__KIND_PORT);
	struct tables *tables = compile->tables;

	tables->port_count = PORT_HOST + 1;
	for (size_t i = 0; i < count; i++) {
		const Sluice__V1__Port *object;
		uint32_t number;

		if (compile_kept(compile, SLUICE__V1__OBJECT__KIND_PORT, i)) {
			const struct endpoint *before = &compile->previous->endpoints[i + 1];

			totals->addresses += compile->previous->details[i + 1].address_count;
			totals->allowed += compile->previous->details[i + 1].allowed_count;
			if (before->peer)
				continue;
			number = before->port;
			numbers_keep(&compile->numbers->ports, number);
		} else {
			object = object_at(compile, SLUICE__V1__OBJECT__KIND_PORT, i)->port;
			totals->addresses += (uint32_t)object->n_addresses;
			totals->allowed += (uint32_t)object->n_allowed_addresses;
			if (strcmp(object->node, compile->node) != 0)
				continue;
			number = numbers_get(&compile->numbers->ports, object->name);
			if (!number)
				return error_set(err, "Port/%s: more than 65533 ports on this node",
						 object->name);
		}
		if (number >= tables->port_count)
			tables->port_count = number + 1;
	}
	return 0;
}

static int compile_ports(struct compile *compile, struct error *err)
{
	struct tables *tables = compile->tables;
	size_t count = object_count(compile, SLUICE__V1__OBJECT__KIND_PORT);
	struct totals totals = {0};

	if (number_ports(compile, &totals, err) < 0)
		return -1;
	tables->endpoint_count = (uint32_t)count + 1;
	tables->endpoints = calloc(count + 1, sizeof(*tables->endpoints));
	tables->details = calloc(count + 1, sizeof(*tables->details));
	tables->ports = calloc(tables->port_count, sizeof(*tables->ports));
	tables->allowed = calloc((size_t)totals.allowed + 1, sizeof(*tables->allowed));
	if (!tables->endpoints || !tables->details || !tables->ports || !tables->allowed ||
	    !lookup_reserve(&tables->by_mac, (uint32_t)count) ||
	    !lookup_reserve(&tables->by_address, totals.addresses))
		return no_memory(err);
	for (size_t i = 0; i < count; i++)
		if (compile_port(compile, (uint32_t)i + 1, err) < 0)
			return -1;
	if (compile_vlans(compile, err) < 0 || shared_addresses_compile(compile, err) < 0)
		return -1;
	return allowed_addresses_compile(compile) && receivers_compile(tables) ? 0 : no_memory(err);
}

static int number_groups(struct compile *compile, struct error *err)
{
	size_t count = object_count(compile, SLUICE__V1__OBJECT__KIND_SECURITY_GROUP);

	for (size_t i = 0; i < count; i++) {
		const char *name = object_at(compile, SLUICE__V1__OBJECT__KIND_SECURITY_GROUP, i)
					   ->security_group->name;

		if (!numbers_get(&compile->numbers->groups, name))
			return error_set(err, "SecurityGroup/%s: more than 32767 groups", name);
	}
	return 0;
}

int topology_compile(struct compile *compile, struct error *err)
{
	struct compile_numbers *numbers = compile->numbers;

	numbers_begin(&numbers->domains);
	numbers_begin(&numbers->networks);
	numbers_begin(&numbers->ports);
	numbers_begin(&numbers->nodes);
	numbers_begin(&numbers->groups);
	address_owners_begin(&numbers->owners);
	if (compile_networks(compile, err) < 0 || compile_nodes(compile, err) < 0 ||
	    number_groups(compile, err) < 0)
		return -1;
	return compile_ports(compile, err);
}

void topology_free(struct tables *tables)
{
	tracking_free(tables);
	for (uint32_t i = 0; tables->networks && i < tables->network_count; i++) {
		free(tables->networks[i].subnets);
		free(tables->networks[i].local);
		free(tables->networks[i].remote);
	}
	for (uint32_t i = 0; tables->details && i < tables->endpoint_count; i++) {
		struct endpoint_lists *lists = tables->details[i].lists;

		if (lists && --lists->references == 0)
			free(lists);
	}
	shared_addresses_free(tables);
	allowed_addresses_free(tables);
	free(tables->networks);
	free(tables->endpoints);
	free(tables->details);
	free(tables->ports);
	free(tables->peers);
	free(tables->subnets);
	free(tables->allowed);
	free(tables->underlay.neighbour);
	lookup_free(&tables->underlay.neighbours);
	lookup_free(&tables->by_mac);
	lookup_free(&tables->by_address);
	lookup_free(&tables->by_gateway);
	lookup_free(&tables->by_vni);
	lookup_free(&tables->by_vtep);
	lookup_free(&tables->by_vlan);
}
