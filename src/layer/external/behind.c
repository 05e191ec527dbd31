// Nodes that bring connections from outside to members of LoadBalancers on this one: the replies go
// back by them, where the connection is known, and so they are endpoints of the members' networks.

#include <stdio.h>
#include <stdlib.h>

#include "layer/external/compile.h"
#include "layer/external/external.h"

#define LOAD_BALANCER SLUICE__V1__OBJECT__KIND_LOAD_BALANCER
#define NETWORK	      SLUICE__V1__OBJECT__KIND_NETWORK

static int add(struct externals *externals, uint16_t network, uint16_t peer, struct error *err)
{
	struct lookup_key key = {{network, peer, 0}};
	struct external_behind *list = externals->behinds;

	if (lookup_find(&externals->by_behind, key))
		return 0;
	// A power of two is full.
	if ((externals->behind_count & (externals->behind_count - 1)) == 0) {
		list = realloc(list,
			       (externals->behind_count ? externals->behind_count * (size_t)2 : 1) *
				       sizeof(*list));
		if (!list)
			return compile_no_memory(err);
		externals->behinds = list;
	}
	list[externals->behind_count++] =
		(struct external_behind){.network = network, .peer = peer};
	return lookup_add(&externals->by_behind, key, externals->behind_count)
		       ? 0
		       : compile_no_memory(err);
}

// From the nodes of an external network to all networks of a Vrf.
static int add_all(struct compile *compile, const Sluice__V1__External *outside, uint16_t domain,
		   struct error *err)
{
	struct tables *tables = compile->tables;

	for (uint32_t n = 1; n < tables->network_count; n++) {
		const struct network *network = &tables->networks[n];

		if (!network->number || network->domain != domain || !network->vni)
			continue;
		for (size_t i = 0; i < outside->n_addresses; i++) {
			uint32_t peer =
				numbers_find(&compile->numbers->nodes, outside->addresses[i]->node);

			if (peer && tables->peers[peer].number &&
			    add(tables->externals, network->number, (uint16_t)peer, err) < 0)
				return -1;
		}
	}
	return 0;
}

int externals_behind_compile(struct compile *compile, struct error *err)
{
	struct lookup met = {.entries = NULL}; // pairs of a Vrf and an external network
	int result = 0;

	for (size_t i = 0; i < object_set_count(compile->objects, LOAD_BALANCER) && result == 0;
	     i++) {
		const Sluice__V1__LoadBalancer *balancer =
			object_set_at(compile->objects, LOAD_BALANCER, i)->load_balancer;
		const Sluice__V1__Object *outside =
			*balancer->network
				? object_set_find(compile->objects, NETWORK, balancer->network)
				: NULL;
		char vrf[TABLES_NAME_SIZE + 16];
		struct lookup_key key = {{0, 0, 0}};

		if (!outside || !outside->network->external)
			continue;
		snprintf(vrf, sizeof(vrf), "Vrf/%s", balancer->vrf);
		key.words[0] = numbers_find(&compile->numbers->domains, vrf);
		key.words[1] = numbers_find(&compile->numbers->networks, balancer->network);
		// Of a Vrf without networks there is none.
		if (!key.words[0] || lookup_find(&met, key))
			continue;
		result = lookup_add(&met, key, 1) ? add_all(compile, outside->network->external,
							    (uint16_t)key.words[0], err)
						  : compile_no_memory(err);
	}
	lookup_free(&met);
	return result;
}
