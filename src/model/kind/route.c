// Checks of Route: destinations that nobody else has, next hops that can be reached, and no circle
// of Vrfs.

#include <stdlib.h>
#include <string.h>

#include "base/prefix_map.h"
#include "model/kind/check.h"
#include "model/kind/subnets.h"
#include "model/memory.h"
#include "model/object.h"

#define ROUTE	SLUICE__V1__OBJECT__KIND_ROUTE
#define NETWORK SLUICE__V1__OBJECT__KIND_NETWORK

#define HOPS_MAX	 64
#define WEIGHT_MAX	 100
#define DESTINATIONS_MAX 2097152
// As many as the data plane follows (layer/route/route.h).
#define VRFS_MAX 4

// A subnet or destination of a Vrf.
struct place {
	const char *vrf;
	struct ip_prefix prefix;
	const Sluice__V1__Object *object; // Network or Route
	size_t index;
	size_t order; // in which they are checked
};

// Those of one Vrf.
struct vrf_places {
	const struct place *first; // as prefix_compare; each prefix once
	uint32_t count;
	struct prefix_map map;
	uint32_t *outer;
};

struct places {
	struct place *list; // by Vrf, then as prefix_compare
	size_t count;
	size_t capacity;
	struct key_map *by_vrf; // of vrf_places; where there are leaks
	struct vrf_places *vrfs;
	size_t vrf_count;
};

static void add_place(struct places *places, const char *vrf, const struct ip_prefix *prefix,
		      const Sluice__V1__Object *object, size_t index)
{
	places->list =
		memory_grow(places->list, places->count, &places->capacity, sizeof(*places->list));
	places->list[places->count] = (struct place){
		.vrf = vrf,
		.prefix = *prefix,
		.object = object,
		.index = index,
		.order = places->count,
	};
	places->count++;
}

static int compare_places(const void *a, const void *b)
{
	const struct place *x = a, *y = b;
	int order = strcmp(x->vrf, y->vrf);

	if (!order)
		order = prefix_compare(&x->prefix, &y->prefix);
	return order ? order : (x->order > y->order) - (x->order < y->order);
}

static void sort(struct places *places)
{
	if (places->count)
		qsort(places->list, places->count, sizeof(*places->list), compare_places);
}

static void add_subnets(const struct subnets *subnets, struct places *places)
{
	for (size_t i = 0; i < subnets->count; i++)
		add_place(places, subnets->list[i].vrf, &subnets->list[i].prefix,
			  subnets->list[i].network, subnets->list[i].index);
}

static void destination_check(struct check *check, const Sluice__V1__Object *object, size_t index,
			      struct places *places)
{
	static const char *const never[] = {"127.0.0.0/8", "224.0.0.0/3", "169.254.0.0/16",
					    "::1/128",	   "fe80::/10",	  "ff00::/8"};
	const char *field = CHECK_PATH("destinations[%zu]", index);
	struct ip_prefix prefix, other;

	if (!check_prefix(check, object, field, object->route->destinations[index], &prefix))
		return;
	for (size_t i = 0; i < sizeof(never) / sizeof(*never); i++) {
		if (!prefix_parse(never[i], &other) || prefix.length < other.length ||
		    !prefix_overlaps(&prefix, &other))
			continue;
		problems_add(check->problems, object, field, "%s is never routed",
			     object->route->destinations[index]);
		return;
	}
	add_place(places, object->route->vrf, &prefix, object, index);
}

static void address_check(struct check *check, const Sluice__V1__Object *object, const char *field,
			  const char *text, const struct subnets *subnets)
{
	struct ip_address address, gateway;
	const Sluice__V1__Subnet *subnet;
	const struct vrf_subnet *place;

	if (!check_address(check, object, field, text, &address) ||
	    !check_host_address(check, object, field, &address) || !*object->route->vrf)
		return;
	place = subnets_find(subnets, object->route->vrf, &address);
	if (!place) {
		problems_add(check->problems, object, field,
			     "can't be reached: %s is in no subnet of Vrf/%s", text,
			     object->route->vrf);
		return;
	}
	if (!check_inside(check, object, field, &address, &place->prefix))
		return;
	subnet = place->network->network->subnets[place->index];
	if (ip_parse(subnet->gateway, &gateway) && ip_equal(&gateway, &address))
		problem_other(problems_add(check->problems, object, field,
					   "%s is Sluice's own gateway of Network/%s", text,
					   object_name(place->network)),
			      place->network, CHECK_PATH("subnets[%zu].gateway", place->index));
}

static void port_hop_check(struct check *check, const Sluice__V1__Object *object, const char *field,
			   const char *name)
{
	const Sluice__V1__Object *port, *network;

	if (!check_reference(check, object, field, SLUICE__V1__OBJECT__KIND_PORT, name))
		return;
	port = object_set_find(check->set, SLUICE__V1__OBJECT__KIND_PORT, name);
	network = object_set_find(check->set, NETWORK, port->port->network);
	if (network && *object->route->vrf &&
	    strcmp(network->network->vrf, object->route->vrf) != 0)
		problem_other(problems_add(check->problems, object, field,
					   "can't be reached: Port/%s is in Network/%s, which is "
					   "not in Vrf/%s",
					   name, port->port->network, object->route->vrf),
			      port, "network");
}

// Without an address it is the gateway of either family: there must be one.
static void external_gateway_check(struct check *check, const Sluice__V1__Object *object,
				   const char *field, const Sluice__V1__Object *network)
{
	for (int v4 = 0; v4 < 2; v4++) {
		bool needed = false, found = false;

		for (size_t i = 0; i < object->route->n_destinations; i++)
			needed |= v4 == (strchr(object->route->destinations[i], ':') == NULL);
		for (size_t i = 0; i < network->network->n_subnets; i++) {
			const char *gateway = network->network->subnets[i]->gateway;

			found |= *gateway && v4 == (strchr(gateway, ':') == NULL);
		}
		if (needed && !found)
			problem_other(problems_add(check->problems, object, field,
						   "can't be reached: Network/%s has no gateway "
						   "of %s",
						   object_name(network), v4 ? "IPv4" : "IPv6"),
				      network, "subnets");
	}
}

static void external_address_check(struct check *check, const Sluice__V1__Object *object,
				   const char *field, const char *text,
				   const Sluice__V1__Object *network)
{
	const Sluice__V1__External *external = network->network->external;
	struct ip_address address, other;
	struct ip_prefix prefix;

	if (!check_address(check, object, field, text, &address) ||
	    !check_host_address(check, object, field, &address))
		return;
	for (size_t i = 0; i < network->network->n_subnets; i++) {
		if (!prefix_parse(network->network->subnets[i]->cidr, &prefix) ||
		    !ip_in_prefix(&address, &prefix))
			continue;
		for (size_t j = 0; j < external->n_addresses; j++)
			if (ip_parse(external->addresses[j]->address, &other) &&
			    ip_equal(&address, &other))
				problem_other(problems_add(check->problems, object, field,
							   "%s is Node/%s's own address in "
							   "Network/%s",
							   text, external->addresses[j]->node,
							   object_name(network)),
					      network,
					      CHECK_PATH("external.addresses[%zu].address", j));
		check_inside(check, object, field, &address, &prefix);
		return;
	}
	problem_other(problems_add(check->problems, object, field,
				   "can't be reached: %s is in no subnet of Network/%s", text,
				   object_name(network)),
		      network, "subnets");
}

// `key` becomes a text that is the same for the same next hop.
static const char *external_hop_check(struct check *check, const Sluice__V1__Object *object,
				      size_t index, char key[CHECK_PATH_SIZE])
{
	const Sluice__V1__ExternalHop *hop = object->route->next_hops[index]->external;
	const char *field = CHECK_PATH("nextHops[%zu].external.network", index);
	const Sluice__V1__Object *network;

	if (!check_external_reference(check, object, field, hop->network))
		return NULL;
	network = object_set_find(check->set, NETWORK, hop->network);
	if (*hop->address)
		external_address_check(check, object,
				       CHECK_PATH("nextHops[%zu].external.address", index),
				       hop->address, network);
	else
		external_gateway_check(check, object, field, network);
	return check_path(key, "%s%s%s", hop->network, *hop->address ? " " : "", hop->address);
}

// Returns a text that is the same for the same next hop; `key` is room for it.
static const char *hop_check(struct check *check, const Sluice__V1__Object *object, size_t index,
			     const struct subnets *subnets, char key[CHECK_PATH_SIZE])
{
	const Sluice__V1__NextHop *hop = object->route->next_hops[index];
	const char *weight_field = CHECK_PATH("nextHops[%zu].weight", index);
	const char *field;

	if (hop->has_weight_case && (hop->weight < 1 || hop->weight > WEIGHT_MAX))
		problems_add(check->problems, object, weight_field, "%u is not 1 to %d",
			     hop->weight, WEIGHT_MAX);
	switch (hop->next_hop_case) {
	case SLUICE__V1__NEXT_HOP__NEXT_HOP_ADDRESS:
		field = CHECK_PATH("nextHops[%zu].address", index);
		address_check(check, object, field, hop->address, subnets);
		return hop->address;
	case SLUICE__V1__NEXT_HOP__NEXT_HOP_PORT:
		field = CHECK_PATH("nextHops[%zu].port", index);
		port_hop_check(check, object, field, hop->port);
		return hop->port;
	case SLUICE__V1__NEXT_HOP__NEXT_HOP_VRF:
		field = CHECK_PATH("nextHops[%zu].vrf", index);
		if (!check_reference(check, object, field, SLUICE__V1__OBJECT__KIND_VRF, hop->vrf))
			return NULL;
		if (strcmp(hop->vrf, object->route->vrf) == 0)
			problems_add(check->problems, object, field,
				     "Vrf/%s is the Route's own: it would go in a circle",
				     hop->vrf);
		else if (object->route->n_next_hops > 1)
			problems_add(check->problems, object, field,
				     "a Vrf must be the only next hop");
		return NULL;
	case SLUICE__V1__NEXT_HOP__NEXT_HOP_EXTERNAL:
		return external_hop_check(check, object, index, key);
	default: // reported by the check that all messages have
		return NULL;
	}
}

static void route_object_check(struct check *check, const Sluice__V1__Object *object,
			       const struct subnets *subnets, struct places *places)
{
	const Sluice__V1__Route *route = object->route;
	struct key_map *seen = key_map_new();

	check_reference(check, object, "vrf", SLUICE__V1__OBJECT__KIND_VRF, route->vrf);
	if (!route->n_destinations)
		problems_add(check->problems, object, "destinations", "missing");
	for (size_t i = 0; i < route->n_destinations && places->count <= DESTINATIONS_MAX; i++)
		destination_check(check, object, i, places);
	if (route->blackhole && route->n_next_hops)
		problems_add(check->problems, object, "nextHops", "a black hole has none");
	else if (!route->blackhole && !route->n_next_hops)
		problems_add(check->problems, object, "nextHops", "missing, or blackhole");
	if (route->n_next_hops > HOPS_MAX)
		problems_add(check->problems, object, "nextHops", "more than %d", HOPS_MAX);
	for (size_t i = 0; i < route->n_next_hops; i++) {
		char key[CHECK_PATH_SIZE];
		const char *text = hop_check(check, object, i, subnets, key);

		if (text && key_map_add(seen, text, strlen(text) + 1, text))
			problems_add(check->problems, object, CHECK_PATH("nextHops[%zu]", i),
				     "'%s' is given twice", text);
	}
	key_map_free(seen);
}

// Of equal ones the first counts. `places` is sorted, and has each once afterwards.
static void duplicates_check(struct check *check, struct places *places)
{
	size_t used = 0;

	for (size_t i = 0; i < places->count; i++) {
		const struct place *place = &places->list[i];
		const struct place *before = used ? &places->list[used - 1] : NULL;
		char text[IP_TEXT_SIZE];

		if (!before || strcmp(before->vrf, place->vrf) != 0 ||
		    prefix_compare(&before->prefix, &place->prefix) != 0) {
			places->list[used++] = *place;
			continue;
		}
		if (place->object->kind_case != ROUTE)
			continue; // overlapping subnets, reported already
		prefix_format(&place->prefix, text);
		const char *field = CHECK_PATH("destinations[%zu]", place->index);
		if (before->object->kind_case != ROUTE)
			problem_other(problems_add(check->problems, place->object, field,
						   "%s is a subnet of Network/%s", text,
						   object_name(before->object)),
				      before->object, "subnets");
		else if (before->object == place->object)
			problems_add(check->problems, place->object, field, "%s is given twice",
				     text);
		else
			problem_other(problems_add(check->problems, place->object, field,
						   "Route/%s has %s already",
						   object_name(before->object), text),
				      before->object, "destinations");
	}
	places->count = used;
}

static void split_by_vrf(struct places *places)
{
	places->by_vrf = key_map_new();
	places->vrfs = memory_new((places->count + 1) * sizeof(*places->vrfs));
	for (size_t i = 0, end; i < places->count; i = end) {
		struct vrf_places *vrf = &places->vrfs[places->vrf_count++];
		struct ip_prefix *prefixes;

		for (end = i;
		     end < places->count && strcmp(places->list[end].vrf, places->list[i].vrf) == 0;
		     end++)
			;
		vrf->first = &places->list[i];
		vrf->count = (uint32_t)(end - i);
		vrf->outer = memory_new(vrf->count * sizeof(*vrf->outer));
		prefixes = memory_new(vrf->count * sizeof(*prefixes));
		for (uint32_t p = 0; p < vrf->count; p++)
			prefixes[p] = vrf->first[p].prefix;
		if (!prefix_map_build(&vrf->map, prefixes, vrf->count, vrf->outer))
			memory_required(NULL);
		free(prefixes);
		key_map_add(places->by_vrf, vrf->first->vrf, strlen(vrf->first->vrf), vrf);
	}
}

// What counts in the Vrf for all of the prefix: the longest that holds it, or NULL.
static const struct place *find_around(const struct places *places, const char *name,
				       const struct ip_prefix *prefix)
{
	const struct vrf_places *vrf = key_map_find(places->by_vrf, name, strlen(name));
	uint32_t number = vrf ? prefix_map_find(&vrf->map, &prefix->address) : 0;

	while (number && vrf->first[number - 1].prefix.length > prefix->length)
		number = vrf->outer[number - 1];
	return number ? &vrf->first[number - 1] : NULL;
}

// The Vrf that the Route leads to, or NULL.
static const char *leak_of(const struct place *place)
{
	const Sluice__V1__Route *route =
		place && place->object->kind_case == ROUTE ? place->object->route : NULL;

	return route && route->n_next_hops == 1 &&
			       route->next_hops[0]->next_hop_case ==
				       SLUICE__V1__NEXT_HOP__NEXT_HOP_VRF
		       ? route->next_hops[0]->vrf
		       : NULL;
}

static void circle_check(struct check *check, const struct places *places,
			 const struct place *start)
{
	const struct place *place = start;
	char text[IP_TEXT_SIZE];

	for (unsigned int vrfs = 1; leak_of(place); vrfs++) {
		const char *next = leak_of(place);

		if (place == start && strcmp(next, start->vrf) == 0)
			return; // reported already
		if (strcmp(next, start->vrf) == 0) {
			problem_other(problems_add(check->problems, start->object,
						   "nextHops[0].vrf",
						   "%s goes in a circle: Route/%s leads back to "
						   "Vrf/%s",
						   prefix_format(&start->prefix, text),
						   object_name(place->object), start->vrf),
				      place->object, "nextHops[0].vrf");
			return;
		}
		if (vrfs == VRFS_MAX) {
			problem_other(problems_add(check->problems, start->object,
						   "nextHops[0].vrf",
						   "%s goes through more than %d Vrfs",
						   prefix_format(&start->prefix, text), VRFS_MAX),
				      place->object, "nextHops[0].vrf");
			return;
		}
		place = find_around(places, next, &start->prefix);
	}
}

static void circles_check(struct check *check, struct places *places)
{
	bool any = false;

	for (size_t i = 0; i < places->count; i++)
		any |= leak_of(&places->list[i]) != NULL;
	if (!any)
		return;
	split_by_vrf(places);
	for (size_t i = 0; i < places->count; i++)
		circle_check(check, places, &places->list[i]);
	for (size_t i = 0; i < places->vrf_count; i++) {
		prefix_map_free(&places->vrfs[i].map);
		free(places->vrfs[i].outer);
	}
	free(places->vrfs);
	key_map_free(places->by_vrf);
}

void route_check(struct check *check)
{
	struct places places = {0};
	struct subnets subnets;
	size_t count = check_count(check, ROUTE);

	if (!count)
		return;
	subnets = subnets_of(check);
	add_subnets(&subnets, &places);
	for (size_t i = 0; i < count; i++)
		route_object_check(check, check_at(check, ROUTE, i), &subnets, &places);
	if (places.count > DESTINATIONS_MAX)
		problems_add(check->problems, NULL, "",
			     "all Routes together have more than %d destinations",
			     DESTINATIONS_MAX);
	sort(&places);
	duplicates_check(check, &places);
	circles_check(check, &places);
	subnets_free(&subnets);
	free(places.list);
}
