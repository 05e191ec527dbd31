// Addresses that several nodes have on an external network, those of LoadBalancers: which of the
// nodes answers for them. All take what is sent to them.

#include <stdlib.h>

#include "base/prefix_map.h"
#include "layer/external/compile.h"
#include "layer/external/external.h"

#define NETWORK	      SLUICE__V1__OBJECT__KIND_NETWORK
#define LOAD_BALANCER SLUICE__V1__OBJECT__KIND_LOAD_BALANCER

// So many nodes of a network, the first ones, stand in for each other: each asks those before it
// all the time.
#define ANSWERERS_MAX 8

static const struct subnet *subnet_of(const struct network *network,
				      const struct ip_address *address)
{
	for (uint32_t i = 0; i < network->subnet_count; i++)
		if (ip_in_prefix(address, &network->subnets[i].prefix))
			return &network->subnets[i];
	return NULL;
}

static uint32_t find(const struct externals *externals, uint16_t network,
		     const struct ip_prefix *subnet)
{
	for (uint32_t i = 0; i < externals->share_count; i++)
		if (externals->shares[i].network == network &&
		    prefix_compare(&externals->shares[i].subnet, subnet) == 0)
			return i + 1;
	return 0;
}

static int watch(struct compile *compile, const struct network *network,
		 const struct subnet *subnet, uint16_t peer, const struct ip_address *address,
		 struct error *err)
{
	struct externals *externals = compile->tables->externals;
	struct external_watched *watched;
	struct neighbour *neighbour;

	if (external_watch(compile, network, address, &neighbour, err) < 0)
		return -1;
	watched = realloc(externals->watched,
			  (externals->watched_count + (size_t)1) * sizeof(*watched));
	if (!watched)
		return compile_no_memory(err);
	externals->watched = watched;
	watched[externals->watched_count++] = (struct external_watched){
		.network = network->number,
		.address = *address,
		.own = subnet->gateway,
		.neighbour = neighbour,
		.peer = peer,
	};
	return lookup_add(&externals->by_watched, lookup_key_address(network->number, address),
			  externals->watched_count)
		       ? 0
		       : compile_no_memory(err);
}

// How many nodes in the subnet come before this one, or ANSWERERS_MAX.
static uint32_t place_of(const struct compile *compile, const struct subnet *subnet,
			 const Sluice__V1__External *external)
{
	struct ip_address address;
	uint32_t place = 0;

	for (size_t i = 0; i < external->n_addresses && place < ANSWERERS_MAX; i++) {
		if (!ip_parse(external->addresses[i]->address, &address) ||
		    !ip_in_prefix(&address, &subnet->prefix))
			continue;
		if (strcmp(external->addresses[i]->node, compile->node) == 0)
			return place;
		place++;
	}
	return ANSWERERS_MAX;
}

static int add_share(struct compile *compile, const struct network *network,
		     const struct subnet *subnet, const Sluice__V1__External *external,
		     struct error *err)
{
	struct externals *externals = compile->tables->externals;
	struct external_share share = {.network = network->number,
				       .subnet = subnet->prefix,
				       .first = externals->watched_count};
	uint32_t place = place_of(compile, subnet, external);
	struct external_share *shares;
	struct ip_address address;

	if (place == ANSWERERS_MAX)
		return 0;
	for (size_t i = 0; share.count < place; i++) {
		if (!ip_parse(external->addresses[i]->address, &address) ||
		    !ip_in_prefix(&address, &subnet->prefix))
			continue;
		if (watch(compile, network, subnet,
			  (uint16_t)numbers_find(&compile->numbers->nodes,
						 external->addresses[i]->node),
			  &address, err) < 0)
			return -1;
		share.count++;
	}
	shares = realloc(externals->shares, (externals->share_count + (size_t)1) * sizeof(*shares));
	if (!shares)
		return compile_no_memory(err);
	externals->shares = shares;
	shares[externals->share_count++] = share;
	return 0;
}

static int compile_balancer(struct compile *compile, const Sluice__V1__LoadBalancer *object,
			    struct error *err)
{
	const struct externals *externals = compile->tables->externals;
	const Sluice__V1__Object *outside =
		object_set_find(compile->objects, NETWORK, object->network);
	const struct network *network = tables_network(
		compile->tables, numbers_find(&compile->numbers->networks, object->network));

	for (size_t i = 0; outside && network && i < object->n_addresses; i++) {
		const struct subnet *subnet;
		struct ip_address address;

		if (!ip_parse(object->addresses[i], &address))
			continue;
		subnet = subnet_of(network, &address);
		if (subnet && subnet->has_gateway &&
		    !find(externals, network->number, &subnet->prefix) &&
		    add_share(compile, network, subnet, outside->network->external, err) < 0)
			return -1;
	}
	return 0;
}

int external_shared_compile(struct compile *compile, struct error *err)
{
	size_t count = object_set_count(compile->objects, LOAD_BALANCER);

	for (size_t i = 0; i < count; i++) {
		const Sluice__V1__LoadBalancer *object =
			object_set_at(compile->objects, LOAD_BALANCER, i)->load_balancer;

		if (*object->network && compile_balancer(compile, object, err) < 0)
			return -1;
	}
	return 0;
}

uint32_t external_share_of(const struct tables *tables, const struct network *network,
			   const struct ip_address *address)
{
	const struct subnet *subnet = subnet_of(network, address);

	return subnet ? find(tables->externals, network->number, &subnet->prefix) : 0;
}

bool external_shares_equal(const struct tables *a, const struct tables *b, uint32_t i, uint32_t j)
{
	const struct external_share *x, *y;

	if (!i || !j)
		return i == j;
	x = &a->externals->shares[i - 1];
	y = &b->externals->shares[j - 1];
	if (x->network != y->network || prefix_compare(&x->subnet, &y->subnet) != 0 ||
	    x->count != y->count)
		return false;
	for (uint32_t n = 0; n < y->count; n++) {
		const struct external_watched *u = &a->externals->watched[x->first + n];
		const struct external_watched *v = &b->externals->watched[y->first + n];

		if (u->neighbour != v->neighbour || !ip_equal(&u->address, &v->address) ||
		    !ip_equal(&u->own, &v->own))
			return false;
	}
	return true;
}
