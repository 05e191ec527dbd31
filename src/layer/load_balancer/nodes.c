// Which nodes have to know how members are: all that may lead connections to them. These have Ports
// in the members' Vrf, or in one from where a Route leads to a virtual address, or bring
// connections from outside. This node may be one of them: then it waits for what others tell.

#include <stdio.h>
#include <stdlib.h>

#include "layer/external/external.h"
#include "layer/load_balancer/compile.h"
#include "layer/load_balancer/load_balancer.h"

#define LOAD_BALANCER SLUICE__V1__OBJECT__KIND_LOAD_BALANCER
#define ROUTE	      SLUICE__V1__OBJECT__KIND_ROUTE

static int compare(const void *a, const void *b)
{
	const struct balancer_node *x = a, *y = b;

	return x->domain != y->domain ? (int)x->domain - (int)y->domain
				      : (int)x->peer - (int)y->peer;
}

static void sort(struct load_balancers *balancers)
{
	struct balancer_node *nodes = balancers->nodes;
	uint32_t kept = 0;

	if (balancers->node_count)
		qsort(nodes, balancers->node_count, sizeof(*nodes), compare);
	for (uint32_t i = 0; i < balancers->node_count; i++)
		if (!kept || compare(&nodes[kept - 1], &nodes[i]) != 0)
			nodes[kept++] = nodes[i];
	balancers->node_count = kept;
}

// Does this node bring connections to it from outside?
static bool brings(const struct compile *compile, uint32_t place)
{
	const Sluice__V1__LoadBalancer *object =
		object_set_at(compile->objects, LOAD_BALANCER, place)->load_balancer;
	const struct network *network = tables_network(
		compile->tables, numbers_find(&compile->numbers->networks, object->network));

	return network && external_is_here(compile->tables, network);
}

static bool add_direct(const struct compile *compile, struct load_balancers *balancers)
{
	const struct tables *tables = compile->tables;
	const struct externals *externals = tables->externals;

	balancers->nodes = calloc(tables->endpoint_count + (size_t)externals->behind_count +
					  balancers->count + 1,
				  sizeof(*balancers->nodes));
	if (!balancers->nodes)
		return false;
	for (uint32_t i = 1; i < tables->endpoint_count; i++)
		balancers->nodes[balancers->node_count++] = (struct balancer_node){
			.domain = tables->networks[tables->endpoints[i].network].domain,
			.peer = tables->endpoints[i].peer};
	for (uint32_t i = 0; i < balancers->count; i++)
		if (brings(compile, i))
			balancers->nodes[balancers->node_count++] =
				(struct balancer_node){.domain = balancers->balancer[i].domain};
	for (uint32_t i = 0; i < externals->behind_count; i++)
		balancers->nodes[balancers->node_count++] = (struct balancer_node){
			.domain = tables->networks[externals->behinds[i].network].domain,
			.peer = externals->behinds[i].peer};
	sort(balancers);
	return true;
}

// Does a Route of the domain lead to a virtual address of the LoadBalancer in another one?
static bool leads_to(const struct compile *compile, uint16_t domain, uint32_t place)
{
	const Sluice__V1__LoadBalancer *object =
		object_set_at(compile->objects, LOAD_BALANCER, place)->load_balancer;
	uint16_t home = compile->tables->load_balancers->balancer[place].domain;
	struct ip_address address;

	for (size_t i = 0; object->health_check && i < object->n_addresses; i++)
		if (domain != home && ip_parse(object->addresses[i], &address) &&
		    balancer_domain(compile->tables, domain, &address) == home)
			return true;
	return false;
}

// The nodes with Ports in `domain` are told of `home`'s members, too.
static bool add_from(struct load_balancers *balancers, uint16_t domain, uint16_t home)
{
	uint32_t count = balancers->node_count;
	struct balancer_node *nodes =
		realloc(balancers->nodes, (2 * (size_t)count + 1) * sizeof(*nodes));

	if (!nodes)
		return false;
	balancers->nodes = nodes;
	for (uint32_t i = 0; i < count; i++)
		if (nodes[i].domain == domain)
			nodes[balancers->node_count++] =
				(struct balancer_node){.domain = home, .peer = nodes[i].peer};
	sort(balancers);
	return true;
}

static bool add_led(const struct compile *compile, uint16_t domain, struct lookup *met)
{
	struct load_balancers *balancers = compile->tables->load_balancers;

	if (!domain || lookup_find(met, (struct lookup_key){{domain, 0, 0}}))
		return true;
	if (!lookup_add(met, (struct lookup_key){{domain, 0, 0}}, 1))
		return false;
	for (uint32_t i = 0; i < balancers->count; i++)
		if (leads_to(compile, domain, i) &&
		    !add_from(balancers, domain, balancers->balancer[i].domain))
			return false;
	return true;
}

bool balancer_nodes_compile(const struct compile *compile)
{
	struct lookup met = {.entries = NULL}; // domains
	bool made = add_direct(compile, compile->tables->load_balancers);

	for (size_t i = 0; made && i < object_set_count(compile->objects, ROUTE); i++) {
		const Sluice__V1__Route *route = object_set_at(compile->objects, ROUTE, i)->route;
		char vrf[TABLES_NAME_SIZE + 16];

		if (!route->n_next_hops ||
		    route->next_hops[0]->next_hop_case != SLUICE__V1__NEXT_HOP__NEXT_HOP_VRF)
			continue;
		snprintf(vrf, sizeof(vrf), "Vrf/%s", route->vrf);
		made = add_led(compile, (uint16_t)numbers_find(&compile->numbers->domains, vrf),
			       &met);
	}
	lookup_free(&met);
	return made;
}

bool balancer_node_is_told(const struct load_balancers *balancers, uint16_t domain)
{
	struct balancer_node self = {.domain = domain};

	return balancers->node_count &&
	       bsearch(&self, balancers->nodes, balancers->node_count, sizeof(self), compare);
}
