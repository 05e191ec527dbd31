// Numbers stay the same from one compilation to the next as long as the object is there, and what
// is compiled for objects that come and go.

#include "test.h"

#include "layer_fixture.h"

enum {
	NODES = 6,
	NETWORKS = 8,
	PORTS = 40
};

struct wanted {
	bool networks[NETWORKS];
	bool ports[PORTS]; // port i is in network i % NETWORKS
};

static char *make_yaml(const struct wanted *wanted)
{
	static char yaml[65536];
	size_t size = 0;

#define ADD(...) size += (size_t)snprintf(yaml + size, sizeof(yaml) - size, __VA_ARGS__)
	ADD("kind: Vrf\nname: v\n");
	for (unsigned int i = 0; i < NODES; i++)
		ADD("---\nkind: Node\nname: n%u\nvtep: 192.0.2.%u/24\nuplink: {netdev: up0}\n", i,
		    i + 1);
	for (unsigned int i = 0; i < NETWORKS; i++)
		if (wanted->networks[i])
			ADD("---\nkind: Network\nname: net%u\nvni: %u\nvrf: %s\nsubnets:\n"
			    "- {cidr: 10.%u.0.0/16, gateway: 10.%u.0.1}\n",
			    i, 100 + i, i % 2 ? "v" : "''", i, i);
	for (unsigned int i = 0; i < PORTS; i++)
		if (wanted->ports[i] && wanted->networks[i % NETWORKS])
			ADD("---\nkind: Port\nname: port%u\nnode: n%u\nnetwork: net%u\n"
			    "mac: '52:54:00:00:00:%02x'\naddresses: [10.%u.0.%u]\n"
			    "device: {tap: {name: t%u}}\n",
			    i, i % 3, i % NETWORKS, i + 1, i % NETWORKS, i + 10, i);
#undef ADD
	assert_true(size < sizeof(yaml));
	return yaml;
}

static void check_tables(const struct tables *tables, const struct wanted *wanted)
{
	for (unsigned int i = 0; i < PORTS; i++) {
		bool there = wanted->ports[i] && wanted->networks[i % NETWORKS];
		const struct endpoint *endpoint;
		char name[16], text[32];
		struct ip_address ip;

		snprintf(name, sizeof(name), "port%u", i);
		endpoint = fixture_endpoint(tables, name);
		assert_int_equal(endpoint != NULL, there);
		if (!there)
			continue;
		snprintf(text, sizeof(text), "10.%u.0.%u", i % NETWORKS, i + 10);
		ip = address(text);
		assert_ptr_equal(tables_endpoint(tables, tables_find_mac(tables, endpoint->network,
									 &endpoint->mac)),
				 endpoint);
		assert_ptr_equal(
			tables_endpoint(
				tables,
				tables_find_address(
					tables, tables->networks[endpoint->network].domain, &ip)),
			endpoint);
		assert_int_equal(endpoint->vni, 100 + i % NETWORKS);
		assert_int_equal(endpoint->mtu, 1450);
		// This node is n0.
		if (i % 3 == 0) {
			assert_int_equal(endpoint->peer, 0);
			assert_ptr_equal(
				tables_endpoint(tables, tables->ports[endpoint->port].endpoint),
				endpoint);
		} else {
			assert_int_equal(endpoint->port, PORT_UPLINK);
			snprintf(name, sizeof(name), "n%u", i % 3);
			assert_string_equal(tables->peers[endpoint->peer].name, name);
		}
	}
}

static void test_numbers_stay(void **state)
{
	uint64_t seed = random_seed();
	struct random random = {seed};
	struct wanted wanted = {.networks = {false}};
	uint16_t networks[NETWORKS] = {0}, ports[PORTS] = {0}, peers[NODES] = {0};
	uint16_t domains[NETWORKS] = {0};
	struct layer_fixture fixture;

	fixture_open(&fixture, "n0");
	for (unsigned int round = 0; round < 200; round++) {
		for (unsigned int i = 0; i < NETWORKS; i++)
			if (random_below(&random, 4) == 0)
				wanted.networks[i] = !wanted.networks[i];
		for (unsigned int i = 0; i < PORTS; i++)
			if (random_below(&random, 4) == 0)
				wanted.ports[i] = !wanted.ports[i];
		fixture_apply(&fixture, make_yaml(&wanted));
		check_tables(fixture.tables, &wanted);
		for (unsigned int i = 0; i < NETWORKS; i++) {
			char name[16];
			uint16_t number;

			snprintf(name, sizeof(name), "net%u", i);
			number = fixture_network(fixture.tables, name);
			check_case(!number || !networks[i] || number == networks[i],
				   "seed %#lx, round %u, %s\n", seed, round, name);
			if (number && networks[i])
				assert_int_equal(fixture.tables->networks[number].domain,
						 domains[i]);
			networks[i] = number;
			domains[i] = number ? fixture.tables->networks[number].domain : 0;
		}
		for (unsigned int i = 0; i < PORTS; i += 3) {
			const struct endpoint *endpoint;
			char name[16];

			snprintf(name, sizeof(name), "port%u", i);
			endpoint = fixture_endpoint(fixture.tables, name);
			check_case(!endpoint || !ports[i] || endpoint->port == ports[i],
				   "seed %#lx, round %u, %s\n", seed, round, name);
			ports[i] = endpoint ? endpoint->port : 0;
		}
		for (unsigned int i = 0; i < NODES; i++) {
			char name[16];
			uint16_t number;

			snprintf(name, sizeof(name), "n%u", i);
			number = fixture_peer(fixture.tables, name);
			assert_true(number && (!peers[i] || number == peers[i]));
			peers[i] = number;
		}
		assert_int_equal(fixture.tables->generation, round + 1);
	}
	// No next hop was forgotten or made twice.
	assert_int_equal(fixture.neighbours.numbers.count, NODES - 1);
	fixture_close(&fixture);
}

// Networks of one Vrf share a domain, others don't, whatever they are called.
static void test_domains(void **state)
{
	struct layer_fixture fixture;
	const struct tables *tables;

	fixture_open(&fixture, "a");
	fixture_apply(&fixture, "kind: Vrf\nname: x\n---\nkind: Vrf\nname: y\n"
				"---\nkind: Network\nname: x\nvni: 1\n"
				"---\nkind: Network\nname: y\nvni: 2\nvrf: x\n"
				"---\nkind: Network\nname: z\nvni: 3\nvrf: x\n"
				"---\nkind: Network\nname: u\nvni: 4\nvrf: y\n");
	tables = fixture.tables;
#define DOMAIN(name) tables->networks[fixture_network(tables, name)].domain
	assert_int_equal(DOMAIN("y"), DOMAIN("z"));
	assert_int_not_equal(DOMAIN("x"), DOMAIN("y"));
	assert_int_not_equal(DOMAIN("u"), DOMAIN("y"));
	assert_int_not_equal(DOMAIN("u"), DOMAIN("x"));
	fixture_close(&fixture);
}

// A host prefix that one port alone names is delivered to it; never if an address says otherwise.
static void test_allowed_hosts(void **state)
{
	struct layer_fixture fixture;
	const struct tables *tables;
	struct ip_address one = address("10.1.0.100"), two = address("10.1.0.101"),
			  own = address("10.1.0.12");
	uint16_t domain;

	fixture_open(&fixture, "a");
	fixture_apply(
		&fixture,
		"kind: Node\nname: a\n---\nkind: Network\nname: n\nsubnets: [{cidr: 10.1.0.0/24}]\n"
		"---\nkind: Port\nname: p\nnode: a\nnetwork: n\nmac: '52:54:00:00:00:01'\n"
		"addresses: [10.1.0.11]\nallowedAddresses: [10.1.0.100/32, 10.1.0.101/32, "
		"10.1.0.12/32]\ndevice: {tap: {name: p}}\n"
		"---\nkind: Port\nname: q\nnode: a\nnetwork: n\nmac: '52:54:00:00:00:02'\n"
		"addresses: [10.1.0.12]\nallowedAddresses: [10.1.0.101/32]\n"
		"device: {tap: {name: q}}\n");
	tables = fixture.tables;
	domain = DOMAIN("n");
	assert_ptr_equal(tables_endpoint(tables, tables_find_address(tables, domain, &one)),
			 fixture_endpoint(tables, "p"));
	assert_int_equal(tables_find_address(tables, domain, &two), 0);
	assert_ptr_equal(tables_endpoint(tables, tables_find_address(tables, domain, &own)),
			 fixture_endpoint(tables, "q"));
	fixture_close(&fixture);
}

// The default leaves room for the larger outer header as soon as there is an IPv6 tunnel address.
// Every state has its field, and what is left out is as usual.
static void test_tracking(void **state)
{
	static const char *const names[FLOW_STATE_COUNT] = {
		"unreplied",	   "replied",	  "icmp",    "other",	 "synSent", "synReceived",
		"pickedUp",	   "established", "closing", "timeWait", "closed",  "sctpOpening",
		"sctpEstablished", "sctpShutdown"};
	struct layer_fixture fixture;
	const struct network *network;
	char yaml[512];

	fixture_open(&fixture, "a");
	fixture_apply(&fixture,
		      "kind: Network\nname: n\n---\nkind: Network\nname: m\n"
		      "connectionTracking: {midStreamPickup: true, windowCheck: false}\n");
	network = &fixture.tables->networks[fixture_network(fixture.tables, "n")];
	assert_true(network->window_check);
	assert_false(network->mid_stream_pickup);
	network = &fixture.tables->networks[fixture_network(fixture.tables, "m")];
	assert_false(network->window_check);
	assert_true(network->mid_stream_pickup);
	assert_null(fixture.tables->times.by_network);
	for (unsigned int s = 0; s < FLOW_STATE_COUNT; s++) {
		uint16_t n, m;

		snprintf(yaml, sizeof(yaml),
			 "kind: Network\nname: n\n---\nkind: Network\nname: m\n"
			 "connectionTracking: {idleTimes: {%s: 7}}\n",
			 names[s]);
		fixture_apply(&fixture, yaml);
		n = fixture_network(fixture.tables, "n");
		m = fixture_network(fixture.tables, "m");
		assert_true(fixture.tables->networks[m].window_check);
		assert_true(m < fixture.tables->times.count && n < fixture.tables->times.count);
		assert_null(fixture.tables->times.by_network[n]);
		for (unsigned int t = 0; t < FLOW_STATE_COUNT; t++)
			check_case(fixture.tables->times.by_network[m][t] ==
					   (s == t ? 7 : flow_state_timeout(t)),
				   "%s: %s\n", names[s], flow_state_name(t));
	}
	fixture_close(&fixture);
}

static void test_default_mtu(void **state)
{
	struct layer_fixture fixture;

	fixture_open(&fixture, "a");
	fixture_apply(&fixture, "kind: Network\nname: n\n---\nkind: Network\nname: m\nmtu: 9000\n");
	assert_int_equal(fixture.tables->networks[fixture_network(fixture.tables, "n")].mtu, 1450);
	assert_int_equal(fixture.tables->networks[fixture_network(fixture.tables, "m")].mtu, 9000);
	fixture_apply(&fixture, "kind: Network\nname: n\n---\nkind: Node\nname: b\n"
				"vtep: 2001:db8::1/64\nuplink: {netdev: up0}\n");
	assert_int_equal(fixture.tables->networks[fixture_network(fixture.tables, "n")].mtu, 1430);
	fixture_close(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers_stay),  cmocka_unit_test(test_domains),
		cmocka_unit_test(test_allowed_hosts), cmocka_unit_test(test_default_mtu),
		cmocka_unit_test(test_tracking),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
