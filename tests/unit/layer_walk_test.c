// Packets through the layers: verdict, reason, destination and action.

#include "test.h"

#include <netinet/in.h>

#include "layer_fixture.h"
#include "packet/header.h"

#define MAC(n) "52:54:00:00:00:" #n

struct packet_case {
	const char *from; // a Port, or NODE/NETWORK for what comes through the tunnel
	const char *source_mac, *destination_mac;
	const char *source, *destination;
	const char *what; // protocol, or tcp:PORT
	enum drop_reason reason;
	const char *to; // Port, "gateway"
	uint16_t flags;
	uint8_t ttl;
};

#define ROUTE  FLOW_ACTION_ROUTE
#define TUNNEL FLOW_ACTION_TUNNEL

static const struct packet_case cases[] = {
	// Port security.
	{"a1", MAC(01), MAC(08), "10.1.0.11", "10.1.0.18", "udp", 0, "a8"},
	{"a1", MAC(01), MAC(08), "fd00:1::11", "fd00:1::18", "udp", 0, "a8"},
	{"a1", MAC(02), MAC(08), "10.1.0.11", "10.1.0.18", "udp", DROP_SOURCE_MAC},
	{"a1", GATEWAY_BLUE, MAC(08), "10.1.0.11", "10.1.0.18", "udp", DROP_SOURCE_MAC},
	{"a1", MAC(01), MAC(08), "10.1.0.12", "10.1.0.18", "udp", DROP_SOURCE_ADDRESS},
	{"a1", MAC(01), MAC(08), "10.1.0.1", "10.1.0.18", "udp", DROP_SOURCE_ADDRESS},
	{"a1", MAC(01), MAC(08), "fd00:1::12", "fd00:1::18", "udp", DROP_SOURCE_ADDRESS},
	{"a1", MAC(01), MAC(08), "fe80::5054:ff:fe00:1", "fe80::5054:ff:fe00:8", "udp", 0, "a8"},
	{"a1", MAC(01), MAC(08), "fe80::5054:ff:fe00:2", "fe80::5054:ff:fe00:8", "udp",
	 DROP_SOURCE_ADDRESS},
	{"a1", MAC(01), MAC(08), "10.1.0.11", "10.1.0.11", "udp", DROP_MALFORMED},
	{"a1", MAC(01), MAC(08), "127.0.0.1", "10.1.0.18", "udp", DROP_MALFORMED},
	{"a1", MAC(01), MAC(08), "10.1.0.11", "127.0.0.1", "udp", DROP_MALFORMED},
	{"a1", MAC(01), MAC(08), "0.0.0.0", "10.1.0.18", "udp", DROP_MALFORMED},
	{"a1", MAC(01), MAC(08), "224.0.0.1", "10.1.0.18", "udp", DROP_MALFORMED},
	{"a1", MAC(01), MAC(08), "255.255.255.255", "10.1.0.18", "udp", DROP_MALFORMED},
	{"a1", MAC(01), MAC(08), "::", "fd00:1::18", "udp", DROP_MALFORMED},
	{"a1", MAC(01), MAC(08), "::1", "fd00:1::18", "udp", DROP_MALFORMED},
	{"a1", MAC(01), MAC(08), "fd00:1::11", "::1", "udp", DROP_MALFORMED},
	{"a1", MAC(01), MAC(08), "ff02::1", "fd00:1::18", "udp", DROP_MALFORMED},
	{"a8", MAC(08), MAC(01), "192.168.7.7", "10.1.0.11", "udp", 0, "a1"},
	{"a8", MAC(08), MAC(01), "192.169.7.7", "10.1.0.11", "udp", DROP_SOURCE_ADDRESS},
	{"a8", MAC(08), MAC(01), "10.1.0.100", "10.1.0.11", "udp", 0, "a1"},
	{"a1", MAC(01), MAC(08), "10.1.0.100", "10.1.0.18", "udp", DROP_SOURCE_ADDRESS},
	// Inside the network.
	{"a1", MAC(01), MAC(99), "10.1.0.11", "10.1.0.18", "udp", DROP_UNKNOWN_MAC},
	{"a1", MAC(01), MAC(03), "10.1.0.11", "10.2.0.13", "udp", DROP_UNKNOWN_MAC}, // red's
	{"a1", MAC(01), MAC(01), "10.1.0.11", "10.1.0.18", "udp", DROP_HAIRPIN},
	{"a1", MAC(01), "ff:ff:ff:ff:ff:ff", "10.1.0.11", "10.1.0.255", "udp", DROP_MULTICAST},
	{"a1", MAC(01), MAC(08), "10.1.0.11", "224.0.0.1", "udp", DROP_MULTICAST},
	{"a1", MAC(01), "33:33:00:00:00:01", "fd00:1::11", "ff02::1", "udp", DROP_MULTICAST},
	{"a1", MAC(01), "ff:ff:ff:ff:ff:ff", "0.0.0.0", "255.255.255.255", "udp",
	 DROP_SOURCE_ADDRESS},
	// Between networks.
	{"a1", MAC(01), GATEWAY_BLUE, "10.1.0.11", "10.2.0.13", "proto:47", 0, "a3", ROUTE},
	{"a1", MAC(01), GATEWAY_BLUE, "fd00:1::11", "fd00:2::13", "proto:47", 0, "a3", ROUTE},
	{"a1", MAC(01), GATEWAY_BLUE, "10.1.0.11", "10.4.0.16", "udp", 0, "a6", ROUTE},
	{"a1", MAC(01), GATEWAY_BLUE, "10.1.0.11", "10.2.0.13", "proto:47", DROP_TTL, NULL, 0, 1},
	{"a1", MAC(01), GATEWAY_BLUE, "10.1.0.11", "10.2.0.13", "proto:47", 0, "a3", ROUTE, 2},
	{"a1", MAC(01), MAC(08), "10.1.0.11", "10.1.0.18", "udp", 0, "a8", 0, 1},
	{"a1", MAC(01), GATEWAY_BLUE, "10.1.0.11", "10.2.0.99", "udp", DROP_NO_HOST},
	{"a1", MAC(01), GATEWAY_BLUE, "10.1.0.11", "10.3.0.14", "udp", DROP_NO_ROUTE},
	{"a1", MAC(01), GATEWAY_BLUE, "10.1.0.11", "8.8.8.8", "udp", DROP_NO_ROUTE},
	{"a1", MAC(01), GATEWAY_BLUE, "fe80::5054:ff:fe00:1", "fd00:2::13", "udp", DROP_NO_HOST},
	{"a1", MAC(01), GATEWAY_BLUE, "10.1.0.11", "10.1.0.18", "udp", 0, "a8", ROUTE},
	{"a1", MAC(01), GATEWAY_BLUE, "10.1.0.11", "10.1.0.100", "udp", 0, "a8", ROUTE},
	{"a4", MAC(04), GATEWAY_LONE, "10.3.0.14", "10.3.0.15", "udp", DROP_NOT_ROUTED},
	{"a4", MAC(04), GATEWAY_LONE, "10.3.0.14", "10.1.0.11", "udp", DROP_NOT_ROUTED},
	{"a4", MAC(04), MAC(05), "10.3.0.14", "10.3.0.15", "udp", 0, "a5"},
	{"a4", MAC(04), GATEWAY_BLUE, "10.3.0.14", "10.3.0.15", "udp", DROP_UNKNOWN_MAC},
	// Another tenant with the same addresses: reaches nobody of the first.
	{"a7", MAC(01), GATEWAY_BLUE, "10.1.0.11", "10.2.0.13", "udp", DROP_UNKNOWN_MAC},
	{"a7", MAC(01), "02:53:4c:00:13:8c", "10.1.0.11", "10.2.0.13", "udp", DROP_NO_ROUTE},
	{"a7", MAC(01), MAC(08), "10.1.0.11", "10.1.0.18", "udp", DROP_UNKNOWN_MAC},
	{"a7", MAC(01), "02:53:4c:00:13:8c", "10.1.0.11", "10.1.0.18", "udp", DROP_NO_HOST},
	// The gateway itself, also that of another network of the Vrf.
	{"a1", MAC(01), GATEWAY_BLUE, "10.1.0.11", "10.1.0.1", "icmp", 0, "gateway"},
	{"a1", MAC(01), GATEWAY_BLUE, "10.1.0.11", "10.2.0.1", "icmp", 0, "gateway"},
	{"a1", MAC(01), GATEWAY_BLUE, "fd00:1::11", "fd00:1::1", "icmp", 0, "gateway"},
	{"a1", MAC(01), GATEWAY_BLUE, "10.1.0.11", "10.3.0.1", "icmp", DROP_NO_ROUTE},
	{"a3", MAC(03), GATEWAY_RED, "10.2.0.13", "10.2.0.1", "icmp", DROP_SECURITY_GROUP_EGRESS},
	// Groups.
	{"a1", MAC(01), MAC(02), "10.1.0.11", "10.1.0.12", "tcp:80", 0, "a2"},
	{"a1", MAC(01), MAC(02), "10.1.0.11", "10.1.0.12", "tcp:81", 0, "a2"},
	{"a1", MAC(01), MAC(02), "10.1.0.11", "10.1.0.12", "tcp:79", DROP_SECURITY_GROUP_INGRESS},
	{"a1", MAC(01), MAC(02), "10.1.0.11", "10.1.0.12", "tcp:82", DROP_SECURITY_GROUP_INGRESS},
	{"a1", MAC(01), MAC(02), "10.1.0.11", "10.1.0.12", "udp:80", DROP_SECURITY_GROUP_INGRESS},
	{"a1", MAC(01), MAC(02), "fd00:1::11", "fd00:1::12", "tcp:80", 0, "a2"},
	{"a1", MAC(01), MAC(02), "10.1.0.11", "10.1.0.12", "icmp", DROP_SECURITY_GROUP_INGRESS},
	{"a2", MAC(02), MAC(01), "10.1.0.12", "10.1.0.11", "icmp", 0, "a1"},
	{"a3", MAC(03), GATEWAY_RED, "10.2.0.13", "10.1.0.12", "tcp:80",
	 DROP_SECURITY_GROUP_EGRESS},
	{"a2", MAC(02), GATEWAY_BLUE, "10.1.0.12", "10.2.0.13", "tcp:5432", 0, "a3", ROUTE},
	{"a2", MAC(02), GATEWAY_BLUE, "10.1.0.12", "10.2.0.13", "tcp:5433",
	 DROP_SECURITY_GROUP_INGRESS},
	{"a1", MAC(01), GATEWAY_BLUE, "10.1.0.11", "10.2.0.13", "tcp:5432",
	 DROP_SECURITY_GROUP_INGRESS},
	{"a1", MAC(01), GATEWAY_BLUE, "10.1.0.11", "10.2.0.13", "icmp", 0, "a3", ROUTE},
	{"a1", MAC(01), GATEWAY_BLUE, "10.1.0.11", "10.2.0.13", "timestamp",
	 DROP_SECURITY_GROUP_INGRESS},
	// To other nodes: the receiver's groups are judged there.
	{"a1", MAC(01), MAC(11), "10.1.0.11", "10.1.0.21", "udp", 0, "b1", TUNNEL},
	{"a1", MAC(01), GATEWAY_BLUE, "10.1.0.11", "10.2.0.22", "udp", 0, "b2", ROUTE | TUNNEL},
	{"a3", MAC(03), GATEWAY_RED, "10.2.0.13", "10.1.0.21", "udp", DROP_SECURITY_GROUP_EGRESS},
	{"a1", MAC(01), MAC(21), "10.1.0.11", "10.1.0.31", "udp", DROP_NO_UNDERLAY_ROUTE},
	{"a1", MAC(01), MAC(31), "10.1.0.11", "10.1.0.41", "udp", DROP_NO_UPLINK},
	{"a6", MAC(06), MAC(14), "10.4.0.16", "10.4.0.24", "udp", DROP_NO_UPLINK}, // no VNI
	// From other nodes.
	{"b/blue", MAC(11), MAC(01), "10.1.0.21", "10.1.0.11", "udp", 0, "a1"},
	{"b/blue", MAC(11), MAC(02), "10.1.0.21", "10.1.0.12", "icmp", 0, "a2"},
	{"b/blue", MAC(13), MAC(02), "10.1.0.23", "10.1.0.12", "icmp", DROP_SECURITY_GROUP_INGRESS},
	{"b/blue", GATEWAY_BLUE, MAC(02), "10.2.0.22", "10.1.0.12", "udp", 0, "a2"},
	{"b/blue", MAC(11), MAC(01), "fd00:1::21", "fd00:1::11", "udp", 0, "a1"},
	{"b/blue", MAC(11), MAC(01), "fe80::5054:ff:fe00:11", "fe80::5054:ff:fe00:1", "udp", 0,
	 "a1"},
	{"b/blue", MAC(13), MAC(01), "172.16.5.5", "10.1.0.11", "udp", 0, "a1"},
	{"b/blue", GATEWAY_BLUE, MAC(01), "172.16.5.5", "10.1.0.11", "udp", 0, "a1"},
	// It may speak for its own ports only, each with its own MAC address.
	{"b/blue", MAC(11), MAC(01), "172.16.5.5", "10.1.0.11", "udp", DROP_TUNNEL_SOURCE},
	{"b/blue", MAC(11), MAC(01), "10.1.0.23", "10.1.0.11", "udp", DROP_TUNNEL_SOURCE},
	{"b/blue", MAC(11), MAC(01), "10.1.0.12", "10.1.0.11", "udp", DROP_TUNNEL_SOURCE},
	{"b/blue", MAC(02), MAC(01), "10.1.0.12", "10.1.0.11", "udp", DROP_TUNNEL_SOURCE},
	{"b/blue", MAC(21), MAC(01), "10.1.0.31", "10.1.0.11", "udp", DROP_TUNNEL_SOURCE},
	{"b/blue", GATEWAY_BLUE, MAC(01), "10.1.0.31", "10.1.0.11", "udp", DROP_TUNNEL_SOURCE},
	{"b/blue", GATEWAY_BLUE, MAC(01), "10.3.0.14", "10.1.0.11", "udp", DROP_TUNNEL_SOURCE},
	{"b/blue", GATEWAY_BLUE, MAC(01), "10.1.0.1", "10.1.0.11", "udp", DROP_TUNNEL_SOURCE},
	{"b/blue", GATEWAY_BLUE, MAC(01), "192.168.1.1", "10.1.0.11", "udp", DROP_TUNNEL_SOURCE},
	{"b/green", MAC(11), MAC(01), "10.1.0.21", "10.1.0.11", "udp", DROP_TUNNEL_SOURCE},
	{"far/blue", MAC(11), MAC(01), "10.1.0.21", "10.1.0.11", "udp", DROP_TUNNEL_SOURCE},
	{"far/blue", MAC(11), MAC(01), "fe80::5054:ff:fe00:11", "fe80::5054:ff:fe00:1", "udp",
	 DROP_TUNNEL_SOURCE},
	{"far/blue", MAC(21), MAC(01), "10.1.0.31", "10.1.0.11", "udp", 0, "a1"},
	{"b/blue", MAC(11), MAC(01), "10.1.0.21", "10.1.0.21", "udp", DROP_MALFORMED},
	{"b/blue", MAC(11), MAC(01), "224.0.0.1", "10.1.0.11", "udp", DROP_MALFORMED},
	// And to ports of this node only.
	{"b/blue", MAC(11), MAC(13), "10.1.0.21", "10.1.0.23", "udp", DROP_TUNNEL_DESTINATION},
	{"b/blue", MAC(11), MAC(21), "10.1.0.21", "10.1.0.31", "udp", DROP_TUNNEL_DESTINATION},
	{"b/blue", MAC(11), GATEWAY_BLUE, "10.1.0.21", "10.2.0.13", "udp", DROP_TUNNEL_DESTINATION},
	{"b/blue", MAC(11), GATEWAY_BLUE, "10.1.0.21", "10.1.0.1", "icmp", DROP_TUNNEL_DESTINATION},
	{"b/blue", MAC(11), MAC(99), "10.1.0.21", "10.1.0.11", "udp", DROP_UNKNOWN_MAC},
	{"b/blue", MAC(11), "ff:ff:ff:ff:ff:ff", "10.1.0.21", "10.1.0.255", "udp", DROP_MULTICAST},
};

static void make_frame(struct frame *frame, const struct packet_case *c)
{
	const char *colon = strchr(c->what, ':');
	uint16_t number = colon ? (uint16_t)atoi(colon + 1) : 53;
	bool v4 = strchr(c->source, '.') != NULL;

	frame_ethernet(frame, c->destination_mac, c->source_mac, 0);
	frame_ip(frame, c->source, c->destination, c->ttl ? c->ttl : 64, 0);
	if (strncmp(c->what, "tcp", 3) == 0) {
		frame_tcp(frame, 1234, number, TCP_SYN);
	} else if (strncmp(c->what, "udp", 3) == 0) {
		frame_udp(frame, 1234, number);
	} else if (strcmp(c->what, "icmp") == 0) {
		frame_icmp(frame, v4 ? ICMP_ECHO_REQUEST : ICMP6_ECHO_REQUEST, 0, 0x00010001);
	} else if (strcmp(c->what, "timestamp") == 0) {
		frame_icmp(frame, 13, 0, 0x00010001);
	} else {
		frame_protocol(frame, (uint8_t)number);
	}
	frame_finish(frame);
}

static void test_verdicts(void **state)
{
	struct layer_fixture fixture;

	fixture_open(&fixture, "a");
	fixture_apply(&fixture, fixture_yaml);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct packet_case *c = &cases[i];
		const struct tables *tables = fixture.tables;
		const char *slash = strchr(c->from, '/');
		struct ingress ingress = {.port = PORT_UPLINK};
		const struct endpoint *source = fixture_endpoint(tables, c->from), *to;
		enum verdict verdict;
		struct packet packet;
		struct frame frame;
		uint16_t network;
		struct walk walk;

		if (slash) {
			char node[16];

			snprintf(node, sizeof(node), "%.*s", (int)(slash - c->from), c->from);
			ingress.peer = fixture_peer(tables, node);
			assert_int_not_equal(ingress.peer, 0);
			network = fixture_network(tables, slash + 1);
		} else {
			ingress.port = source->port;
			network = source->network;
		}
		make_frame(&frame, c);
		verdict = fixture_judge(&fixture, &frame, ingress, network, &packet, &walk);
		check_case((verdict == VERDICT_DROP ? walk.reason : DROP_NONE) == c->reason,
			   "case %zu, from %s, %s %s > %s: %s\n", i, c->from, c->what, c->source,
			   c->destination,
			   verdict == VERDICT_DROP ? drop_reason_name(walk.reason) : "allowed");
		if (verdict == VERDICT_DROP) {
			uint16_t account = ingress.port;

			// The receiver's policy is the receiver's account.
			if (c->reason == DROP_SECURITY_GROUP_INGRESS)
				account = walk.destination->port;
			assert_int_equal(walk.dropped_at, account);
			continue;
		}
		if (strcmp(c->to, "gateway") == 0) {
			assert_int_equal(verdict, VERDICT_ANSWER);
			continue;
		}
		to = fixture_endpoint(tables, c->to);
		assert_int_equal(verdict, VERDICT_NEXT);
		check_case(walk.destination == to && walk.action.flags == c->flags &&
				   walk.action.port == to->port &&
				   &tables->endpoints[walk.action.destination] == to,
			   "case %zu: to %s, port %u, flags %x\n", i,
			   tables_detail(tables, walk.destination)->name, walk.action.port,
			   walk.action.flags);
	}
	fixture_close(&fixture);
}

// Which rule let it in is kept: the opener's egress, the other side's ingress.
static void test_rules(void **state)
{
	static const struct packet_case c = {
		"a2", MAC(02), GATEWAY_BLUE, "10.1.0.12", "10.2.0.13", "tcp:5432", 0, "a3", ROUTE};
	struct layer_fixture fixture;
	struct packet packet;
	struct frame frame;
	struct walk walk;
	const struct endpoint *source;

	fixture_open(&fixture, "a");
	fixture_apply(&fixture, fixture_yaml);
	source = fixture_endpoint(fixture.tables, "a2");
	make_frame(&frame, &c);
	assert_int_equal(fixture_judge(&fixture, &frame, (struct ingress){.port = source->port},
				       source->network, &packet, &walk),
			 VERDICT_NEXT);
	assert_int_equal(walk.rules[0].group, numbers_find(&fixture.numbers.groups, "web"));
	assert_int_equal(walk.rules[0].rule, 3);
	assert_int_equal(walk.rules[1].group, numbers_find(&fixture.numbers.groups, "db"));
	assert_int_equal(walk.rules[1].rule, 0);
	fixture_close(&fixture);
}

// Replies are judged by the rules for the direction in which the connection was opened.
static void test_reply(void **state)
{
	struct layer_fixture fixture;
	const struct endpoint *source;
	struct packet packet;
	struct frame frame;
	struct walk walk;

	fixture_open(&fixture, "a");
	fixture_apply(&fixture, fixture_yaml);
	source = fixture_endpoint(fixture.tables, "a3");
	// From a3's database to a2: a3 has no egress rule.
	frame_ethernet(&frame, GATEWAY_RED, MAC(03), 0);
	frame_ip(&frame, "10.2.0.13", "10.1.0.12", 64, 0);
	frame_tcp(&frame, 5432, 1234, TCP_SYN | TCP_ACK);
	frame_finish(&frame);
	assert_int_equal(fixture_judge(&fixture, &frame, (struct ingress){.port = source->port},
				       source->network, &packet, &walk),
			 VERDICT_DROP);
	assert_int_equal(walk.reason, DROP_SECURITY_GROUP_EGRESS);
	struct walk again = {.tables = fixture.tables,
			     .packet = &packet,
			     .ingress = {.port = source->port},
			     .reply = true};

	assert_int_equal(walk_begin(&again), VERDICT_NEXT);
	assert_int_equal(walk_run(&again), VERDICT_NEXT);
	assert_int_not_equal(again.rules[0].group, 0);
	// As a reply from another port it would not be allowed.
	packet.key.source_port = htons(5433);
	struct walk other = {.tables = fixture.tables,
			     .packet = &packet,
			     .ingress = {.port = source->port},
			     .reply = true};

	assert_int_equal(walk_begin(&other), VERDICT_NEXT);
	assert_int_equal(walk_run(&other), VERDICT_DROP);
	assert_int_equal(other.reason, DROP_SECURITY_GROUP_INGRESS);
	fixture_close(&fixture);
}

// A port that is no more, a network that is no more.
static void test_begin(void **state)
{
	struct layer_fixture fixture;
	struct packet packet;
	struct frame frame;
	struct walk walk;

	fixture_open(&fixture, "a");
	fixture_apply(&fixture, fixture_yaml);
	make_frame(&frame, &cases[0]);
	assert_int_equal(
		fixture_judge(&fixture, &frame, (struct ingress){.port = 999}, 1, &packet, &walk),
		VERDICT_DROP);
	assert_int_equal(walk.reason, DROP_PORT_DOWN);
	assert_int_equal(
		fixture_judge(&fixture, &frame, (struct ingress){.port = 2}, 999, &packet, &walk),
		VERDICT_DROP);
	assert_int_equal(walk.reason, DROP_PORT_DOWN);
	assert_int_equal(
		fixture_judge(&fixture, &frame, (struct ingress){.port = 2}, 0, &packet, &walk),
		VERDICT_DROP);
	fixture_close(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_reply),
		cmocka_unit_test(test_begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
