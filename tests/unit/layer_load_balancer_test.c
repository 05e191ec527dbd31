// Which member a connection gets: the same on every node, and with little that moves; and who is
// known to be healthy, from one generation to the next.

#include "test.h"

#include <netinet/in.h>

#include "layer/load_balancer/health.h"
#include "layer/load_balancer/load_balancer.h"
#include "layer_fixture.h"

#define MEMBERS 10
#define KEYS	4000

static const char nodes[] = "kind: Node\nname: a\nvtep: 192.0.2.1/24\nuplink: {netdev: up0}\n"
			    "---\nkind: Node\nname: b\nvtep: 192.0.2.2/24\nuplink: {netdev: up0}\n";
static const char networks[] =
	"---\nkind: Vrf\nname: t1\n"
	"---\nkind: Network\nname: blue\nvni: 5001\nvrf: t1\nsubnets:\n"
	"- {cidr: 10.1.0.0/24, gateway: 10.1.0.1}\n- {cidr: 'fd00:1::/64', gateway: 'fd00:1::1'}\n";

struct text {
	char bytes[16384];
	size_t used;
};

static void __attribute__((format(printf, 2, 3))) add(struct text *text, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	text->used += (size_t)vsnprintf(text->bytes + text->used, sizeof(text->bytes) - text->used,
					format, args);
	va_end(args);
	assert_true(text->used < sizeof(text->bytes));
}

static void add_port(struct text *text, unsigned int i)
{
	add(text,
	    "---\nkind: Port\nname: p%u\nnode: %s\nnetwork: blue\nmac: '52:54:00:00:00:%02x'\n"
	    "addresses: [10.1.0.%u, 'fd00:1::%u']\ndevice: {tap: {name: p%u}}\n",
	    i, i % 2 ? "a" : "b", i + 1, i + 10, i + 10, i);
}

// `without`: the number of a member that is not one; `drains`: of one that drains. MEMBERS: none.
static void add_balancer(struct text *text, unsigned int without, unsigned int drains,
			 bool backwards)
{
	add(text, "---\nkind: LoadBalancer\nname: web\nvrf: t1\naddresses: [10.9.0.1, 'fd09::1']\n"
		  "healthCheck: {}\nports: [{port: 80}]\nmembers:\n");
	for (unsigned int i = 0; i < MEMBERS; i++) {
		unsigned int number = backwards ? MEMBERS - 1 - i : i;

		if (number != without)
			add(text, "- {port: p%u, weight: %u, drain: %s}\n", number, 1 + number % 2,
			    number == drains ? "true" : "false");
	}
}

static const char *make(struct text *text, unsigned int without, unsigned int drains)
{
	text->used = 0;
	add(text, "%s%s", nodes, networks);
	for (unsigned int i = 0; i < MEMBERS; i++)
		add_port(text, i);
	add_balancer(text, without, drains, false);
	return text->bytes;
}

// The same objects in another order.
static const char *make_backwards(struct text *text)
{
	text->used = 0;
	add(text, "%s", nodes);
	add_balancer(text, MEMBERS, MEMBERS, true);
	for (unsigned int i = MEMBERS; i-- > 0;)
		add_port(text, i);
	add(text, "%s", networks);
	return text->bytes;
}

static const struct balancer_member *choose(const struct layer_fixture *fixture, uint32_t i)
{
	bool v4 = i % 2;
	struct flow_key key = {
		.source = address(v4 ? "10.1.0.99" : "fd00:1::99"),
		.destination = address(v4 ? "10.9.0.1" : "fd09::1"),
		.source_port = htons((uint16_t)(1024 + i)),
		.destination_port = htons(80),
		.protocol = IPPROTO_TCP,
		.network = fixture_network(fixture->tables, "blue"),
	};
	const struct load_balancers *balancers = fixture->tables->load_balancers;
	const struct balancer_member *member;

	assert_int_equal(balancers->count, 1);
	member = balancer_choose(fixture->tables, &balancers->balancer[0], &key);
	assert_non_null(member);
	return member;
}

static void choose_all(const struct layer_fixture *fixture, uint8_t chosen[KEYS])
{
	for (uint32_t i = 0; i < KEYS; i++)
		chosen[i] = (uint8_t)(choose(fixture, i)->name[1] - '0');
}

static void test_nodes_choose_alike(void **state)
{
	struct layer_fixture a, b;
	struct text text;
	uint8_t at_a[KEYS], at_b[KEYS];

	fixture_open(&a, "a");
	fixture_open(&b, "b");
	fixture_apply(&a, make(&text, MEMBERS, MEMBERS));
	fixture_apply(&b, make_backwards(&text));
	choose_all(&a, at_a);
	choose_all(&b, at_b);
	assert_memory_equal(at_a, at_b, sizeof(at_a));
	fixture_close(&a);
	fixture_close(&b);
}

// Only its own share moves, and what table sizes cost beside that.
static void test_a_member_goes(void **state)
{
	struct layer_fixture fixture;
	struct text text;
	uint8_t before[KEYS], after[KEYS];
	unsigned int own = 0, others = 0;

	fixture_open(&fixture, "a");
	fixture_apply(&fixture, make(&text, MEMBERS, MEMBERS));
	choose_all(&fixture, before);
	fixture_apply(&fixture, make(&text, 4, MEMBERS));
	choose_all(&fixture, after);
	for (unsigned int i = 0; i < KEYS; i++) {
		assert_int_not_equal(after[i], 4);
		own += before[i] == 4;
		others += before[i] != 4 && before[i] != after[i];
	}
	// Its weight is 1 of 15.
	assert_in_range(own, KEYS / 15 * 2 / 3, KEYS / 15 * 3 / 2);
	assert_true(others < KEYS / 20);
	fixture_close(&fixture);
}

// Who drains or is unhealthy is passed over, and nothing of the others moves.
static void test_passed_over(void **state)
{
	struct layer_fixture fixture;
	struct text text;
	uint8_t before[KEYS], after[KEYS];

	fixture_open(&fixture, "a");
	fixture_apply(&fixture, make(&text, MEMBERS, MEMBERS));
	choose_all(&fixture, before);
	fixture_apply(&fixture, make(&text, MEMBERS, 7));
	choose_all(&fixture, after);
	for (unsigned int i = 0; i < KEYS; i++)
		assert_true(before[i] == 7 ? after[i] != 7 : after[i] == before[i]);
	fixture_apply(&fixture, make(&text, MEMBERS, MEMBERS));
	for (unsigned int family = 0; family < BALANCER_FAMILIES; family++)
		atomic_store(&fixture.tables->load_balancers->balancer[0]
				      .members[7]
				      .health[family]
				      ->down,
			     true);
	choose_all(&fixture, after);
	for (unsigned int i = 0; i < KEYS; i++)
		assert_true(before[i] == 7 ? after[i] != 7 : after[i] == before[i]);
	// What was found outlives the tables.
	fixture_apply(&fixture, make(&text, MEMBERS, MEMBERS));
	for (unsigned int i = 0; i < KEYS; i++)
		assert_int_not_equal(choose(&fixture, i)->name[1], '7');
	fixture_close(&fixture);
}

static struct lookup_key key_of(uint64_t number)
{
	return (struct lookup_key){{number, 0, 0}};
}

static void test_health_is_kept(void **state)
{
	struct member_healths healths;
	uint32_t one, two;

	assert_true(member_healths_open(&healths));
	member_healths_begin(&healths);
	one = member_healths_get(&healths, key_of(1));
	two = member_healths_get(&healths, key_of(2));
	assert_int_not_equal(one, two);
	member_healths_settle(&healths);
	atomic_store(&healths.entries[one].down, true);
	// What came to nothing leaves those that were there.
	member_healths_begin(&healths);
	assert_int_equal(member_healths_get(&healths, key_of(1)), one);
	assert_true(member_healths_get(&healths, key_of(3)));
	member_healths_abandon(&healths);
	assert_int_equal(healths.numbers.count, 2);
	// Who is met no more is forgotten, and is new when it comes again.
	member_healths_begin(&healths);
	assert_int_equal(member_healths_get(&healths, key_of(2)), two);
	member_healths_settle(&healths);
	assert_int_equal(healths.numbers.count, 1);
	member_healths_begin(&healths);
	assert_int_equal(member_healths_get(&healths, key_of(2)), two);
	one = member_healths_get(&healths, key_of(1));
	assert_false(member_is_down(&healths.entries[one]));
	member_healths_settle(&healths);
	member_healths_close(&healths);
}

static void test_health_has_an_end(void **state)
{
	struct member_healths healths;

	assert_true(member_healths_open(&healths));
	member_healths_begin(&healths);
	for (uint64_t i = 1; i <= MEMBER_HEALTHS_MAX; i++)
		assert_true(member_healths_get(&healths, key_of(i)));
	assert_false(member_healths_get(&healths, key_of(MEMBER_HEALTHS_MAX + 1)));
	member_healths_settle(&healths);
	member_healths_close(&healths);
}

// Whose members this node waits to be told of: as it has a Port in their Vrf, or in one from where
// a Route leads to them, or brings connections from outside.
static uint32_t awaited(const char *node, const char *more)
{
	struct layer_fixture fixture;
	struct text text = {.used = 0};
	const struct load_balancers *balancers;
	uint32_t count = 0;

	add(&text, "%s---\nkind: Node\nname: c\nvtep: 192.0.2.3/24\nuplink: {netdev: up0}\n%s",
	    nodes, networks);
	add(&text,
	    "---\nkind: Network\nname: internet\nexternal:\n  addresses:\n"
	    "  - {node: a, address: 10.9.0.11}\n%s"
	    "subnets: [{cidr: 10.9.0.0/24}, {cidr: 'fd09::/64'}]\n",
	    strcmp(more, "outside") == 0 ? "  - {node: c, address: 10.9.0.13}\n" : "");
	for (unsigned int i = 0; i < MEMBERS; i++)
		add_port(&text, i);
	add_balancer(&text, MEMBERS, MEMBERS, false);
	add(&text, "network: internet\n%s", strcmp(more, "outside") == 0 ? "" : more);
	fixture_open(&fixture, node);
	fixture_apply(&fixture, text.bytes);
	balancers = fixture.tables->load_balancers;
	assert_int_equal(balancers->probe_count, 2 * MEMBERS);
	for (uint32_t i = 0; i < balancers->probe_count; i++)
		count += balancers->probes[i].awaited;
	fixture_close(&fixture);
	return count;
}

static void test_who_is_told(void **state)
{
	static const char port[] =
		"---\nkind: Vrf\nname: t2\n"
		"---\nkind: Network\nname: red\nvni: 5002\nvrf: t2\nsubnets: [{cidr: "
		"10.2.0.0/24}]\n"
		"---\nkind: Port\nname: q\nnode: c\nnetwork: red\nmac: '52:54:00:00:01:01'\n"
		"addresses: [10.2.0.10]\ndevice: {tap: {name: q}}\n";
	static const char route[] = "---\nkind: Route\nname: there\nvrf: t2\n"
				    "destinations: [10.9.0.0/16]\nnextHops: [{vrf: t1}]\n";
	char both[sizeof(port) + sizeof(route)];

	snprintf(both, sizeof(both), "%s%s", port, route);
	// Half of them are its own.
	assert_int_equal(awaited("a", ""), MEMBERS);
	assert_int_equal(awaited("b", ""), MEMBERS);
	assert_int_equal(awaited("c", ""), 0);
	assert_int_equal(awaited("c", port), 0);
	assert_int_equal(awaited("c", both), 2 * MEMBERS);
	assert_int_equal(awaited("c", "outside"), 2 * MEMBERS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nodes_choose_alike), cmocka_unit_test(test_a_member_goes),
		cmocka_unit_test(test_passed_over),	   cmocka_unit_test(test_health_is_kept),
		cmocka_unit_test(test_health_has_an_end),  cmocka_unit_test(test_who_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
