#include "base/prefix_map.h"
#include "layer/external/compile.h"
#include "layer/external/external.h"

static bool prefixes_equal(const struct tables *have, const struct tables *want,
			   const struct external_prefixes *a, const struct external_prefixes *b)
{
	if (a->count != b->count)
		return false;
	for (uint32_t i = 0; i < b->count; i++)
		if (a->list[i].network != b->list[i].network ||
		    prefix_compare(&a->list[i].prefix, &b->list[i].prefix) != 0 ||
		    a->list[i].domain != b->list[i].domain ||
		    a->list[i].shared != b->list[i].shared ||
		    !external_shares_equal(have, want, a->list[i].share, b->list[i].share))
			return false;
	return true;
}

static bool hops_equal(const struct tables *have, const struct tables *want)
{
	const struct externals *a = have->externals, *b = want->externals;

	if (a->hop_count != b->hop_count || a->first_endpoint != b->first_endpoint ||
	    !lookup_equal(&a->by_hop, &b->by_hop))
		return false;
	for (uint32_t i = 0; i < b->hop_count; i++) {
		const struct external_hop *x = &a->hops[i], *y = &b->hops[i];
		const struct endpoint *u = &have->endpoints[a->first_endpoint + i];
		const struct endpoint *v = &want->endpoints[b->first_endpoint + i];

		if (x->network != y->network || x->vlan != y->vlan ||
		    x->neighbour != y->neighbour || !ip_equal(&x->address, &y->address) ||
		    !ip_equal(&x->own, &y->own) || u->mtu != v->mtu || u->network != v->network ||
		    !mac_equal(&u->gateway_mac, &v->gateway_mac))
			return false;
	}
	return true;
}

void externals_compare(const struct tables *have, const struct tables *want,
		       struct differences *differences)
{
	const struct externals *a = have->externals, *b = want->externals;

	if (!lookup_equal(&a->by_vlan, &b->by_vlan))
		differences_add(differences, "the map of external networks");
	if (!lookup_equal(&a->members, &b->members))
		differences_add(differences, "the nodes on external networks");
	if (!prefixes_equal(have, want, &a->claims, &b->claims))
		differences_add(differences, "the addresses on external networks");
	if (!prefixes_equal(have, want, &a->inside, &b->inside))
		differences_add(differences, "the subnets that are known outside");
	if (!hops_equal(have, want))
		differences_add(differences, "the routers on external networks");
	if (!lookup_equal(&a->by_behind, &b->by_behind))
		differences_add(differences, "the nodes that bring connections from outside");
}
