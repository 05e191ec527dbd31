#include "layer/topology.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/prefix_map.h"
#include "layer/endpoint/compile.h"
#include "layer/external/compile.h"
#include "layer/limits/compile.h"
#include "layer/tracking/compile.h"
#include "layer/tunnel/tunnel.h"
#include "model/network_mtu.h"

#define MULTICAST_RATE 1000

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
	// Outside it is the router there.
	subnet->has_gateway &= !network->external;
	if (subnet->has_gateway &&
	    !lookup_add(&tables->by_gateway, lookup_key_address(network->domain, &subnet->gateway),
			network->number))
		return compile_no_memory(err);
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
		return compile_no_memory(err);
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
		network->external = object->external;
		network->vlan = object->external ? (uint16_t)object->external->vlan : 0;
		network->gateway_mac = gateway_mac(object->vni);
		network->multicast_rate = MULTICAST_RATE;
		if (object->multicast && object->multicast->has_rate_case)
			network->multicast_rate = object->multicast->rate;
		network->multicast_burst = network->multicast_rate;
		if (object->multicast && object->multicast->has_burst_case)
			network->multicast_burst = object->multicast->burst;
		if (!tracking_compile(network, object->connection_tracking))
			return compile_no_memory(err);
		network->subnets = calloc(object->n_subnets + 1, sizeof(*network->subnets));
		if (!network->subnets)
			return compile_no_memory(err);
		if (network->vni &&
		    !lookup_add(&tables->by_vni, (struct lookup_key){{network->vni, 0, 0}}, number))
			return compile_no_memory(err);
		for (size_t j = 0; j < object->n_subnets; j++)
			if (compile_subnet(tables, network, object->subnets[j], err) < 0)
				return -1;
	}
	qsort(tables->subnets, tables->subnet_count, sizeof(*tables->subnets), compare_subnets);
	return tracking_collect(tables) ? 0 : compile_no_memory(err);
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
	peer->next_hop = neighbours_get(compile->neighbours, 0, address);
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
		       : compile_no_memory(err);
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
		return compile_no_memory(err);
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
		peer->path = neighbours_get(compile->neighbours, 0, &peer->vtep);
		if (!peer->path)
			return error_set(err,
					 "Node/%s: more than %u tunnel addresses and next hops",
					 peer->name, NEIGHBOURS_MAX);
		if (!lookup_add(&tables->by_vtep, lookup_key_address(0, &peer->vtep), number))
			return compile_no_memory(err);
		if (underlay->present && find_next_hop(compile, peer, err) < 0)
			return -1;
	}
	return 0;
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
	member_healths_begin(&numbers->healths);
	if (compile_networks(compile, err) < 0 || compile_nodes(compile, err) < 0 ||
	    number_groups(compile, err) < 0 || externals_compile(compile, err) < 0 ||
	    endpoints_compile(compile, err) < 0)
		return -1;
	externals_place(compile->tables);
	limits_compile(compile);
	return 0;
}

void topology_free(struct tables *tables)
{
	tracking_free(tables);
	for (uint32_t i = 0; tables->networks && i < tables->network_count; i++) {
		free(tables->networks[i].subnets);
		free(tables->networks[i].local);
		free(tables->networks[i].remote);
	}
	endpoints_free(tables);
	externals_free(tables->externals);
	free(tables->networks);
	free(tables->peers);
	free(tables->subnets);
	free(tables->underlay.neighbour);
	lookup_free(&tables->underlay.neighbours);
	lookup_free(&tables->by_gateway);
	lookup_free(&tables->by_vni);
	lookup_free(&tables->by_vtep);
}
