// Validation of a small change: the part of the next set that is near it, held to the same rules.

#include "model/check_change.h"

#include <stdint.h>
#include <string.h>

#include "base/address.h"
#include "model/check.h"
#include "model/kind.h"
#include "model/object.h"
#include "model/rule.h"

#define NODE	 SLUICE__V1__OBJECT__KIND_NODE
#define VRF	 SLUICE__V1__OBJECT__KIND_VRF
#define NETWORK	 SLUICE__V1__OBJECT__KIND_NETWORK
#define GROUP	 SLUICE__V1__OBJECT__KIND_SECURITY_GROUP
#define PORT	 SLUICE__V1__OBJECT__KIND_PORT
#define ROUTE	 SLUICE__V1__OBJECT__KIND_ROUTE
#define BALANCER SLUICE__V1__OBJECT__KIND_LOAD_BALANCER
#define POLICY	 SLUICE__V1__OBJECT__KIND_QOS_POLICY
#define NAT	 SLUICE__V1__OBJECT__KIND_NAT
#define FLOATING SLUICE__V1__OBJECT__KIND_FLOATING_IP

// With more the whole set is checked as quickly.
#define CHANGES_MAX 64

// Whether there are too many of a kind is for set_check to say.
#define OBJECTS_MAX 60000

struct change_check {
	const struct object_set *current;
	const struct object_set *next;
	struct object_set *near; // nodes and networks whose Ports count
	struct object_set *gone; // of `current`
	struct object_set *part; // of `next`, closed under references
};

static size_t larger(size_t a, size_t b)
{
	return a > b ? a : b;
}

// How many places of the kind are not the same in both sets.
static size_t count_changes(const struct change_check *check, Sluice__V1__Object__KindCase kind)
{
	size_t count =
		larger(object_set_count(check->current, kind), object_set_count(check->next, kind));
	size_t changes = 0;

	for (size_t i = 0; i < count; i++)
		changes += !object_set_same(check->current, check->next, kind, i);
	return changes;
}

static bool is_small(const struct change_check *check)
{
	Sluice__V1__Object__KindCase kind;

	for (size_t k = 0; (kind = kind_at(k)) != SLUICE__V1__OBJECT__KIND__NOT_SET; k++) {
		size_t max = kind == GROUP ? SECURITY_GROUPS_MAX : OBJECTS_MAX;

		// Of Ports there are limits for each node only, and all of a node are near.
		if (count_changes(check, kind) > (kind == NODE ? 0 : CHANGES_MAX) ||
		    (kind != PORT && object_set_count(check->next, kind) > max))
			return false;
	}
	return true;
}

// The network and those that are routed to it, on which addresses have to differ.
static void add_near_networks(struct change_check *check, const char *name)
{
	const Sluice__V1__Object *object = object_set_find(check->next, NETWORK, name);
	size_t count = object_set_count(check->next, NETWORK);

	if (!object || !object_set_share(check->near, check->next, NETWORK, name))
		return;
	for (size_t i = 0; *object->network->vrf && i < count; i++) {
		const Sluice__V1__Network *other = object_set_at(check->next, NETWORK, i)->network;

		if (strcmp(other->vrf, object->network->vrf) == 0)
			object_set_share(check->near, check->next, NETWORK, other->name);
	}
}

static void add_near(struct change_check *check, const struct object_set *set, size_t place)
{
	const Sluice__V1__Port *port;

	if (place >= object_set_count(set, PORT))
		return;
	port = object_set_at(set, PORT, place)->port;
	object_set_share(check->near, check->next, NODE, port->node);
	add_near_networks(check, port->network);
}

static const Sluice__V1__Port *vlan_parent(const struct change_check *check,
					   const Sluice__V1__Port *port)
{
	const Sluice__V1__Object *parent = NULL;

	if (port->device && port->device->device_case == SLUICE__V1__DEVICE__DEVICE_VLAN)
		parent = object_set_find(check->next, PORT, port->device->vlan->port);
	return parent ? parent->port : NULL;
}

// With the networks outside on which it is known.
static void share_network(struct change_check *check, const Sluice__V1__Network *network)
{
	object_set_share(check->part, check->next, NETWORK, network->name);
	object_set_share(check->part, check->next, VRF, network->vrf);
	for (size_t s = 0; s < network->n_subnets; s++)
		for (size_t i = 0; i < network->subnets[s]->n_external; i++)
			object_set_share(check->part, check->next, NETWORK,
					 network->subnets[s]->external[i]);
}

static void add_port(struct change_check *check, const Sluice__V1__Port *port)
{
	const Sluice__V1__Object *network;

	// A parent's parent is an error, and a circle of them ends here.
	for (; port && object_set_share(check->part, check->next, PORT, port->name);
	     port = vlan_parent(check, port)) {
		network = object_set_find(check->next, NETWORK, port->network);
		if (network)
			share_network(check, network->network);
		for (size_t i = 0; i < port->n_security_groups; i++)
			object_set_share(check->part, check->next, GROUP, port->security_groups[i]);
		object_set_share(check->part, check->next, POLICY, port->qos_policy);
	}
}

// Puts what is new or changed into the part, and what went aside. Returns whether there was
// anything.
static bool add_changes(struct change_check *check, Sluice__V1__Object__KindCase kind)
{
	size_t count =
		larger(object_set_count(check->current, kind), object_set_count(check->next, kind));
	bool any = false;

	for (size_t i = 0; i < count; i++) {
		const char *name;

		if (object_set_same(check->current, check->next, kind, i))
			continue;
		any = true;
		if (i < object_set_count(check->next, kind))
			object_set_share(check->part, check->next, kind,
					 object_name(object_set_at(check->next, kind, i)));
		if (i >= object_set_count(check->current, kind))
			continue;
		name = object_name(object_set_at(check->current, kind, i));
		if (!object_set_find(check->next, kind, name))
			object_set_share(check->gone, check->current, kind, name);
	}
	return any;
}

static void add_all(struct change_check *check, Sluice__V1__Object__KindCase kind)
{
	for (size_t i = 0; i < object_set_count(check->next, kind); i++)
		object_set_share(check->part, check->next, kind,
				 object_name(object_set_at(check->next, kind, i)));
}

// All networks have to differ in VNIs and subnets; those that changed have Ports that must agree.
static void add_networks(struct change_check *check)
{
	bool changed = add_changes(check, NETWORK);
	size_t count = object_set_count(check->part, NETWORK);

	for (size_t i = 0; i < count; i++)
		add_near_networks(check, object_name(object_set_at(check->part, NETWORK, i)));
	if (add_changes(check, VRF) || changed) {
		add_all(check, NETWORK);
		add_all(check, VRF);
	}
}

static bool names_gone(const struct change_check *check, Sluice__V1__Object__KindCase kind,
		       const char *name)
{
	return object_set_count(check->gone, kind) && object_set_find(check->gone, kind, name);
}

// Those that name a group that went.
static void add_groups(struct change_check *check)
{
	add_changes(check, GROUP);
	if (object_set_count(check->gone, GROUP) == 0)
		return;
	for (size_t i = 0; i < object_set_count(check->next, GROUP); i++) {
		const Sluice__V1__SecurityGroup *group =
			object_set_at(check->next, GROUP, i)->security_group;

		for (size_t j = 0; j < group->n_rules; j++)
			if (group->rules[j]->remote &&
			    group->rules[j]->remote->remote_case ==
				    SLUICE__V1__REMOTE__REMOTE_GROUP &&
			    names_gone(check, GROUP, group->rules[j]->remote->group))
				object_set_share(check->part, check->next, GROUP, group->name);
	}
}

// Groups that the rules of others name, and so on; and policies.
static void add_named_by_groups(struct change_check *check)
{
	for (size_t i = 0; i < object_set_count(check->part, GROUP); i++) {
		const Sluice__V1__SecurityGroup *group =
			object_set_at(check->part, GROUP, i)->security_group;

		object_set_share(check->part, check->next, POLICY, group->qos_policy);
		for (size_t j = 0; j < group->n_rules; j++) {
			const Sluice__V1__Rule *rule = group->rules[j];

			object_set_share(check->part, check->next, POLICY, rule->qos_policy);
			if (rule->remote &&
			    rule->remote->remote_case == SLUICE__V1__REMOTE__REMOTE_GROUP)
				object_set_share(check->part, check->next, GROUP,
						 rule->remote->group);
		}
	}
}

static bool port_is_near(const struct change_check *check, const Sluice__V1__Port *port)
{
	const Sluice__V1__Port *parent = vlan_parent(check, port);

	for (size_t i = 0; i < port->n_security_groups; i++)
		if (names_gone(check, GROUP, port->security_groups[i]))
			return true;
	return object_set_find(check->near, NODE, port->node) ||
	       object_set_find(check->near, NETWORK, port->network) ||
	       names_gone(check, NETWORK, port->network) ||
	       // Its network has to fit into that of the parent.
	       (parent && object_set_find(check->near, NETWORK, parent->network));
}

static void add_ports(struct change_check *check)
{
	size_t count =
		larger(object_set_count(check->current, PORT), object_set_count(check->next, PORT));

	for (size_t i = 0; i < count; i++) {
		if (object_set_same(check->current, check->next, PORT, i))
			continue;
		add_near(check, check->current, i);
		add_near(check, check->next, i);
		if (i < object_set_count(check->next, PORT))
			add_port(check, object_set_at(check->next, PORT, i)->port);
	}
	for (size_t i = 0; i < object_set_count(check->next, PORT); i++) {
		const Sluice__V1__Port *port = object_set_at(check->next, PORT, i)->port;

		if (port_is_near(check, port))
			add_port(check, port);
	}
	// All, because networks' MTU follows from them.
	add_all(check, NODE);
}

static bool route_names_port(const struct change_check *check, const Sluice__V1__Route *route)
{
	for (size_t i = 0; i < route->n_next_hops; i++) {
		const Sluice__V1__NextHop *hop = route->next_hops[i];

		if (hop->next_hop_case == SLUICE__V1__NEXT_HOP__NEXT_HOP_PORT &&
		    object_set_find(check->current, PORT, hop->port) !=
			    object_set_find(check->next, PORT, hop->port))
			return true;
	}
	return false;
}

// A Route has to agree with all other Routes, and with Vrfs, Networks and the Ports that it names.
static bool routes_are_far(const struct change_check *check)
{
	size_t count = object_set_count(check->next, ROUTE);

	if (count_changes(check, ROUTE))
		return false;
	if (count && (count_changes(check, NETWORK) || count_changes(check, VRF)))
		return false;
	for (size_t i = 0; i < count; i++)
		if (route_names_port(check, object_set_at(check->next, ROUTE, i)->route))
			return false;
	return true;
}

static bool balancer_names(const Sluice__V1__LoadBalancer *balancer, const char *port)
{
	for (size_t i = 0; i < balancer->n_members; i++)
		if (balancer->members[i]->member_case == SLUICE__V1__MEMBER__MEMBER_PORT &&
		    strcmp(balancer->members[i]->port, port) == 0)
			return true;
	return false;
}

// May the Port use the address, in whatever Vrf? As they are compared here, whatever does not parse
// is nobody's.
static bool port_may_have(const Sluice__V1__Port *port, const struct ip_address *address)
{
	struct ip_address own;
	struct ip_prefix allowed;

	for (size_t i = 0; i < port->n_addresses; i++)
		if (ip_parse(port->addresses[i], &own) && ip_equal(&own, address))
			return true;
	for (size_t i = 0; i < port->n_allowed_addresses; i++)
		if (prefix_parse(port->allowed_addresses[i], &allowed) &&
		    ip_equal(&allowed.address, address))
			return true;
	return false;
}

static bool balancer_concerns(const struct change_check *check,
			      const Sluice__V1__LoadBalancer *balancer, size_t place)
{
	const Sluice__V1__Port *current = NULL, *next = NULL;
	struct ip_address address;

	if (place < object_set_count(check->current, PORT))
		current = object_set_at(check->current, PORT, place)->port;
	if (place < object_set_count(check->next, PORT))
		next = object_set_at(check->next, PORT, place)->port;
	if ((current && balancer_names(balancer, current->name)) ||
	    (next && balancer_names(balancer, next->name)))
		return true;
	for (size_t i = 0; next && i < balancer->n_addresses; i++)
		if (ip_parse(balancer->addresses[i], &address) && port_may_have(next, &address))
			return true;
	return false;
}

// A LoadBalancer has to agree with all others, with Vrfs and Networks, with the Ports that it
// names, and with those that have its addresses.
static bool balancers_are_far(const struct change_check *check)
{
	size_t count = object_set_count(check->next, BALANCER);
	size_t ports =
		larger(object_set_count(check->current, PORT), object_set_count(check->next, PORT));

	if (count_changes(check, BALANCER))
		return false;
	if (count && (count_changes(check, NETWORK) || count_changes(check, VRF)))
		return false;
	// One outside may be a tunnel address.
	for (size_t i = 0; i < count; i++)
		if (*object_set_at(check->next, BALANCER, i)->load_balancer->network &&
		    count_changes(check, NODE))
			return false;
	for (size_t p = 0; count && p < ports; p++) {
		if (object_set_same(check->current, check->next, PORT, p))
			continue;
		for (size_t i = 0; i < count; i++)
			if (balancer_concerns(
				    check, object_set_at(check->next, BALANCER, i)->load_balancer,
				    p))
				return false;
	}
	return true;
}

static bool port_differs(const struct change_check *check, const char *name)
{
	return object_set_find(check->current, PORT, name) !=
	       object_set_find(check->next, PORT, name);
}

// What is translated has to agree with all else that has addresses outside, with Vrfs, Networks and
// Nodes, and with the Ports that it names.
static bool translations_are_far(const struct change_check *check)
{
	size_t nats = object_set_count(check->next, NAT);
	size_t floating = object_set_count(check->next, FLOATING);

	if (count_changes(check, NAT) || count_changes(check, FLOATING))
		return false;
	if ((nats || floating) && (count_changes(check, NETWORK) || count_changes(check, VRF) ||
				   count_changes(check, NODE)))
		return false;
	for (size_t i = 0; i < floating; i++)
		if (port_differs(check, object_set_at(check->next, FLOATING, i)->floating_ip->port))
			return false;
	for (size_t i = 0; i < nats; i++) {
		const Sluice__V1__Nat *nat = object_set_at(check->next, NAT, i)->nat;

		for (size_t j = 0; j < nat->n_forwards; j++)
			if (port_differs(check, nat->forwards[j]->to))
				return false;
	}
	return true;
}

bool change_is_sound(const struct object_set *current, const struct object_set *next)
{
	struct change_check check = {.current = current, .next = next};
	struct problems problems = {0};
	bool sound;

	// Ports, groups and rules may name a policy that went.
	if (!is_small(&check) || !routes_are_far(&check) || !balancers_are_far(&check) ||
	    !translations_are_far(&check) || count_changes(&check, POLICY))
		return false;
	check.near = object_set_new();
	check.gone = object_set_new();
	check.part = object_set_new();
	add_networks(&check);
	add_groups(&check);
	add_ports(&check);
	add_named_by_groups(&check);
	set_check(check.part, NULL, &problems);
	sound = problems.count == 0;
	problems_clear(&problems);
	object_set_free(check.near);
	object_set_free(check.gone);
	object_set_free(check.part);
	return sound;
}
