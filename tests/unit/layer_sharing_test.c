// Tables that share what did not change with those before them are the same as tables that are
// compiled anew.

#include "test.h"

#include "layer/compare.h"
#include "layer_fixture.h"
#include "model/check.h"
#include "model_fixture.h"

enum {
	NODES = 3, // this one is n0
	NETWORKS = 6,
	GROUPS = 6,
	PORTS = 40,
	ROUNDS = 600
};

// Allowed addresses are in the map of addresses, too: with none, more is shared.
static bool with_allowed;

// Networks without an MTU of their own have less as soon as a tunnel address is IPv6.
static void put_node(struct object_set *set, struct random *random, unsigned int number)
{
	bool v6 = number == NODES - 1 && random_below(random, 2);
	unsigned int host = number * 50 + 1 + (number ? random_below(random, 4) : 0);
	char yaml[256];

	snprintf(yaml, sizeof(yaml),
		 "kind: Node\nname: n%u\nvtep: '%s%u/%u'\nuplink: {netdev: up0}\n", number,
		 v6 ? "2001:db8::" : "192.0.2.", host, v6 ? 64 : 24);
	set_put(set, yaml);
}

static void put_network(struct object_set *set, struct random *random, unsigned int number)
{
	char yaml[512];

	snprintf(yaml, sizeof(yaml),
		 "kind: Network\nname: w%u\nvni: %u\nvrf: %s\n%ssubnets:\n"
		 "- {cidr: 10.%u.0.0/16, gateway: 10.%u.0.%u}\n- {cidr: 'fd00:%u::/64'}\n"
		 "dhcp: {domain: d%u.example}\n",
		 number, number + 1 + 10 * random_below(random, 2),
		 random_below(random, 4) ? (number % 2 ? "v0" : "v1") : "''",
		 random_below(random, 2) ? "mtu: 1401\n" : "", number, number,
		 1 + random_below(random, 2), number, random_below(random, 3));
	set_put(set, yaml);
}

static void put_group(struct object_set *set, struct random *random, unsigned int number)
{
	char yaml[256];

	snprintf(yaml, sizeof(yaml),
		 "kind: SecurityGroup\nname: g%u\nrules:\n"
		 "- {direction: ingress, protocol: tcp, ports: '%u', remote: {group: g%u}}\n"
		 "- {direction: egress}\n",
		 number, 80 + random_below(random, 3), random_below(random, GROUPS));
	set_put(set, yaml);
}

static void put_port(struct object_set *set, struct random *random, unsigned int number)
{
	unsigned int network = random_below(random, NETWORKS);
	unsigned int node = random_below(random, NODES);
	char yaml[768], device[64], allowed[64] = "";

	snprintf(device, sizeof(device),
		 random_below(random, 6) ? "{tap: {name: t%u}}" : "{vlan: {port: p%u, id: 7}}",
		 random_below(random, 6) ? number : random_below(random, PORTS));
	if (with_allowed && random_below(random, 3) == 0)
		snprintf(allowed, sizeof(allowed), "10.9.0.%u/%u", random_below(random, 4),
			 random_below(random, 3) ? 32 : 30);
	if (strstr(allowed, "/30"))
		snprintf(allowed, sizeof(allowed), "10.9.0.0/30");
	snprintf(yaml, sizeof(yaml),
		 "kind: Port\nname: p%u\nnode: n%u\nnetwork: w%u\nmac: '52:54:00:00:00:%02x'\n"
		 "addresses: [10.%u.0.%u, 'fd00:%u::%x']\nallowedAddresses: [%s]\n"
		 "securityGroups: [g%u]\nhostName: h%u\ndevice: %s\n",
		 number, node, network, number + 16 * random_below(random, 2), network, number + 10,
		 network, number + 10, allowed, random_below(random, GROUPS),
		 random_below(random, 2), device);
	set_put(set, yaml);
}

static void change(struct object_set *set, struct random *random)
{
	char name[16];

	switch (random_below(random, 12)) {
	case 0:
		put_node(set, random, random_below(random, NODES));
		break;
	case 1:
		put_network(set, random, random_below(random, NETWORKS));
		break;
	case 2:
	case 3:
		put_group(set, random, random_below(random, GROUPS));
		break;
	case 4:
	case 5:
		snprintf(name, sizeof(name), "p%u", random_below(random, PORTS));
		object_set_remove(set, SLUICE__V1__OBJECT__KIND_PORT, name);
		break;
	case 6:
		snprintf(name, sizeof(name), "g%u", random_below(random, GROUPS));
		object_set_remove(set, SLUICE__V1__OBJECT__KIND_SECURITY_GROUP, name);
		break;
	default:
		put_port(set, random, random_below(random, PORTS));
	}
}

static void compare_tables(const struct tables *a, const struct tables *b)
{
	struct differences differences = {0};

	tables_compare(a, b, &differences);
	if (differences.count)
		fail_msg("%zu differences: %s", differences.count, differences.texts[0]);
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

static struct tables *compile(struct layer_fixture *fixture, const struct object_set *set,
			      const struct tables *previous, const struct object_set *before)
{
	static const struct mac_address uplink = {{0x02, 0, 0, 0, 0, 0xaa}};
	struct tables *tables;
	struct error err;

	if (tables_compile(set, fixture->node, &fixture->numbers, &fixture->neighbours, 1, 1,
			   previous, before, &tables, &err) < 0)
		fail_msg("%s", err.text);
	// Makes endpoints of other nodes smaller: nothing of that may come back.
	tables_set_uplink(tables, &uplink, 1460);
	return tables;
}

static struct object_set *first_set(struct random *random)
{
	struct object_set *set = object_set_new();

	set_put(set, "kind: Vrf\nname: v0\n---\nkind: Vrf\nname: v1\n");
	for (unsigned int i = 0; i < NODES; i++)
		put_node(set, random, i);
	for (unsigned int i = 0; i < GROUPS; i++)
		put_group(set, random, i);
	for (unsigned int i = 0; i < NETWORKS; i++)
		put_network(set, random, i);
	return set;
}

static void random_changes(void)
{
	uint64_t seed = random_seed();
	struct random random = {seed};
	struct layer_fixture fixture;
	struct object_set *set;
	struct tables *tables;
	uint32_t rounds = 0, shared = 0;

	print_message("seed %#lx\n", seed);
	fixture_open(&fixture, "n0");
	set = first_set(&random);
	assert_true(is_sound(set));
	tables = compile(&fixture, set, NULL, NULL);
	compile_numbers_settle(&fixture.numbers);
	for (uint32_t round = 0; round < ROUNDS; round++) {
		struct object_set *next = object_set_copy(set);
		struct tables *fresh, *made;

		for (uint32_t i = 1 + random_below(&random, 3); i; i--)
			change(next, &random);
		if (!is_sound(next)) {
			object_set_free(next);
			continue;
		}
		// A dry run first, of which nothing may be left.
		if (random_below(&random, 4) == 0) {
			tables_free(compile(&fixture, next, tables, set));
			compile_numbers_abandon(&fixture.numbers);
		}
		made = compile(&fixture, next, tables, set);
		fresh = compile(&fixture, next, NULL, NULL);
		compare_tables(made, fresh);
		for (uint32_t i = 1; i < made->endpoint_count; i++)
			shared += made->details[i].lists->references > 1;
		tables_free(fresh);
		tables_free(tables);
		object_set_free(set);
		compile_numbers_settle(&fixture.numbers);
		tables = made;
		set = next;
		rounds++;
	}
	tables_free(tables);
	object_set_free(set);
	fixture_close(&fixture);
	assert_true(rounds > ROUNDS / 4);
	assert_true(shared > 5 * rounds);
}

static void test_with_allowed_addresses(void **state)
{
	with_allowed = true;
	random_changes();
}

static void test_without_allowed_addresses(void **state)
{
	with_allowed = false;
	random_changes();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_with_allowed_addresses),
		cmocka_unit_test(test_without_allowed_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
