#include "layer/endpoint/compile.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "layer/allowed_address/compile.h"
#include "layer/external/external.h"
#include "layer/multicast/receivers.h"
#include "layer/shared_address/compile.h"

static const Sluice__V1__Port *port_at(const struct compile *compile, size_t i)
{
	return object_set_at(compile->objects, SLUICE__V1__OBJECT__KIND_PORT, i)->port;
}

// What there is to make room for.
struct totals {
	uint32_t addresses;
	uint32_t allowed;
	uint32_t kept;		   // Ports that did not change
	uint32_t addresses_before; // of all Ports of the tables in force
};

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
		return compile_no_memory(err);
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

static bool enter_maps(struct tables *tables, const struct network *network, uint32_t index)
{
	const struct endpoint_detail *detail = &tables->details[index];

	if (!lookup_add(&tables->by_mac,
			lookup_key_mac(network->number, &tables->endpoints[index].mac), index))
		return false;
	for (uint32_t i = 0; i < detail->address_count; i++)
		if (!lookup_add(&tables->by_address,
				lookup_key_address(network->domain, &detail->addresses[i]), index))
			return false;
	return true;
}

static void leave_maps(struct compile *compile, uint32_t index)
{
	const struct tables *before = compile->previous;
	const struct endpoint_detail *detail = &before->details[index];
	const struct network *network = &before->networks[before->endpoints[index].network];
	struct tables *tables = compile->tables;

	lookup_remove(&tables->by_mac,
		      lookup_key_mac(network->number, &before->endpoints[index].mac));
	for (uint32_t i = 0; i < detail->address_count; i++)
		lookup_remove(&tables->by_address,
			      lookup_key_address(network->domain, &detail->addresses[i]));
}

// What is kept has the same keys: Ports in their places, and networks in their routing domains. In
// the map of addresses are those of Ports only, and not allowed ones.
static bool maps_hold(const struct compile *compile, uint32_t addresses_before)
{
	const struct tables *tables = compile->tables, *before = compile->previous;

	if (before->endpoint_count != tables->endpoint_count ||
	    before->by_address.count != addresses_before)
		return false;
	for (uint32_t i = 1; i < tables->network_count && i < before->network_count; i++)
		if (tables->networks[i].number && before->networks[i].number &&
		    tables->networks[i].domain != before->networks[i].domain)
			return false;
	return true;
}

// Makes the maps of MAC addresses and addresses, with those of the Ports that are `in_maps` then:
// where few changed, copying what is in force is quicker than adding all.
static bool maps_begin(struct compile *compile, const struct totals *totals, bool *in_maps)
{
	struct tables *tables = compile->tables;
	uint32_t count = tables->endpoint_count - 1;

	*in_maps = totals->kept > count / 2 && maps_hold(compile, totals->addresses_before);
	if (!*in_maps)
		return lookup_reserve(&tables->by_mac, count) &&
		       lookup_reserve(&tables->by_address, totals->addresses);
	if (!lookup_copy(&tables->by_mac, &compile->previous->by_mac) ||
	    !lookup_copy(&tables->by_address, &compile->previous->by_address))
		return false;
	for (uint32_t i = 1; i <= count; i++)
		if (!compile_kept(compile, SLUICE__V1__OBJECT__KIND_PORT, i - 1))
			leave_maps(compile, i);
	return true;
}

static int compile_port(struct compile *compile, uint32_t index, bool in_maps, struct error *err)
{
	struct tables *tables = compile->tables;
	struct endpoint *endpoint = &tables->endpoints[index];
	struct endpoint_detail *detail = &tables->details[index];
	bool kept = compile_kept(compile, SLUICE__V1__OBJECT__KIND_PORT, index - 1);
	const struct network *network;

	if (kept)
		keep_port(compile->previous, index, endpoint, detail);
	else if (read_port(compile, port_at(compile, index - 1), endpoint, detail, err) < 0)
		return -1;
	network = tables_network(tables, endpoint->network);
	if (!network)
		return error_set(err, "Port/%s: network", detail->name);
	endpoint->gateway_mac = network->gateway_mac;
	endpoint->vni = network->vni;
	endpoint->mtu = network->mtu;
	if (!endpoint->peer)
		tables->ports[endpoint->port].endpoint = index;
	if (!(in_maps && kept) && !enter_maps(tables, network, index))
		return compile_no_memory(err);
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
		       : compile_no_memory(err);
}

static int compile_vlans(struct compile *compile, struct error *err)
{
	const struct tables *tables = compile->tables;

	for (uint32_t number = PORT_HOST + 1; number < tables->port_count; number++) {
		uint32_t index = tables->ports[number].endpoint;
		const Sluice__V1__Port *object;

		if (!index)
			continue;
		object = port_at(compile, index - 1);
		if (object->device &&
		    object->device->device_case == SLUICE__V1__DEVICE__DEVICE_VLAN &&
		    compile_vlan(compile, object, err) < 0)
			return -1;
	}
	return 0;
}

// Gives the Ports of this node their numbers.
static int number_ports(struct compile *compile, struct totals *totals, struct error *err)
{
	size_t count = object_set_count(compile->objects, SLUICE__V1__OBJECT__KIND_PORT);
	struct tables *tables = compile->tables;

	tables->port_count = PORT_HOST + 1;
	for (uint32_t i = 1; compile->previous && i < compile->previous->endpoint_count; i++)
		totals->addresses_before += compile->previous->details[i].address_count;
	for (size_t i = 0; i < count; i++) {
		const Sluice__V1__Port *object;
		uint32_t number;

		if (compile_kept(compile, SLUICE__V1__OBJECT__KIND_PORT, i)) {
			const struct endpoint *before = &compile->previous->endpoints[i + 1];

			totals->kept++;
			totals->addresses += compile->previous->details[i + 1].address_count;
			totals->allowed += compile->previous->details[i + 1].allowed_count;
			if (before->peer)
				continue;
			number = before->port;
			numbers_keep(&compile->numbers->ports, number);
		} else {
			object = port_at(compile, i);
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

int endpoints_compile(struct compile *compile, struct error *err)
{
	struct tables *tables = compile->tables;
	size_t count = object_set_count(compile->objects, SLUICE__V1__OBJECT__KIND_PORT);
	struct totals totals = {0};
	bool in_maps;
	size_t all;

	if (number_ports(compile, &totals, err) < 0)
		return -1;
	tables->endpoint_count = (uint32_t)count + 1;
	// With those of routers outside, and of who is behind them.
	all = tables->endpoint_count + (size_t)external_endpoint_count(tables->externals);
	tables->endpoints = calloc(all, sizeof(*tables->endpoints));
	tables->details = calloc(all, sizeof(*tables->details));
	tables->ports = calloc(tables->port_count, sizeof(*tables->ports));
	tables->allowed = calloc((size_t)totals.allowed + 1, sizeof(*tables->allowed));
	if (!tables->endpoints || !tables->details || !tables->ports || !tables->allowed ||
	    !maps_begin(compile, &totals, &in_maps))
		return compile_no_memory(err);
	for (size_t i = 0; i < count; i++)
		if (compile_port(compile, (uint32_t)i + 1, in_maps, err) < 0)
			return -1;
	if (compile_vlans(compile, err) < 0 || shared_addresses_compile(compile, err) < 0)
		return -1;
	return allowed_addresses_compile(compile) && receivers_compile(tables)
		       ? 0
		       : compile_no_memory(err);
}

void endpoints_free(struct tables *tables)
{
	for (uint32_t i = 0; tables->details && i < tables->endpoint_count; i++) {
		struct endpoint_lists *lists = tables->details[i].lists;

		if (lists && --lists->references == 0)
			free(lists);
	}
	shared_addresses_free(tables);
	allowed_addresses_free(tables);
	free(tables->endpoints);
	free(tables->details);
	free(tables->ports);
	free(tables->allowed);
	lookup_free(&tables->by_mac);
	lookup_free(&tables->by_address);
	lookup_free(&tables->by_vlan);
}
