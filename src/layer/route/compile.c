#include "layer/route/compile.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/maglev.h"
#include "layer/external/external.h"
#include "layer/route/route.h"

#define ROUTE SLUICE__V1__OBJECT__KIND_ROUTE

// A destination on its way into a map.
struct entry {
	struct ip_prefix prefix;
	uint32_t route;
	uint16_t domain;
};

static const Sluice__V1__Route *route_at(const struct compile *compile, size_t place)
{
	return object_set_at(compile->objects, ROUTE, place)->route;
}

static uint16_t domain_of(const struct compile *compile, const char *vrf)
{
	char name[TABLES_NAME_SIZE + 16];

	snprintf(name, sizeof(name), "Vrf/%s", vrf);
	return (uint16_t)numbers_get(&compile->numbers->domains, name);
}

// The Port's endpoint, or 0.
static uint32_t endpoint_of(const struct compile *compile, const char *name)
{
	const Sluice__V1__Object *object =
		object_set_find(compile->objects, SLUICE__V1__OBJECT__KIND_PORT, name);
	struct mac_address mac;
	uint32_t network;

	if (!object || !mac_parse(object->port->mac, &mac))
		return 0;
	network = numbers_find(&compile->numbers->networks, object->port->network);
	return tables_find_mac(compile->tables, (uint16_t)network, &mac);
}

static uint64_t name_hash(const char *kind, const char *name)
{
	uint64_t hash = 0xcbf29ce484222325;

	// FNV-1a.
	for (; *kind; kind++)
		hash = (hash ^ (uint8_t)*kind) * 0x100000001b3;
	for (hash *= 0x100000001b3; *name; name++)
		hash = (hash ^ (uint8_t)*name) * 0x100000001b3;
	return hash;
}

// The same for an address however it is written.
static uint64_t hop_identity(const Sluice__V1__NextHop *object)
{
	struct ip_address address;
	char text[IP_TEXT_SIZE];

	if (object->next_hop_case == SLUICE__V1__NEXT_HOP__NEXT_HOP_PORT)
		return name_hash("port", object->port);
	if (object->next_hop_case == SLUICE__V1__NEXT_HOP__NEXT_HOP_EXTERNAL)
		return name_hash(object->external->network,
				 ip_parse(object->external->address, &address)
					 ? ip_format(&address, text)
					 : "");
	if (object->next_hop_case == SLUICE__V1__NEXT_HOP__NEXT_HOP_ADDRESS &&
	    ip_parse(object->address, &address))
		return name_hash("address", ip_format(&address, text));
	return 0;
}

// The router that is named serves both families, the gateways each its own.
static bool compile_router(const struct compile *compile, const Sluice__V1__ExternalHop *named,
			   struct route_hop *hop)
{
	const Sluice__V1__Object *network =
		object_set_find(compile->objects, SLUICE__V1__OBJECT__KIND_NETWORK, named->network);
	uint16_t number = (uint16_t)numbers_find(&compile->numbers->networks, named->network);
	struct ip_address address;

	hop->external = true;
	if (ip_parse(named->address, &address)) {
		hop->routers[0] = external_find_hop(compile->tables, number, &address);
		hop->routers[1] = hop->routers[0];
	} else {
		for (size_t i = 0; network && i < network->network->n_subnets; i++) {
			uint32_t *router;

			if (!ip_parse(network->network->subnets[i]->gateway, &address))
				continue;
			router = &hop->routers[ip_is_v4(&address)];
			if (!*router)
				*router = external_find_hop(compile->tables, number, &address);
		}
	}
	return hop->routers[0] || hop->routers[1];
}

// Returns whether packets can get there.
static bool compile_hop(const struct compile *compile, const Sluice__V1__NextHop *object,
			uint16_t domain, struct route_hop *hop)
{
	switch (object->next_hop_case) {
	case SLUICE__V1__NEXT_HOP__NEXT_HOP_ADDRESS:
		// Nobody's yet, or that of one or several Ports.
		return ip_parse(object->address, &hop->address) &&
		       lookup_find(&compile->tables->by_address,
				   lookup_key_address(domain, &hop->address));
	case SLUICE__V1__NEXT_HOP__NEXT_HOP_PORT:
		hop->endpoint = endpoint_of(compile, object->port);
		return hop->endpoint;
	case SLUICE__V1__NEXT_HOP__NEXT_HOP_VRF:
		hop->domain = domain_of(compile, object->vrf);
		return hop->domain;
	case SLUICE__V1__NEXT_HOP__NEXT_HOP_EXTERNAL:
		return compile_router(compile, object->external, hop);
	default:
		return false;
	}
}

static bool make_spread(const Sluice__V1__Route *object, uint64_t reachable, struct route *route)
{
	struct maglev_member members[ROUTE_HOPS_MAX];
	struct route_spread *spread = malloc(sizeof(*spread));

	route->spread = spread;
	if (!spread)
		return false;
	spread->references = 1;
	spread->reachable = reachable;
	for (uint32_t i = 0; i < route->hop_count; i++) {
		const Sluice__V1__NextHop *hop = object->next_hops[i];
		uint32_t weight = hop->has_weight_case ? hop->weight : 1;

		members[i] = (struct maglev_member){
			.identity = hop_identity(hop),
			.weight = reachable >> i & 1 ? weight : 0,
		};
	}
	return maglev_fill(spread->hops, ROUTE_SPREAD_SIZE, members, route->hop_count);
}

// The same Route in the tables before, if nothing of the object differs.
static const struct route *kept_route(const struct compile *compile, size_t place)
{
	return compile_kept(compile, ROUTE, place) ? &compile->previous->routes->route[place]
						   : NULL;
}

static bool compile_route(const struct compile *compile, size_t place, struct route *route)
{
	const Sluice__V1__Route *object = route_at(compile, place);
	const struct route *before = kept_route(compile, place);
	uint16_t domain = domain_of(compile, object->vrf);
	uint64_t reachable = 0;

	snprintf(route->name, sizeof(route->name), "%s", object->name);
	route->blackhole = object->blackhole;
	route->hop_count = (uint32_t)object->n_next_hops;
	route->only = route->hop_count;
	route->hops = calloc(object->n_next_hops + 1, sizeof(*route->hops));
	if (!route->hops || !domain)
		return false;
	for (uint32_t i = 0; i < route->hop_count; i++)
		if (compile_hop(compile, object->next_hops[i], domain, &route->hops[i]))
			reachable |= UINT64_C(1) << i;
	if ((reachable & (reachable - 1)) == 0) {
		if (reachable)
			route->only = (uint32_t)__builtin_ctzll(reachable);
		return true;
	}
	if (before && before->spread && before->spread->reachable == reachable) {
		route->spread = before->spread;
		route->spread->references++;
		return true;
	}
	return make_spread(object, reachable, route);
}

static int compare_entries(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int order = (int)x->domain - (int)y->domain;

	return order ? order : prefix_compare(&x->prefix, &y->prefix);
}

static bool build_map(struct route_map *map, const struct entry *entries, uint32_t count)
{
	struct ip_prefix *prefixes = malloc(count * sizeof(*prefixes));
	uint32_t *outer = malloc(count * sizeof(*outer));
	bool built = false;

	map->lengths = malloc(count * sizeof(*map->lengths));
	map->routes = malloc(count * sizeof(*map->routes));
	if (prefixes && outer && map->lengths && map->routes) {
		for (uint32_t i = 0; i < count; i++) {
			prefixes[i] = entries[i].prefix;
			map->lengths[i] = entries[i].prefix.length;
			map->routes[i] = entries[i].route;
		}
		map->count = count;
		built = prefix_map_build(&map->prefixes, prefixes, count, outer);
	}
	free(prefixes);
	free(outer);
	return built;
}

static bool build_maps(struct route_maps *maps, const struct entry *entries, uint32_t count)
{
	uint32_t domains = 0;

	for (uint32_t i = 0; i < count; i++)
		domains += i == 0 || entries[i].domain != entries[i - 1].domain;
	maps->maps = calloc(domains + (size_t)1, sizeof(*maps->maps));
	if (!maps->maps)
		return false;
	for (uint32_t i = 0, end; i < count; i = end) {
		for (end = i; end < count && entries[end].domain == entries[i].domain; end++)
			;
		if (!build_map(&maps->maps[maps->count++], entries + i, end - i) ||
		    !lookup_add(&maps->by_domain, (struct lookup_key){{entries[i].domain, 0, 0}},
				maps->count))
			return false;
	}
	return true;
}

static bool make_maps(const struct compile *compile, struct routes *routes)
{
	struct entry *entries;
	size_t count = 0;
	uint32_t used = 0;
	bool built;

	routes->maps = calloc(1, sizeof(*routes->maps));
	for (uint32_t i = 0; i < routes->count; i++)
		count += route_at(compile, i)->n_destinations;
	entries = malloc((count + 1) * sizeof(*entries));
	if (!routes->maps || !entries) {
		free(entries);
		return false;
	}
	routes->maps->references = 1;
	for (uint32_t i = 0; i < routes->count; i++) {
		const Sluice__V1__Route *object = route_at(compile, i);
		uint16_t domain = domain_of(compile, object->vrf);

		for (size_t j = 0; j < object->n_destinations; j++) {
			struct entry *entry = &entries[used];

			*entry = (struct entry){.route = i, .domain = domain};
			used += prefix_parse(object->destinations[j], &entry->prefix);
		}
	}
	if (used)
		qsort(entries, used, sizeof(*entries), compare_entries);
	built = build_maps(routes->maps, entries, used);
	free(entries);
	return built;
}

static bool routes_kept(const struct compile *compile, uint32_t count)
{
	if (!compile->previous || compile->previous->routes->count != count)
		return false;
	for (uint32_t i = 0; i < count; i++)
		if (!compile_kept(compile, ROUTE, i))
			return false;
	return true;
}

int routes_compile(const struct compile *compile, struct error *err)
{
	struct routes *routes = calloc(1, sizeof(*routes));
	uint32_t count = (uint32_t)object_set_count(compile->objects, ROUTE);

	compile->tables->routes = routes;
	if (!routes)
		return error_set(err, "no memory for the tables");
	routes->route = calloc(count + (size_t)1, sizeof(*routes->route));
	if (!routes->route)
		return error_set(err, "no memory for the tables");
	for (; routes->count < count; routes->count++)
		if (!compile_route(compile, routes->count, &routes->route[routes->count])) {
			routes->count++;
			return error_set(err, "Route/%s: no memory, or more than 65535 Vrfs",
					 route_at(compile, routes->count - 1)->name);
		}
	if (routes_kept(compile, count)) {
		routes->maps = compile->previous->routes->maps;
		routes->maps->references++;
		return 0;
	}
	return make_maps(compile, routes) ? 0 : error_set(err, "no memory for the tables");
}

static void maps_free(struct route_maps *maps)
{
	if (!maps || --maps->references)
		return;
	for (uint32_t i = 0; i < maps->count; i++) {
		prefix_map_free(&maps->maps[i].prefixes);
		free(maps->maps[i].lengths);
		free(maps->maps[i].routes);
	}
	free(maps->maps);
	lookup_free(&maps->by_domain);
	free(maps);
}

void routes_free(struct routes *routes)
{
	if (!routes)
		return;
	for (uint32_t i = 0; i < routes->count; i++) {
		struct route_spread *spread = routes->route[i].spread;

		free(routes->route[i].hops);
		if (spread && --spread->references == 0)
			free(spread);
	}
	free(routes->route);
	maps_free(routes->maps);
	free(routes);
}
