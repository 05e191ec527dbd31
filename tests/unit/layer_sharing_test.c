// Tables that share what did not change with those before them are the same as tables that are
// compiled anew.

#include "test.h"

#include "layer/security_group/tables.h"
#include "layer/services/tables.h"
#include "layer_fixture.h"
#include "model/check.h"
#include "model/document.h"
#include "model/object.h"

enum {
	NODES = 3, // this one is n0
	NETWORKS = 6,
	GROUPS = 6,
	PORTS = 40,
	ROUNDS = 600
};

static void put(struct object_set *set, const char *yaml)
{
	struct document *document = document_new();

	document_parse(document, "yaml", yaml, strlen(yaml));
	if (document->error_count)
		fail_msg("%s: %s", document->errors[0].text, yaml);
	for (size_t i = 0; i < document->count; i++)
		object_set_put(set, object_copy(document->objects[i].object));
	document_free(document);
}

// Networks without an MTU of their own have less as soon as a tunnel address is IPv6.
static void put_node(struct object_set *set, struct random *random, unsigned int number)
{
	bool v6 = number == NODES - 1 && random_below(random, 2);
	unsigned int host = number * 50 + 1 + (number ? random_below(random, 4) : 0);
	char yaml[256];

	snprintf(yaml, sizeof(yaml),
		 "kind: Node\nname: n%u\nvtep: '%s%u/%u'\nuplink: {netdev: up0}\n", number,
		 v6 ? "2001:db8::" : "192.0.2.", host, v6 ? 64 : 24);
	put(set, yaml);
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
	put(set, yaml);
}

static void put_group(struct object_set *set, struct random *random, unsigned int number)
{
	char yaml[256];

	snprintf(yaml, sizeof(yaml),
		 "kind: SecurityGroup\nname: g%u\nrules:\n"
		 "- {direction: ingress, protocol: tcp, ports: '%u', remote: {group: g%u}}\n"
		 "- {direction: egress}\n",
		 number, 80 + random_below(random, 3), random_below(random, GROUPS));
	put(set, yaml);
}

static void put_port(struct object_set *set, struct random *random, unsigned int number)
{
	unsigned int network = random_below(random, NETWORKS);
	unsigned int node = random_below(random, NODES);
	char yaml[768], device[64], allowed[64] = "";

	snprintf(device, sizeof(device),
		 random_below(random, 6) ? "{tap: {name: t%u}}" : "{vlan: {port: p%u, id: 7}}",
		 random_below(random, 6) ? number : random_below(random, PORTS));
	if (random_below(random, 3) == 0)
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
	put(set, yaml);
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

#define SAME(a, b)	   assert_memory_equal(&(a), &(b), sizeof(a))
#define SAME_LIST(a, b, n) assert_true((n) == 0 || memcmp((a), (b), (n) * sizeof(*(a))) == 0)

static void compare_lookups(const struct lookup *a, const struct lookup *b)
{
	assert_int_equal(a->count, b->count);
	for (uint32_t i = 0; a->count && i <= a->mask; i++)
		if (a->entries[i].value)
			assert_int_equal(lookup_find(b, a->entries[i].key), a->entries[i].value);
}

static void compare_networks(const struct tables *a, const struct tables *b)
{
	assert_int_equal(a->network_count, b->network_count);
	for (uint32_t i = 0; i < a->network_count; i++) {
		const struct network *x = &a->networks[i], *y = &b->networks[i];

		assert_string_equal(x->name, y->name);
		assert_int_equal(x->number, y->number);
		assert_int_equal(x->domain, y->domain);
		assert_int_equal(x->mtu, y->mtu);
		assert_int_equal(x->vni, y->vni);
		SAME(x->gateway_mac, y->gateway_mac);
		assert_int_equal(x->local_count, y->local_count);
		SAME_LIST(x->local, y->local, x->local_count);
		assert_int_equal(x->remote_count, y->remote_count);
		SAME_LIST(x->remote, y->remote, x->remote_count);
		assert_int_equal(x->receivers_stamp, y->receivers_stamp);
	}
}

static void compare_endpoints(const struct tables *a, const struct tables *b)
{
	assert_int_equal(a->endpoint_count, b->endpoint_count);
	SAME_LIST(a->endpoints, b->endpoints, a->endpoint_count);
	for (uint32_t i = 1; i < a->endpoint_count; i++) {
		const struct endpoint_detail *x = &a->details[i], *y = &b->details[i];

		assert_string_equal(x->name, y->name);
		assert_int_equal(x->address_count, y->address_count);
		SAME_LIST(x->addresses, y->addresses, x->address_count);
		assert_int_equal(x->allowed_count, y->allowed_count);
		SAME_LIST(x->allowed, y->allowed, x->allowed_count);
		assert_int_equal(x->group_count, y->group_count);
		SAME_LIST(x->groups, y->groups, x->group_count);
		SAME(x->link_local, y->link_local);
	}
	assert_int_equal(a->port_count, b->port_count);
	SAME_LIST(a->ports, b->ports, a->port_count);
}

static void compare_peers(const struct tables *a, const struct tables *b)
{
	assert_int_equal(a->peer_count, b->peer_count);
	for (uint32_t i = 0; i < a->peer_count; i++) {
		assert_string_equal(a->peers[i].name, b->peers[i].name);
		SAME(a->peers[i].vtep, b->peers[i].vtep);
		assert_ptr_equal(a->peers[i].next_hop, b->peers[i].next_hop);
		SAME(a->peers[i].header, b->peers[i].header);
	}
}

static void compare_shared(const struct tables *a, const struct tables *b)
{
	assert_int_equal(a->shared_count, b->shared_count);
	for (uint32_t i = 0; i < a->shared_count; i++) {
		const struct shared_address *x = &a->shared[i], *y = &b->shared[i];

		SAME(x->address, y->address);
		assert_ptr_equal(x->owner, y->owner);
		assert_int_equal(x->candidate_count, y->candidate_count);
		SAME_LIST(x->candidates, y->candidates, x->candidate_count);
		assert_int_equal(x->node_count, y->node_count);
	}
}

static const struct security_group_tables *groups_of(const struct tables *tables)
{
	for (unsigned int i = 0; layers[i]; i++)
		if (strcmp(layers[i]->name, "security-group") == 0)
			return tables->layers[i];
	return NULL;
}

static void compare_groups(const struct tables *a, const struct tables *b)
{
	const struct security_group_tables *x = groups_of(a), *y = groups_of(b);

	assert_int_equal(x->policy_count, y->policy_count);
	assert_int_equal(x->port_count, y->port_count);
	SAME_LIST(x->policy_of_port, y->policy_of_port, x->port_count);
	for (uint32_t i = 0; i < x->policy_count; i++)
		for (int direction = 0; direction < 2; direction++) {
			uint32_t count = x->policies[i].count[direction];

			assert_int_equal(count, y->policies[i].count[direction]);
			SAME_LIST(x->policies[i].rules[direction], y->policies[i].rules[direction],
				  count);
		}
	compare_lookups(&x->members, &y->members);
	assert_int_equal(x->prefix_count, y->prefix_count);
	for (uint32_t i = 0; i < x->prefix_count; i++) {
		assert_int_equal(x->prefixes[i].group, y->prefixes[i].group);
		SAME(x->prefixes[i].prefix.address, y->prefixes[i].prefix.address);
	}
	assert_int_equal(x->name_count, y->name_count);
	SAME_LIST(x->names, y->names, x->name_count);
}

static void compare_services(const struct tables *a, const struct tables *b)
{
	for (uint32_t i = 0; i < a->network_count; i++) {
		const struct service_network *x = a->services->networks[i],
					     *y = b->services->networks[i];

		assert_int_equal(x == NULL, y == NULL);
		if (!x)
			continue;
		assert_string_equal(x->domain, y->domain);
		assert_int_equal(x->dhcpv6.mtu, y->dhcpv6.mtu);
		SAME(x->advertisement.mac, y->advertisement.mac);
		assert_int_equal(x->subnet_count, y->subnet_count);
		assert_int_equal(x->subnets[0].server, y->subnets[0].server);
		assert_int_equal(x->subnets[0].mtu, y->subnets[0].mtu);
	}
	assert_int_equal(a->services->endpoint_count, b->services->endpoint_count);
	for (uint32_t i = 0; i < a->services->endpoint_count; i++) {
		const struct service_endpoint *x = &a->services->endpoints[i],
					      *y = &b->services->endpoints[i];

		assert_int_equal(x->endpoint, y->endpoint);
		assert_string_equal(x->host_name, y->host_name);
		assert_int_equal(x->dhcp.address, y->dhcp.address);
		// Of the whole router advertisement.
		assert_int_equal(x->advertisement.hash, y->advertisement.hash);
		// The network's that these tables have, not of tables that are freed.
		assert_ptr_equal(
			x->advertisement.network,
			&a->services->networks[a->endpoints[x->endpoint].network]->advertisement);
	}
}

static void compare_tables(const struct tables *a, const struct tables *b)
{
	compare_networks(a, b);
	compare_endpoints(a, b);
	compare_peers(a, b);
	compare_shared(a, b);
	compare_groups(a, b);
	compare_services(a, b);
	compare_lookups(&a->by_mac, &b->by_mac);
	compare_lookups(&a->by_address, &b->by_address);
	compare_lookups(&a->by_gateway, &b->by_gateway);
	compare_lookups(&a->by_vni, &b->by_vni);
	compare_lookups(&a->by_vtep, &b->by_vtep);
	compare_lookups(&a->by_vlan, &b->by_vlan);
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

	put(set, "kind: Vrf\nname: v0\n---\nkind: Vrf\nname: v1\n");
	for (unsigned int i = 0; i < NODES; i++)
		put_node(set, random, i);
	for (unsigned int i = 0; i < GROUPS; i++)
		put_group(set, random, i);
	for (unsigned int i = 0; i < NETWORKS; i++)
		put_network(set, random, i);
	return set;
}

static void test_random_changes(void **state)
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
