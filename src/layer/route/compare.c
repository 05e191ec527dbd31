#include <stdlib.h>

#include "layer/route/compile.h"
#include "layer/route/route.h"

static bool hop_equal(const struct route_hop *a, const struct route_hop *b)
{
	return a->endpoint == b->endpoint && a->domain == b->domain && a->external == b->external &&
	       a->routers[0] == b->routers[0] && a->routers[1] == b->routers[1] &&
	       ip_equal(&a->address, &b->address);
}

static bool route_equal(const struct route *a, const struct route *b)
{
	if (strncmp(a->name, b->name, sizeof(a->name)) != 0 || a->blackhole != b->blackhole ||
	    a->hop_count != b->hop_count || a->only != b->only || !a->spread != !b->spread)
		return false;
	for (uint32_t i = 0; i < b->hop_count; i++)
		if (!hop_equal(&a->hops[i], &b->hops[i]))
			return false;
	return !b->spread ||
	       (a->spread->reachable == b->spread->reachable &&
		memcmp(a->spread->hops, b->spread->hops, sizeof(b->spread->hops)) == 0);
}

static bool map_equal(const struct route_map *a, const struct route_map *b)
{
	return a->count == b->count && prefix_map_equal(&a->prefixes, &b->prefixes) &&
	       memcmp(a->lengths, b->lengths, b->count * sizeof(*b->lengths)) == 0 &&
	       memcmp(a->routes, b->routes, b->count * sizeof(*b->routes)) == 0;
}

static bool maps_equal(const struct route_maps *a, const struct route_maps *b)
{
	if (a == b)
		return true;
	if (a->count != b->count || !lookup_equal(&a->by_domain, &b->by_domain))
		return false;
	for (uint32_t i = 0; i < b->count; i++)
		if (!map_equal(&a->maps[i], &b->maps[i]))
			return false;
	return true;
}

void routes_compare(const struct tables *have, const struct tables *want,
		    struct differences *differences)
{
	const struct routes *a = have->routes, *b = want->routes;

	if (a->count != b->count) {
		differences_add(differences, "there are %u Routes instead of %u", a->count,
				b->count);
		return;
	}
	for (uint32_t i = 0; i < b->count; i++)
		if (!route_equal(&a->route[i], &b->route[i]))
			differences_add(differences, "Route/%s", b->route[i].name);
	if (!maps_equal(a->maps, b->maps))
		differences_add(differences, "the map of Routes");
}
