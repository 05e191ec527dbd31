// Checks of external Networks, and of the addresses there that are Sluice's: each has one owner.

#include <stdlib.h>

#include "base/prefix_map.h"
#include "model/kind/check.h"
#include "model/memory.h"
#include "model/object.h"

#define NETWORK	 SLUICE__V1__OBJECT__KIND_NETWORK
#define NODE	 SLUICE__V1__OBJECT__KIND_NODE
#define VLAN_MAX 4094

// Addresses that somebody has said to have.
struct taken {
	const char *network;
	struct ip_prefix prefix;
	const Sluice__V1__Object *object;
	char field[CHECK_PATH_SIZE];
	size_t order; // in which they are checked
};

struct check_external {
	struct taken *taken;
	size_t count;
	size_t capacity;
	struct key_map *links; // networks by node and VLAN
};

static struct check_external *state_of(struct check *check)
{
	if (!check->external) {
		check->external = memory_new(sizeof(*check->external));
		check->external->links = key_map_new();
	}
	return check->external;
}

bool check_external_reference(struct check *check, const Sluice__V1__Object *object,
			      const char *field, const char *name)
{
	const Sluice__V1__Object *network;

	if (!check_reference(check, object, field, NETWORK, name))
		return false;
	network = object_set_find(check->set, NETWORK, name);
	if (network->network->external)
		return true;
	problem_other(
		problems_add(check->problems, object, field, "Network/%s is not external", name),
		network, "external");
	return false;
}

bool check_external_part(struct check *check, const Sluice__V1__Object *object, const char *field,
			 const Sluice__V1__Object *network, const char *node)
{
	const Sluice__V1__External *external = network->network->external;

	for (size_t i = 0; i < external->n_addresses; i++)
		if (strcmp(external->addresses[i]->node, node) == 0)
			return true;
	problem_other(problems_add(check->problems, object, field,
				   "Node/%s has no address in Network/%s", node,
				   object_name(network)),
		      network, "external.addresses");
	return false;
}

// The subnet that holds all of the prefix, or NULL.
static const Sluice__V1__Subnet *find_subnet(const Sluice__V1__Network *network,
					     const struct ip_prefix *prefix,
					     struct ip_prefix *around, size_t *index)
{
	for (*index = 0; *index < network->n_subnets; ++*index)
		if (prefix_parse(network->subnets[*index]->cidr, around) &&
		    around->length <= prefix->length && ip_in_prefix(&prefix->address, around))
			return network->subnets[*index];
	return NULL;
}

static bool tunnel_address_check(struct check *check, const Sluice__V1__Object *object,
				 const char *field, const struct ip_prefix *prefix)
{
	for (size_t i = 0; i < check_count(check, NODE); i++) {
		const Sluice__V1__Object *node = check_at(check, NODE, i);
		struct ip_prefix vtep;
		char text[IP_TEXT_SIZE];

		if (!prefix_parse(node->node->vtep, &vtep) || !ip_in_prefix(&vtep.address, prefix))
			continue;
		problem_other(problems_add(check->problems, object, field,
					   "%s is the tunnel address of Node/%s",
					   ip_format(&vtep.address, text), object_name(node)),
			      node, "vtep");
		return false;
	}
	return true;
}

bool check_external_prefix(struct check *check, const Sluice__V1__Object *object, const char *field,
			   const char *name, const struct ip_prefix *prefix)
{
	const Sluice__V1__Object *network = object_set_find(check->set, NETWORK, name);
	struct check_external *state = state_of(check);
	const Sluice__V1__Subnet *subnet;
	struct ip_prefix around;
	struct ip_address gateway;
	char text[IP_TEXT_SIZE];
	size_t index;

	subnet = find_subnet(network->network, prefix, &around, &index);
	if (!subnet) {
		problem_other(problems_add(check->problems, object, field,
					   "%s is in no subnet of Network/%s",
					   prefix_format(prefix, text), name),
			      network, "subnets");
		return false;
	}
	if (prefix->length == 128 &&
	    (!check_host_address(check, object, field, &prefix->address) ||
	     !check_inside(check, object, field, &prefix->address, &around)))
		return false;
	if (ip_parse(subnet->gateway, &gateway) && ip_in_prefix(&gateway, prefix)) {
		problem_other(problems_add(check->problems, object, field,
					   "%s is the router's address in Network/%s",
					   subnet->gateway, name),
			      network, CHECK_PATH("subnets[%zu].gateway", index));
		return false;
	}
	if (!tunnel_address_check(check, object, field, prefix))
		return false;
	state->taken =
		memory_grow(state->taken, state->count, &state->capacity, sizeof(*state->taken));
	state->taken[state->count] = (struct taken){
		.network = name, .prefix = *prefix, .object = object, .order = state->count};
	check_path(state->taken[state->count].field, "%s", field);
	state->count++;
	return true;
}

// A frame on the uplink is of one network.
static void link_check(struct check *check, const Sluice__V1__Object *object, const char *node)
{
	struct check_external *state = state_of(check);
	const Sluice__V1__Object *other;
	char key[CHECK_PATH_SIZE];

	check_path(key, "%zu/%s", (size_t)object->network->external->vlan, node);
	other = key_map_add(state->links, key, strlen(key), object);
	if (other && other != object)
		problem_other(problems_add(check->problems, object, "external.vlan",
					   "Network/%s is in the same place on Node/%s",
					   object_name(other), node),
			      other, "external.vlan");
}

static void addresses_check(struct check *check, const Sluice__V1__Object *object)
{
	const Sluice__V1__External *external = object->network->external;
	struct key_map *places = key_map_new();

	for (size_t i = 0; i < external->n_addresses; i++) {
		const Sluice__V1__ExternalAddress *own = external->addresses[i];
		const char *field = CHECK_PATH("external.addresses[%zu].node", i);
		struct ip_prefix host = {.length = 128}, around;
		char key[CHECK_PATH_SIZE];
		size_t index;

		if (check_reference(check, object, field, NODE, own->node)) {
			const Sluice__V1__Object *node =
				object_set_find(check->set, NODE, own->node);

			if (!node->node->uplink)
				problem_other(problems_add(check->problems, object, field,
							   "Node/%s has no uplink", own->node),
					      node, "uplink");
			link_check(check, object, own->node);
		}
		field = CHECK_PATH("external.addresses[%zu].address", i);
		if (!check_address(check, object, field, own->address, &host.address) ||
		    !check_external_prefix(check, object, field, object->network->name, &host))
			continue;
		find_subnet(object->network, &host, &around, &index);
		check_path(key, "%zu/%s", index, own->node);
		if (key_map_add(places, key, strlen(key), object))
			problems_add(check->problems, object, field,
				     "Node/%s has an address in that subnet already", own->node);
	}
	key_map_free(places);
}

// What only networks inside have.
static void inside_check(struct check *check, const Sluice__V1__Object *object)
{
	const Sluice__V1__Network *network = object->network;

	if (network->vni)
		problems_add(check->problems, object, "vni", "an external network has none");
	if (*network->vrf)
		problems_add(check->problems, object, "vrf",
			     "an external network has none: Routes lead to it");
	if (network->dhcp)
		problems_add(check->problems, object, "dhcp",
			     "is of no use in an external network");
	if (network->multicast)
		problems_add(check->problems, object, "multicast",
			     "is of no use in an external network");
	for (size_t i = 0; i < network->n_subnets; i++) {
		const Sluice__V1__Subnet *subnet = network->subnets[i];
		const char *wrong = subnet->n_dns	   ? "dns"
				    : subnet->n_routes	   ? "routes"
				    : subnet->address_mode ? "addressMode"
				    : subnet->n_external   ? "external"
							   : NULL;

		if (wrong)
			problems_add(check->problems, object,
				     CHECK_PATH("subnets[%zu].%s", i, wrong),
				     "is of no use in an external network");
	}
}

// Subnets that are known outside.
static void subnets_check(struct check *check, const Sluice__V1__Object *object)
{
	const Sluice__V1__Network *network = object->network;

	for (size_t s = 0; s < network->n_subnets; s++) {
		const Sluice__V1__Subnet *subnet = network->subnets[s];

		for (size_t i = 0; i < subnet->n_external; i++) {
			const char *field = CHECK_PATH("subnets[%zu].external[%zu]", s, i);

			if (!check_external_reference(check, object, field, subnet->external[i]))
				continue;
			if (!*network->vrf)
				problems_add(check->problems, object, field,
					     "is of no use without vrf");
			for (size_t j = 0; j < i; j++)
				if (strcmp(subnet->external[j], subnet->external[i]) == 0)
					problems_add(check->problems, object, field,
						     "'%s' is given twice", subnet->external[i]);
		}
	}
}

void check_external_network(struct check *check, const Sluice__V1__Object *object)
{
	const Sluice__V1__External *external = object->network->external;

	if (!external) {
		subnets_check(check, object);
		return;
	}
	inside_check(check, object);
	if (external->vlan > VLAN_MAX)
		problems_add(check->problems, object, "external.vlan", "%u is not 0 to %d",
			     external->vlan, VLAN_MAX);
	addresses_check(check, object);
}

static int compare_taken(const void *a, const void *b)
{
	const struct taken *x = a, *y = b;
	int order = strcmp(x->network, y->network);

	if (!order)
		order = prefix_compare(&x->prefix, &y->prefix);
	return order ? order : (x->order > y->order) - (x->order < y->order);
}

void external_check(struct check *check)
{
	struct check_external *state = check->external;
	const struct taken *wide = NULL;

	if (!state)
		return;
	if (state->count)
		qsort(state->taken, state->count, sizeof(*state->taken), compare_taken);
	for (size_t i = 0; i < state->count; i++) {
		const struct taken *place = &state->taken[i], *later, *earlier;
		char text[IP_TEXT_SIZE];

		if (!wide || strcmp(wide->network, place->network) != 0 ||
		    !prefix_overlaps(&wide->prefix, &place->prefix)) {
			wide = place;
			continue;
		}
		later = wide->order > place->order ? wide : place;
		earlier = later == wide ? place : wide;
		prefix_format(&later->prefix, text);
		if (later->prefix.length == 128)
			ip_format(&later->prefix.address, text);
		problem_other(problems_add(check->problems, later->object, later->field,
					   "%s/%s has %s already",
					   object_kind_name(earlier->object),
					   object_name(earlier->object), text),
			      earlier->object, earlier->field);
	}
	free(state->taken);
	key_map_free(state->links);
	free(state);
	check->external = NULL;
}
