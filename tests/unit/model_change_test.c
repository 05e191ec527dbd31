// A small change is held against what is near it. Whatever it calls sound, the whole set has to be.

#include "model_fixture.h"

#include "model/check.h"
#include "model/check_change.h"

enum {
	NODES = 4,
	NETWORKS = 6, // of three Vrfs, and one without
	PORTS = 30,
	GROUPS = 8,
	ROUNDS = 4000
};

static uint32_t random_state = 1;

static uint32_t below(uint32_t limit)
{
	random_state = random_state * 1664525 + 1013904223;
	return (random_state >> 8) % limit;
}

// `host` and `device` often are somebody else's already; a VLAN's parent may be anything.
static void put_port(struct object_set *set, unsigned int number, unsigned int host,
		     unsigned int node, unsigned int network, unsigned int device)
{
	char yaml[1024], what[64];

	if (device < PORTS)
		snprintf(what, sizeof(what), "{tap: {name: t%u}}", device);
	else
		snprintf(what, sizeof(what), "{vlan: {port: p%u, id: %u}}", device - PORTS,
			 device % 3 + 1);
	snprintf(yaml, sizeof(yaml),
		 "kind: Port\nname: p%u\nnode: n%u\nnetwork: w%u\nmac: '52:54:00:00:00:%02x'\n"
		 "addresses: [10.%u.0.%u]\nsecurityGroups: [g%u]\ndevice: %s\n",
		 number, node, network, host, network, host + 10, below(GROUPS), what);
	set_put(set, yaml);
}

static void put_group(struct object_set *set, unsigned int number, unsigned int remote)
{
	char yaml[256];

	snprintf(yaml, sizeof(yaml),
		 "kind: SecurityGroup\nname: g%u\nrules:\n"
		 "- {direction: ingress, remote: {group: g%u}}\n- {direction: egress}\n",
		 number, remote);
	set_put(set, yaml);
}

// MTUs differ, which VLANs must fit in. `vrf` 3 is none, and from 4 on one that is not there.
static void put_network(struct object_set *set, unsigned int number, unsigned int vrf,
			unsigned int mtu, unsigned int vni, unsigned int subnet)
{
	char yaml[256], name[16] = "''";

	if (vrf != 3)
		snprintf(name, sizeof(name), "v%u", vrf);
	snprintf(yaml, sizeof(yaml),
		 "kind: Network\nname: w%u\nvrf: %s\nmtu: %u\nvni: %u\n"
		 "subnets: [{cidr: 10.%u.0.0/16}]\n",
		 number, name, mtu, vni + 1, subnet);
	set_put(set, yaml);
}

static struct object_set *first_set(void)
{
	struct object_set *set = object_set_new();
	char yaml[512];

	for (unsigned int i = 0; i < 3; i++) {
		snprintf(yaml, sizeof(yaml), "kind: Vrf\nname: v%u\n", i);
		set_put(set, yaml);
	}
	for (unsigned int i = 0; i < NODES; i++) {
		snprintf(yaml, sizeof(yaml),
			 "kind: Node\nname: n%u\nvtep: 192.0.2.%u/24\nuplink: {netdev: up0}\n", i,
			 i + 1);
		set_put(set, yaml);
	}
	for (unsigned int i = 0; i < NETWORKS; i++)
		put_network(set, i, i == 5 ? 3 : i % 3, 1400 + i, i, i);
	for (unsigned int i = 0; i < GROUPS; i++)
		put_group(set, i, (i + 1) % GROUPS);
	for (unsigned int i = 0; i < PORTS; i++)
		put_port(set, i, i, i % NODES, i % NETWORKS, i);
	return set;
}

static void change(struct object_set *set)
{
	unsigned int number;
	char name[32];

	switch (below(16)) {
	case 0:
		put_group(set, below(GROUPS), below(GROUPS + 1));
		break;
	case 1:
		snprintf(name, sizeof(name), "p%u", below(PORTS));
		object_set_remove(set, SLUICE__V1__OBJECT__KIND_PORT, name);
		break;
	case 2:
		snprintf(name, sizeof(name), "g%u", below(GROUPS));
		object_set_remove(set, SLUICE__V1__OBJECT__KIND_SECURITY_GROUP, name);
		break;
	case 3:
		put_group(set, GROUPS + below(2), below(GROUPS + 2));
		break;
	case 4:
		snprintf(name, sizeof(name), "g%u", GROUPS + below(2));
		object_set_remove(set, SLUICE__V1__OBJECT__KIND_SECURITY_GROUP, name);
		break;
	case 5:
	case 6:
		// Mostly as it was, but for one thing.
		number = below(NETWORKS + 1);
		put_network(set, number, below(3) ? number % 3 : below(5),
			    below(3) ? 1400 + number : 1400 + below(NETWORKS),
			    below(4) ? number : below(NETWORKS),
			    below(3) ? number : below(NETWORKS));
		break;
	case 7:
		snprintf(name, sizeof(name), "w%u", below(NETWORKS + 1));
		object_set_remove(set, SLUICE__V1__OBJECT__KIND_NETWORK, name);
		break;
	case 8:
		snprintf(name, sizeof(name), "kind: Vrf\nname: v%u\n", below(5));
		set_put(set, name);
		break;
	case 9:
		snprintf(name, sizeof(name), "v%u", below(5));
		object_set_remove(set, SLUICE__V1__OBJECT__KIND_VRF, name);
		break;
	default:
		put_port(set, below(PORTS), below(PORTS + 20), below(NODES), below(NETWORKS),
			 below(2 * PORTS));
	}
}

static bool is_sound(const struct object_set *set)
{
	struct problems problems = {0};
	bool sound;

	set_check(set, NULL, &problems);
	sound = problems.count == 0;
	problems_clear(&problems);
	return sound;
}

static void test_random_changes(void **state)
{
	struct object_set *current = first_set();
	uint32_t said = 0, sound = 0;

	assert_true(is_sound(current));
	for (unsigned int round = 0; round < ROUNDS; round++) {
		struct object_set *next = object_set_copy(current);
		bool whole, part;

		for (uint32_t i = 1 + below(3); i; i--)
			change(next);
		whole = is_sound(next);
		part = change_is_sound(current, next);
		if (part)
			assert_true(whole);
		sound += whole;
		said += part;
		object_set_free(whole ? current : next);
		current = whole ? next : current;
	}
	object_set_free(current);
	// Both happen often, and only a circle of VLANs or the like makes it ask for the whole set.
	assert_in_range(sound, ROUNDS / 20, ROUNDS * 19 / 20);
	assert_int_equal(said, sound);
}

static void test_other_kinds(void **state)
{
	struct object_set *current = first_set(), *next = object_set_copy(current);

	assert_true(change_is_sound(current, next));
	set_put(next, "kind: Node\nname: n9\n");
	assert_false(change_is_sound(current, next));
	object_set_free(current);
	object_set_free(next);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_changes),
		cmocka_unit_test(test_other_kinds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
