// Checks of LoadBalancers' members: that they can be reached, and that one has a share.

#include <string.h>

#include "model/kind/load_balancer_private.h"
#include "model/object.h"

#define PORT	    SLUICE__V1__OBJECT__KIND_PORT
#define MEMBERS_MAX 1000
#define WEIGHT_MAX  100

// Returns its family; 0 where it can't be one.
static unsigned int address_member_check(struct check *check, const Sluice__V1__Object *object,
					 const char *field, const char *text, struct maps *maps,
					 struct key_map *seen)
{
	const char *vrf = object->load_balancer->vrf;
	const struct holder *balancer;
	struct ip_address address;

	if (!check_address(check, object, field, text, &address) ||
	    !check_host_address(check, object, field, &address) || !*vrf)
		return 0;
	if (key_map_add(seen, &address, sizeof(address), object))
		problems_add(check->problems, object, field, "%s is given twice", text);
	balancer = balancer_find_holder(maps->own, vrf, &address);
	if (balancer && balancer->object == object)
		problems_add(check->problems, object, field,
			     "%s is a virtual address of this LoadBalancer: it would be its own "
			     "member",
			     text);
	else if (balancer)
		problem_other(problems_add(check->problems, object, field,
					   "%s is a virtual address of LoadBalancer/%s", text,
					   object_name(balancer->object)),
			      balancer->object, balancer->field);
	else if (balancer_place_check(check, object, field, &address, maps, true))
		return ip_is_v4(&address) ? V4 : V6;
	return 0;
}

static unsigned int port_member_check(struct check *check, const Sluice__V1__Object *object,
				      const char *field, const char *name, struct key_map *seen)
{
	const char *vrf = object->load_balancer->vrf;
	const Sluice__V1__Network *network;
	const Sluice__V1__Object *port;
	unsigned int families = 0;
	struct ip_address address;
	bool twice = false;

	if (!check_reference(check, object, field, PORT, name))
		return 0;
	port = object_set_find(check->set, PORT, name);
	network = balancer_network_of(check, port->port);
	if (network && *vrf && strcmp(network->vrf, vrf) != 0) {
		problem_other(problems_add(check->problems, object, field,
					   "can't be reached: Port/%s is in Network/%s, which is "
					   "not in Vrf/%s",
					   name, network->name, vrf),
			      port, "network");
		return 0;
	}
	for (size_t i = 0; i < port->port->n_addresses; i++) {
		if (!ip_parse(port->port->addresses[i], &address))
			continue;
		families |= ip_is_v4(&address) ? V4 : V6;
		twice |= key_map_add(seen, &address, sizeof(address), object) != NULL;
	}
	if (twice)
		problems_add(check->problems, object, field, "'%s' is given twice", name);
	if (!families)
		problem_other(problems_add(check->problems, object, field, "Port/%s has no address",
					   name),
			      port, "addresses");
	return families;
}

static unsigned int member_check(struct check *check, const Sluice__V1__Object *object,
				 size_t index, struct maps *maps, struct key_map *seen)
{
	const Sluice__V1__Member *member = object->load_balancer->members[index];

	if (member->has_weight_case && member->weight > WEIGHT_MAX)
		problems_add(check->problems, object, CHECK_PATH("members[%zu].weight", index),
			     "%u is not 0 to %d", member->weight, WEIGHT_MAX);
	switch (member->member_case) {
	case SLUICE__V1__MEMBER__MEMBER_ADDRESS:
		return address_member_check(check, object,
					    CHECK_PATH("members[%zu].address", index),
					    member->address, maps, seen);
	case SLUICE__V1__MEMBER__MEMBER_PORT:
		return port_member_check(check, object, CHECK_PATH("members[%zu].port", index),
					 member->port, seen);
	default: // reported by the check that all messages have
		return 0;
	}
}

void check_members(struct check *check, const Sluice__V1__Object *object, unsigned int families,
		   struct maps *maps)
{
	const Sluice__V1__LoadBalancer *balancer = object->load_balancer;
	struct key_map *seen = key_map_new();
	unsigned int served = 0;
	bool sound = true;
	uint64_t sum = 0;

	if (!balancer->n_members)
		problems_add(check->problems, object, "members", "missing");
	if (balancer->n_members > MEMBERS_MAX)
		problems_add(check->problems, object, "members", "more than %d", MEMBERS_MAX);
	for (size_t i = 0; i < balancer->n_members; i++) {
		const Sluice__V1__Member *member = balancer->members[i];
		unsigned int own = member_check(check, object, i, maps, seen);

		sound &= own != 0;
		served |= own;
		sum += member->has_weight_case ? member->weight : 1;
		if (own && families && !(own & families))
			problems_add(check->problems, object, CHECK_PATH("members[%zu]", i),
				     "is %s, and no virtual address is",
				     own == V4 ? "IPv4" : "IPv6");
	}
	key_map_free(seen);
	if (balancer->n_members && !sum)
		problems_add(check->problems, object, "members",
			     "the weights sum to zero: nobody gets a connection");
	if (sound && balancer->n_members && families & ~served)
		problems_add(check->problems, object, "members",
			     "no member has an %s address, and a virtual address is %s",
			     families & ~served & V4 ? "IPv4" : "IPv6",
			     families & ~served & V4 ? "IPv4" : "IPv6");
}
