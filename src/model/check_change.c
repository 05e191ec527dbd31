// Validation of a small change: the part of the next set that is near it, held to the same rules.

#include "model/check_change.h"

#include <stdint.h>
#include <string.h>

#include "model/check.h"
#include "model/kind.h"
#include "model/object.h"

#define NODE	SLUICE__V1__OBJECT__KIND_NODE
#define VRF	SLUICE__V1__OBJECT__KIND_VRF
#define NETWORK SLUICE__V1__OBJECT__KIND_NETWORK
#define GROUP	SLUICE__V1__OBJECT__KIND_SECURITY_GROUP
#define PORT	SLUICE__V1__OBJECT__KIND_PORT

// With more the whole set is checked as quickly.
#define CHANGES_MAX 64

struct change_check {
	const struct object_set *current;
	const struct object_set *next;
	struct object_set *near; // nodes and networks whose Ports count
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

	for (size_t k = 0; (kind = kind_at(k)) != SLUICE__V1__OBJECT__KIND__NOT_SET; k++)
		if (count_changes(check, kind) > (kind == PORT || kind == GROUP ? CHANGES_MAX : 0))
			return false;
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

static void add_port(struct change_check *check, const Sluice__V1__Port *port)
{
	const Sluice__V1__Object *network = object_set_find(check->next, NETWORK, port->network);

	object_set_share(check->part, check->next, PORT, port->name);
	object_set_share(check->part, check->next, NETWORK, port->network);
	if (network)
		object_set_share(check->part, check->next, VRF, network->network->vrf);
	for (size_t i = 0; i < port->n_security_groups; i++)
		object_set_share(check->part, check->next, GROUP, port->security_groups[i]);
}

// Groups may only change: who names one that went is anywhere, and their number is limited.
static bool add_changed_groups(struct change_check *check)
{
	size_t count = object_set_count(check->next, GROUP);

	if (count != object_set_count(check->current, GROUP))
		return false;
	for (size_t i = 0; i < count; i++) {
		const char *name = object_name(object_set_at(check->next, GROUP, i));

		if (object_set_same(check->current, check->next, GROUP, i))
			continue;
		if (strcmp(name, object_name(object_set_at(check->current, GROUP, i))) != 0)
			return false;
		object_set_share(check->part, check->next, GROUP, name);
	}
	return true;
}

// Those that the rules of others name, and so on.
static void add_remote_groups(struct change_check *check)
{
	for (size_t i = 0; i < object_set_count(check->part, GROUP); i++) {
		const Sluice__V1__SecurityGroup *group =
			object_set_at(check->part, GROUP, i)->security_group;

		for (size_t j = 0; j < group->n_rules; j++)
			if (group->rules[j]->remote && group->rules[j]->remote->remote_case ==
							       SLUICE__V1__REMOTE__REMOTE_GROUP)
				object_set_share(check->part, check->next, GROUP,
						 group->rules[j]->remote->group);
	}
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

		if (object_set_find(check->near, NODE, port->node) ||
		    object_set_find(check->near, NETWORK, port->network))
			add_port(check, port);
	}
	// All, because networks' MTU follows from them.
	for (size_t i = 0; i < object_set_count(check->next, NODE); i++)
		object_set_share(check->part, check->next, NODE,
				 object_name(object_set_at(check->next, NODE, i)));
}

bool change_is_sound(const struct object_set *current, const struct object_set *next)
{
	struct change_check check = {.current = current, .next = next};
	struct problems problems = {0};
	bool sound = false;

	if (!is_small(&check))
		return false;
	check.near = object_set_new();
	check.part = object_set_new();
	if (add_changed_groups(&check)) {
		add_ports(&check);
		add_remote_groups(&check);
		set_check(check.part, NULL, &problems);
		sound = problems.count == 0;
		problems_clear(&problems);
	}
	object_set_free(check.near);
	object_set_free(check.part);
	return sound;
}
