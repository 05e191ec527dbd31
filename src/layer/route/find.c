#include "layer/allowed_address/allowed_address.h"
#include "layer/external/external.h"
#include "layer/route/route.h"
#include "layer/spread.h"

// The Route for the address, and how long its prefix is, or NULL.
static const struct route *find(const struct tables *tables, uint16_t domain,
				const struct ip_address *address, uint32_t *length)
{
	const struct routes *routes = tables->routes;
	const struct route_map *map;
	uint32_t index, number;

	if (!routes->count)
		return NULL;
	index = lookup_find(&routes->maps->by_domain, (struct lookup_key){{domain, 0, 0}});
	if (!index)
		return NULL;
	map = &routes->maps->maps[index - 1];
	number = prefix_map_find(&map->prefixes, address);
	if (!number)
		return NULL;
	*length = map->lengths[number - 1];
	return &routes->route[map->routes[number - 1]];
}

// Does the router not answer?
static bool is_down(const struct tables *tables, const struct route_hop *hop, bool v4)
{
	uint32_t router = hop->routers[v4];

	if (!hop->external)
		return false;
	return !router || external_hop_is_down(external_hop_of(tables, &tables->endpoints[router]));
}

// What would go by a router that is down is spread over the others, and nothing else moves. If all
// are down it is the first choice again.
static uint32_t choose_of(const struct tables *tables, const struct route *route, uint32_t hash,
			  bool v4)
{
	uint32_t first = route->spread->hops[hash % ROUTE_SPREAD_SIZE], hop = first;

	for (unsigned int i = 0; i < ROUTE_HOPS_MAX && is_down(tables, &route->hops[hop], v4);
	     i++) {
		hash = (uint32_t)(flow_hash_mix(hash ^ 0xa0761d6478bd642f, 0xe7037ed1a0b428db) >>
				  32);
		hop = route->spread->hops[hash % ROUTE_SPREAD_SIZE];
	}
	return is_down(tables, &route->hops[hop], v4) ? first : hop;
}

// NULL: none can be reached.
static const struct route_hop *choose(struct walk *walk, const struct route *route)
{
	uint32_t hop = route->only;

	if (route->spread) {
		// In both walks of a translated connection: before its source was translated.
		struct flow_key key = walk->leaving;

		key.source = walk->packet->key.source;
		key.source_port = walk->packet->key.source_port;
		hop = choose_of(walk->tables, route, (uint32_t)(spread_hash(&key) >> 32),
				ip_is_v4(&key.destination));
		walk->unique = true;
	}
	return hop < route->hop_count ? &route->hops[hop] : NULL;
}

static enum drop_reason no_host(struct walk *walk, uint16_t domain,
				const struct ip_address *address, enum drop_reason reason)
{
	const struct shared_address *shared = tables_find_shared(walk->tables, domain, address);
	char text[IP_TEXT_SIZE];

	walk->asked = shared;
	walk_say(walk, "no port for %s", ip_format(address, text));
	return reason;
}

// By `route`: an endpoint, or on in another domain.
static enum drop_reason follow(struct walk *walk, const struct route *route, uint16_t *domain,
			       uint32_t *endpoint)
{
	const struct tables *tables = walk->tables;
	const struct route_hop *hop = choose(walk, route);

	if (route->blackhole) {
		walk_say(walk, "Route %s is a black hole", route->name);
		return DROP_BLACKHOLE;
	}
	if (!hop) {
		walk_say(walk, "Route %s: no port has the address of a next hop", route->name);
		return DROP_NO_NEXT_HOP;
	}
	if (hop->domain) {
		walk_say(walk, "Route %s: on in its next hop's Vrf", route->name);
		*domain = hop->domain;
		return DROP_NONE;
	}
	if (hop->external) {
		*endpoint = hop->routers[ip_is_v4(&walk->leaving.destination)];
		if (!*endpoint) {
			walk_say(walk, "Route %s: this node can't reach the router", route->name);
			return DROP_NO_NEXT_HOP;
		}
		walk_say(walk, "Route %s: by router %s", route->name,
			 tables->details[*endpoint].name);
		return DROP_NONE;
	}
	*endpoint =
		hop->endpoint ? hop->endpoint : tables_find_address(tables, *domain, &hop->address);
	if (!*endpoint)
		return no_host(walk, *domain, &hop->address, DROP_NO_NEXT_HOP);
	walk_say(walk, "Route %s: by port %s", route->name, tables->details[*endpoint].name);
	return DROP_NONE;
}

enum drop_reason route_resolve(struct walk *walk, uint32_t *endpoint)
{
	const struct tables *tables = walk->tables;
	const struct ip_address *address = &walk->leaving.destination;
	uint16_t domain = walk->domain;
	char text[IP_TEXT_SIZE];

	for (unsigned int i = 0; i < ROUTE_DOMAINS_MAX; i++) {
		const struct domain_prefix *subnet;
		const struct route *route;
		enum drop_reason reason;
		uint32_t length = 0;

		*endpoint = tables_find_address(tables, domain, address);
		if (*endpoint)
			return DROP_NONE;
		subnet = tables_find_subnet(tables, domain, address);
		route = find(tables, domain, address, &length);
		if (route && (!subnet || length > subnet->prefix.length)) {
			reason = follow(walk, route, &domain, endpoint);
			if (reason != DROP_NONE || *endpoint)
				return reason;
			continue;
		}
		// One that several ports may have need not be in a subnet.
		if (subnet || tables_find_shared(tables, domain, address))
			return no_host(walk, domain, address, DROP_NO_HOST);
		walk_say(walk, "no subnet or Route for %s", ip_format(address, text));
		return DROP_NO_ROUTE;
	}
	walk_say(walk, "more than %d Vrfs", ROUTE_DOMAINS_MAX);
	return DROP_ROUTE_LOOP;
}

uint32_t route_find_sender(const struct tables *tables, uint16_t domain, uint16_t peer,
			   const struct ip_address *address)
{
	for (unsigned int i = 0; domain && i < ROUTE_DOMAINS_MAX; i++) {
		uint32_t found = tables_find_address(tables, domain, address), length;
		const struct route *route;

		if (found && tables->endpoints[found].peer == peer)
			return found;
		found = allowed_address_find(tables, domain, peer, address);
		if (found)
			return found;
		route = find(tables, domain, address, &length);
		domain = route && route->hop_count ? route->hops[0].domain : 0;
	}
	return 0;
}

bool route_leads_out(const struct tables *tables, uint16_t domain, const struct ip_address *address,
		     uint16_t network)
{
	for (unsigned int i = 0; domain && i < ROUTE_DOMAINS_MAX; i++) {
		uint32_t length;
		const struct route *route = find(tables, domain, address, &length);

		for (uint32_t hop = 0; route && hop < route->hop_count; hop++) {
			uint32_t router = route->hops[hop].routers[ip_is_v4(address)];

			if (router && tables->endpoints[router].network == network)
				return true;
		}
		domain = route && route->hop_count ? route->hops[0].domain : 0;
	}
	return false;
}

// The Route by which an address goes that no Port and no longer prefix of a subnet has, or NULL.
static const struct route *find_beyond(const struct tables *tables, uint16_t domain,
				       const struct ip_address *address)
{
	const struct domain_prefix *subnet = tables_find_subnet(tables, domain, address);
	uint32_t length = 0;
	const struct route *route = find(tables, domain, address, &length);

	if (!route || (subnet && length <= subnet->prefix.length) ||
	    tables_find_address(tables, domain, address))
		return NULL;
	return route;
}

uint16_t route_next_domain(const struct tables *tables, uint16_t domain,
			   const struct ip_address *address)
{
	const struct route *route = find_beyond(tables, domain, address);

	return route && route->hop_count ? route->hops[0].domain : 0;
}

bool route_is_outside(const struct tables *tables, uint16_t domain,
		      const struct ip_address *address)
{
	for (unsigned int i = 0; domain && i < ROUTE_DOMAINS_MAX; i++) {
		const struct route *route = find_beyond(tables, domain, address);

		for (uint32_t hop = 0; route && hop < route->hop_count; hop++)
			if (route->hops[hop].external)
				return true;
		domain = route && route->hop_count ? route->hops[0].domain : 0;
	}
	return false;
}
