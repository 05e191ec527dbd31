#include "layer/external/compile.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/prefix_map.h"
#include "layer/external/external.h"

#define NETWORK SLUICE__V1__OBJECT__KIND_NETWORK
#define ROUTE	SLUICE__V1__OBJECT__KIND_ROUTE

static const Sluice__V1__Network *network_at(const struct compile *compile, size_t i)
{
	return object_set_at(compile->objects, NETWORK, i)->network;
}

static uint16_t number_of(const struct compile *compile, const char *network)
{
	return (uint16_t)numbers_find(&compile->numbers->networks, network);
}

static bool add(struct external_prefixes *prefixes, const struct external_prefix *prefix)
{
	struct external_prefix *list = prefixes->list;

	// A power of two is full.
	if ((prefixes->count & (prefixes->count - 1)) == 0) {
		list = realloc(list,
			       (prefixes->count ? prefixes->count * (size_t)2 : 1) * sizeof(*list));
		if (!list)
			return false;
		prefixes->list = list;
	}
	list[prefixes->count++] = *prefix;
	return true;
}

static int compare(const void *a, const void *b)
{
	const struct external_prefix *x = a, *y = b;
	int order = (int)x->network - (int)y->network;

	return order ? order : prefix_compare(&x->prefix, &y->prefix);
}

static void sort(struct external_prefixes *prefixes)
{
	if (prefixes->count)
		qsort(prefixes->list, prefixes->count, sizeof(*prefixes->list), compare);
}

// ---- networks

// This node's own address in the prefix.
static bool find_own(const struct compile *compile, const Sluice__V1__External *external,
		     const struct ip_prefix *prefix, struct ip_address *own)
{
	for (size_t i = 0; i < external->n_addresses; i++)
		if (strcmp(external->addresses[i]->node, compile->node) == 0 &&
		    ip_parse(external->addresses[i]->address, own) && ip_in_prefix(own, prefix))
			return true;
	return false;
}

static bool is_part(const struct compile *compile, const Sluice__V1__External *external)
{
	for (size_t i = 0; i < external->n_addresses; i++)
		if (strcmp(external->addresses[i]->node, compile->node) == 0)
			return true;
	return false;
}

// The other nodes there.
static int add_members(const struct compile *compile, uint16_t network,
		       const Sluice__V1__External *external, struct error *err)
{
	struct externals *externals = compile->tables->externals;

	for (size_t i = 0; i < external->n_addresses; i++) {
		uint32_t node =
			numbers_find(&compile->numbers->nodes, external->addresses[i]->node);
		struct ip_address address;

		if (node && ip_parse(external->addresses[i]->address, &address) &&
		    !lookup_add(&externals->members,
				external_member_key(network, node, ip_is_v4(&address)), 1))
			return compile_no_memory(err);
	}
	return 0;
}

// Its gateways are this node's own addresses.
static int compile_network(struct compile *compile, const Sluice__V1__Network *object,
			   struct error *err)
{
	struct tables *tables = compile->tables;
	struct network *network = &tables->networks[number_of(compile, object->name)];

	if (!is_part(compile, object->external) || !tables->underlay.present)
		return 0;
	if (!lookup_add(&tables->externals->by_vlan, (struct lookup_key){{network->vlan, 0, 0}},
			network->number))
		return compile_no_memory(err);
	if (add_members(compile, network->number, object->external, err) < 0)
		return -1;
	for (uint32_t i = 0; i < network->subnet_count; i++) {
		struct subnet *subnet = &network->subnets[i];
		struct ip_prefix host = {.length = 128};

		subnet->has_gateway =
			find_own(compile, object->external, &subnet->prefix, &subnet->gateway);
		if (!subnet->has_gateway)
			continue;
		host.address = subnet->gateway;
		if (!lookup_add(&tables->by_gateway,
				lookup_key_address(network->domain, &subnet->gateway),
				network->number))
			return compile_no_memory(err);
		if (external_claim_add(compile, network->number, &host, err) < 0)
			return -1;
	}
	return 0;
}

static int compile_inside(struct compile *compile, const Sluice__V1__Network *object,
			  struct error *err)
{
	struct tables *tables = compile->tables;

	for (size_t i = 0; i < object->n_subnets; i++) {
		const Sluice__V1__Subnet *subnet = object->subnets[i];
		struct external_prefix entry = {
			.domain = tables->networks[number_of(compile, object->name)].domain};

		if (subnet->n_external && !prefix_parse(subnet->cidr, &entry.prefix))
			return error_set(err, "Network/%s: cidr %s", object->name, subnet->cidr);
		for (size_t j = 0; j < subnet->n_external; j++) {
			entry.network = number_of(compile, subnet->external[j]);
			if (!add(&tables->externals->inside, &entry))
				return compile_no_memory(err);
		}
	}
	return 0;
}

// ---- routers

int external_watch(struct compile *compile, const struct network *network,
		   const struct ip_address *address, struct neighbour **neighbour,
		   struct error *err)
{
	struct underlay *underlay = &compile->tables->underlay;
	struct lookup_key key = lookup_key_address(network->number, address);
	struct neighbour **list;

	*neighbour = neighbours_get(compile->neighbours, network->number, address);
	if (!*neighbour)
		return error_set(err, "Network/%s: more than %u next hops", network->name,
				 NEIGHBOURS_MAX);
	if (lookup_find(&underlay->neighbours, key))
		return 0;
	list = realloc(underlay->neighbour,
		       (underlay->neighbour_count + (size_t)1) * sizeof(struct neighbour *));
	if (!list)
		return compile_no_memory(err);
	underlay->neighbour = list;
	list[underlay->neighbour_count++] = *neighbour;
	return lookup_add(&underlay->neighbours, key, underlay->neighbour_count)
		       ? 0
		       : compile_no_memory(err);
}

static int add_hop(struct compile *compile, const struct network *network,
		   const struct ip_address *address, struct error *err)
{
	struct externals *externals = compile->tables->externals;
	struct lookup_key key = lookup_key_address(network->number, address);
	struct external_hop hop = {
		.network = network->number, .vlan = network->vlan, .address = *address};
	struct external_hop *hops;
	bool reachable = false;

	for (uint32_t i = 0; i < network->subnet_count && !reachable; i++) {
		const struct subnet *subnet = &network->subnets[i];

		reachable = subnet->has_gateway && ip_in_prefix(address, &subnet->prefix);
		hop.own = subnet->gateway;
	}
	if (!reachable || lookup_find(&externals->by_hop, key))
		return 0;
	if (external_watch(compile, network, address, &hop.neighbour, err) < 0)
		return -1;
	hops = realloc(externals->hops, (externals->hop_count + (size_t)1) * sizeof(*hops));
	if (!hops)
		return compile_no_memory(err);
	externals->hops = hops;
	hops[externals->hop_count++] = hop;
	return lookup_add(&externals->by_hop, key, externals->hop_count) ? 0
									 : compile_no_memory(err);
}

// Those that a Route's next hop names: one, or the gateways of both families.
static int add_hops_of(struct compile *compile, const Sluice__V1__ExternalHop *named,
		       struct error *err)
{
	const Sluice__V1__Object *object =
		object_set_find(compile->objects, NETWORK, named->network);
	const struct network *network =
		tables_network(compile->tables, number_of(compile, named->network));
	struct ip_address address;

	if (!object || !network)
		return 0;
	if (ip_parse(named->address, &address))
		return add_hop(compile, network, &address, err);
	for (size_t i = 0; i < object->network->n_subnets; i++)
		if (ip_parse(object->network->subnets[i]->gateway, &address) &&
		    add_hop(compile, network, &address, err) < 0)
			return -1;
	return 0;
}

static int add_hops(struct compile *compile, struct error *err)
{
	size_t count = object_set_count(compile->objects, ROUTE);

	for (size_t i = 0; i < count; i++) {
		const Sluice__V1__Route *route = object_set_at(compile->objects, ROUTE, i)->route;

		for (size_t j = 0; j < route->n_next_hops; j++)
			if (route->next_hops[j]->next_hop_case ==
				    SLUICE__V1__NEXT_HOP__NEXT_HOP_EXTERNAL &&
			    add_hops_of(compile, route->next_hops[j]->external, err) < 0)
				return -1;
	}
	return 0;
}

int externals_compile(struct compile *compile, struct error *err)
{
	struct tables *tables = compile->tables;
	size_t count = object_set_count(compile->objects, NETWORK);

	tables->externals = calloc(1, sizeof(*tables->externals));
	if (!tables->externals)
		return compile_no_memory(err);
	for (size_t i = 0; i < count; i++) {
		const Sluice__V1__Network *object = network_at(compile, i);

		if ((object->external ? compile_network(compile, object, err)
				      : compile_inside(compile, object, err)) < 0)
			return -1;
	}
	sort(&tables->externals->inside);
	tables->externals->untagged =
		(uint16_t)lookup_find(&tables->externals->by_vlan, (struct lookup_key){{0, 0, 0}});
	if (tables->externals->by_vlan.count &&
	    (add_hops(compile, err) < 0 || external_shared_compile(compile, err) < 0))
		return -1;
	return externals_behind_compile(compile, err);
}

void externals_place(struct tables *tables)
{
	struct externals *externals = tables->externals;

	externals->first_endpoint = tables->endpoint_count;
	for (uint32_t i = 0; i < externals->hop_count; i++) {
		const struct external_hop *hop = &externals->hops[i];
		const struct network *network = &tables->networks[hop->network];

		tables->endpoints[externals->first_endpoint + i] = (struct endpoint){
			.port = PORT_UPLINK,
			.network = hop->network,
			.mtu = network->mtu,
			.external = true,
		};
		ip_format(&hop->address, tables->details[externals->first_endpoint + i].name);
	}
	for (uint32_t i = 0; i < externals->behind_count; i++) {
		const struct external_behind *behind = &externals->behinds[i];
		const struct network *network = &tables->networks[behind->network];
		uint32_t index = externals->first_endpoint + externals->hop_count + i;

		tables->endpoints[index] = (struct endpoint){
			.mac = network->gateway_mac,
			.gateway_mac = network->gateway_mac,
			.vni = network->vni,
			.peer = behind->peer,
			.port = PORT_UPLINK,
			.network = behind->network,
			.mtu = network->mtu,
		};
		snprintf(tables->details[index].name, sizeof(tables->details[index].name), "%s",
			 tables->peers[behind->peer].name);
	}
}

// ---- claims

static int add_claim(const struct compile *compile, struct external_prefix claim, struct error *err)
{
	struct tables *tables = compile->tables;
	const struct network *network = tables_network(tables, claim.network);

	if (!network || !external_is_here(tables, network))
		return 0;
	if (claim.shared)
		claim.share = external_share_of(tables, network, &claim.prefix.address);
	claim.generation = tables->generation;
	return add(&tables->externals->claims, &claim) ? 0 : compile_no_memory(err);
}

int external_claim_add(const struct compile *compile, uint16_t network,
		       const struct ip_prefix *prefix, struct error *err)
{
	return add_claim(compile, (struct external_prefix){.network = network, .prefix = *prefix},
			 err);
}

int external_claim_share(const struct compile *compile, uint16_t network,
			 const struct ip_address *address, struct error *err)
{
	struct external_prefix claim = {
		.network = network, .shared = true, .prefix = {.address = *address, .length = 128}};

	return add_claim(compile, claim, err);
}

// What was there before came with an earlier generation.
void externals_finish(const struct compile *compile)
{
	struct external_prefixes *claims = &compile->tables->externals->claims;

	sort(claims);
	for (uint32_t i = 0; compile->previous && i < claims->count; i++) {
		struct external_prefix *claim = &claims->list[i];
		const struct external_prefix *before = external_find_claim(
			compile->previous, claim->network, &claim->prefix.address);

		if (before && prefix_compare(&before->prefix, &claim->prefix) == 0 &&
		    before->shared == claim->shared &&
		    external_shares_equal(compile->previous, compile->tables, before->share,
					  claim->share))
			claim->generation = before->generation;
	}
}

// ----

void externals_set_uplink(struct tables *tables)
{
	const struct externals *externals = tables->externals;
	const struct underlay *underlay = &tables->underlay;

	for (uint32_t i = 0; i < tables->network_count; i++)
		if (tables->networks[i].external)
			tables->networks[i].gateway_mac = underlay->mac;
	for (uint32_t i = 0; i < externals->hop_count; i++) {
		struct endpoint *endpoint = &tables->endpoints[externals->first_endpoint + i];

		endpoint->gateway_mac = underlay->mac;
		if (underlay->mtu && underlay->mtu < endpoint->mtu)
			endpoint->mtu = underlay->mtu;
	}
}

void externals_free(struct externals *externals)
{
	if (!externals)
		return;
	lookup_free(&externals->by_vlan);
	lookup_free(&externals->by_hop);
	lookup_free(&externals->members);
	lookup_free(&externals->by_behind);
	free(externals->behinds);
	free(externals->claims.list);
	free(externals->inside.list);
	free(externals->hops);
	lookup_free(&externals->by_watched);
	free(externals->watched);
	free(externals->shares);
	free(externals);
}
