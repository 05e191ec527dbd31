// The gateway's ICMP errors and resets: about what there is one, which, and every byte of it.

#include "test.h"

#include <netinet/in.h>

#include "layer/gateway/error.h"
#include "layer_fixture.h"
#include "packet/header.h"

#define MAC_A1 "52:54:00:00:00:01"

static struct layer_fixture fixture;
static const struct network *blue;

static int set_up(void **state)
{
	fixture_open(&fixture, "a");
	fixture_apply(&fixture, fixture_yaml);
	blue = &fixture.tables->networks[fixture_network(fixture.tables, "blue")];
	return 0;
}

static int tear_down(void **state)
{
	fixture_close(&fixture);
	return 0;
}

struct due_case {
	const char *source, *destination, *mac;
	uint8_t protocol;
	uint8_t type; // of ICMP
	int fragment; // its offset; -1: none
	bool due;
};

#define V4   "10.1.0.11", "10.9.0.1", GATEWAY_BLUE
#define V6   "fd00:1::11", "fd00:9::1", GATEWAY_BLUE
#define UDP  IPPROTO_UDP, 0
#define TO_A "10.1.0.11"

static const struct due_case due_cases[] = {
	{V4, UDP, -1, true},
	{V6, UDP, -1, true},
	{V4, 47, 0, -1, true},
	{V6, IPPROTO_TCP, 0, -1, true},
	// Fragments: the first one only.
	{V4, UDP, 0, true},
	{V6, UDP, 0, true},
	{V4, UDP, 64, false},
	{V6, UDP, 64, false},
	// ICMP: queries, not errors, in a first fragment neither.
	{V4, IPPROTO_ICMP, 8, -1, true},
	{V4, IPPROTO_ICMP, 0, -1, true},
	{V4, IPPROTO_ICMP, 13, -1, true},
	{V4, IPPROTO_ICMP, 5, -1, false},
	{V4, IPPROTO_ICMP, 8, 0, true},
	{V4, IPPROTO_ICMP, 3, 0, false},
	{V4, IPPROTO_ICMP, 11, 0, false},
	{V6, IPPROTO_ICMPV6, 128, -1, true},
	{V6, IPPROTO_ICMPV6, 129, -1, true},
	{V6, IPPROTO_ICMPV6, 100, -1, false},
	{V6, IPPROTO_ICMPV6, 127, -1, false},
	{V6, IPPROTO_ICMPV6, 137, 0, false},
	{V6, IPPROTO_ICMPV6, 1, 0, false},
	{V6, IPPROTO_ICMPV6, 128, 0, true},
	// To several.
	{"10.1.0.11", "10.1.0.255", GATEWAY_BLUE, UDP, -1, false},
	{"10.1.0.11", "10.2.0.255", GATEWAY_BLUE, UDP, -1, false},
	{"10.1.0.11", "10.2.0.254", GATEWAY_BLUE, UDP, -1, true},
	{"10.1.0.11", "224.0.0.1", GATEWAY_BLUE, UDP, -1, false},
	{"10.1.0.11", "255.255.255.255", GATEWAY_BLUE, UDP, -1, false},
	{"10.1.0.11", "10.9.0.1", "ff:ff:ff:ff:ff:ff", UDP, -1, false},
	{"fd00:1::11", "ff02::1", GATEWAY_BLUE, UDP, -1, false},
	{"fd00:1::11", "fd00:9::1", "33:33:00:00:00:01", UDP, -1, false},
	// From nobody, or from several.
	{"0.0.0.0", "10.9.0.1", GATEWAY_BLUE, UDP, -1, false},
	{"0.1.2.3", "10.9.0.1", GATEWAY_BLUE, UDP, -1, false},
	{"127.0.0.1", "10.9.0.1", GATEWAY_BLUE, UDP, -1, false},
	{"224.0.0.1", "10.9.0.1", GATEWAY_BLUE, UDP, -1, false},
	{"255.255.255.255", "10.9.0.1", GATEWAY_BLUE, UDP, -1, false},
	{"240.0.0.1", "10.9.0.1", GATEWAY_BLUE, UDP, -1, false},
	{"10.1.0.255", "10.9.0.1", GATEWAY_BLUE, UDP, -1, false},
	{"::", "fd00:9::1", GATEWAY_BLUE, UDP, -1, false},
	{"::1", "fd00:9::1", GATEWAY_BLUE, UDP, -1, false},
	{"ff02::1", "fd00:9::1", GATEWAY_BLUE, UDP, -1, false},
};

static void make(struct frame *frame, const struct due_case *c, uint32_t payload)
{
	frame_ethernet(frame, c->mac, MAC_A1, 0);
	frame_ip(frame, c->source, c->destination, 3, 0);
	if (c->fragment >= 0)
		frame_fragment(frame, (uint32_t)c->fragment, true);
	if (c->protocol == IPPROTO_UDP)
		frame_udp(frame, 5, 7);
	else if (c->protocol == IPPROTO_TCP)
		frame_tcp(frame, 5, 7, TCP_SYN);
	else if (c->protocol == IPPROTO_ICMP || c->protocol == IPPROTO_ICMPV6)
		frame_icmp(frame, c->type, 0, 0);
	else
		frame_protocol(frame, c->protocol);
	frame_payload(frame, payload);
	frame_finish(frame);
}

static void test_due(void **state)
{
	for (unsigned int i = 0; i < sizeof(due_cases) / sizeof(due_cases[0]); i++) {
		struct buffer buffer;
		struct packet packet;
		struct frame frame;

		make(&frame, &due_cases[i], 64);
		check_case(frame_parse(&frame, &packet) == DROP_NONE, "case %u\n", i);
		buffer_put(&buffer, frame.data, frame.size);
		check_case(gateway_error_due(fixture.tables, blue, &buffer.mbuf, &packet) ==
				   due_cases[i].due,
			   "case %u\n", i);
	}
}

struct choice_case {
	enum drop_reason reason;
	uint32_t mtu;
	uint8_t protocol;
	bool chosen;
	struct gateway_error v4, v6;
};

static const struct choice_case choice_cases[] = {
	{DROP_NO_ROUTE, 0, IPPROTO_UDP, true, {3, 0, 0}, {1, 0, 0}},
	{DROP_NAT64_ADDRESS, 0, IPPROTO_UDP, true, {3, 0, 0}, {1, 0, 0}},
	{DROP_NOT_ROUTED, 0, IPPROTO_UDP, true, {3, 0, 0}, {1, 0, 0}},
	{DROP_NO_HOST, 0, IPPROTO_TCP, true, {3, 1, 0}, {1, 3, 0}},
	{DROP_NEIGHBOUR_UNRESOLVED, 0, IPPROTO_TCP, true, {3, 1, 0}, {1, 3, 0}},
	{DROP_TTL, 0, IPPROTO_UDP, true, {11, 0, 0}, {3, 0, 0}},
	{DROP_TOO_BIG, 1300, IPPROTO_UDP, true, {3, 4, 1300}, {2, 0, 1300}},
	// IPv6 knows no less.
	{DROP_TOO_BIG, 1000, IPPROTO_UDP, true, {3, 4, 1000}, {2, 0, 1280}},
	// The frame is too big, the packet in it is not.
	{DROP_TOO_BIG, 1500, IPPROTO_UDP, false, {0}, {0}},
	{DROP_TOO_BIG, 0, IPPROTO_UDP, false, {0}, {0}},
	{DROP_GATEWAY, 0, IPPROTO_UDP, true, {3, 3, 0}, {1, 4, 0}},
	{DROP_GATEWAY, 0, 47, true, {3, 2, 0}, {4, 1, 6}},
	{DROP_GATEWAY, 0, IPPROTO_TCP, false, {0}, {0}},
	{DROP_SECURITY_GROUP_EGRESS, 0, IPPROTO_UDP, false, {0}, {0}},
	{DROP_SECURITY_GROUP_INGRESS, 0, IPPROTO_UDP, false, {0}, {0}},
	{DROP_UNKNOWN_MAC, 0, IPPROTO_UDP, false, {0}, {0}},
	{DROP_PORT_DOWN, 0, IPPROTO_UDP, false, {0}, {0}},
};

static void test_choose(void **state)
{
	for (unsigned int i = 0; i < 2 * sizeof(choice_cases) / sizeof(choice_cases[0]); i++) {
		const struct choice_case *c = &choice_cases[i / 2];
		struct due_case v4 = {V4, c->protocol, 0, -1, true}, v6 = {V6, c->protocol, 0, -1};
		const struct gateway_error *expected = i & 1 ? &c->v6 : &c->v4;
		struct gateway_error error;
		struct buffer buffer;
		struct packet packet;
		struct frame frame;

		make(&frame, i & 1 ? &v6 : &v4, 1400);
		assert_int_equal(frame_parse(&frame, &packet), DROP_NONE);
		buffer_put(&buffer, frame.data, frame.size);
		check_case(gateway_error_choose(&buffer.mbuf, &packet, c->reason, c->mtu, &error) ==
				   c->chosen,
			   "case %u\n", i / 2);
		if (!c->chosen)
			continue;
		check_case(error.type == expected->type && error.code == expected->code &&
				   error.rest == expected->rest,
			   "case %u: %u %u %u\n", i / 2, error.type, error.code, error.rest);
	}
}

// The pointer of "unrecognized next header" is at the last header of the chain.
static void test_choose_behind_extensions(void **state)
{
	struct gateway_error error;
	struct buffer buffer;
	struct packet packet;
	struct frame frame;

	frame_ethernet(&frame, GATEWAY_BLUE, MAC_A1, 0);
	frame_ip(&frame, "fd00:1::11", "fd00:1::1", 3, 0);
	frame_extension(&frame, IPPROTO_HOPOPTS, 16);
	frame_extension(&frame, IPPROTO_AH, 24);
	frame_extension(&frame, IPPROTO_DSTOPTS, 8);
	frame_protocol(&frame, 47);
	frame_payload(&frame, 20);
	frame_finish(&frame);
	assert_int_equal(frame_parse(&frame, &packet), DROP_NONE);
	buffer_put(&buffer, frame.data, frame.size);
	assert_true(gateway_error_choose(&buffer.mbuf, &packet, DROP_GATEWAY, 0, &error));
	assert_int_equal(error.rest, 40 + 16 + 24);
	// "No next header" is nothing that could be unknown.
	frame.data[14 + 40 + 16 + 24] = IPPROTO_NONE;
	frame_finish(&frame);
	assert_int_equal(frame_parse(&frame, &packet), DROP_NONE);
	buffer_put(&buffer, frame.data, frame.size);
	assert_false(gateway_error_choose(&buffer.mbuf, &packet, DROP_GATEWAY, 0, &error));
}

// In two segments, so that the quote has to be put together.
static void split(struct buffer *first, struct buffer *second, const struct frame *frame,
		  uint32_t size)
{
	if (frame->size <= size) {
		buffer_put(first, frame->data, frame->size);
		return;
	}
	buffer_put(first, frame->data, size);
	buffer_put(second, frame->data + size, frame->size - size);
	first->mbuf.next = &second->mbuf;
	first->mbuf.nb_segs = 2;
	first->mbuf.pkt_len = frame->size;
}

static void test_write(void **state)
{
	for (unsigned int i = 0; i < 2 * 1500; i += 1 + i / 40) {
		bool v6 = i & 1;
		struct due_case v4_case = {V4, UDP, -1, true}, v6_case = {V6, UDP, -1};
		struct gateway_error error = {v6 ? 2 : 3, v6 ? 0 : 4, 0x12345678};
		uint32_t header = v6 ? 40 : 20, limit = v6 ? 1280 : 576, size;
		struct buffer first, second, answer;
		struct packet packet, back;
		struct ip_address from;
		struct frame frame, got;

		make(&frame, v6 ? &v6_case : &v4_case, i / 2);
		frame.data[14 + (v6 ? 0 : 1)] |= v6 ? 0 : 0x2f;
		frame_finish(&frame);
		assert_int_equal(frame_parse(&frame, &packet), DROP_NONE);
		split(&first, &second, &frame, 300);
		buffer_put(&answer, "", 0);
		from = gateway_address(blue, &packet, DROP_TOO_BIG);
		assert_true(gateway_error_write(&answer.mbuf, &first.mbuf, &packet, blue, &from,
						error));
		size = packet.ip_length + header + 8;
		if (size > limit)
			size = limit;
		assert_int_equal(answer.mbuf.pkt_len, 14 + size);
		memset(&got, 0, sizeof(got));
		got.size = answer.mbuf.pkt_len;
		memcpy(got.data, rte_pktmbuf_mtod(&answer.mbuf, void *), got.size);
		// As a receiver takes it: about the packet, whose key it has in reverse.
		assert_int_equal(frame_parse(&got, &back), DROP_NONE);
		assert_int_equal(back.kind, PACKET_ICMP_ERROR);
		assert_true(ip_equal(&back.key.destination, &packet.source));
		assert_true(ip_equal(&back.key.source, &packet.destination));
		assert_true(back.key.destination_port == packet.key.source_port);
		assert_true(frame_checksums_right(got.data, 14, 14 + header,
						  v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP));
		assert_true(ip_equal(&back.source, &from));
		assert_true(ip_equal(&back.destination, &packet.source));
		assert_true(mac_equal(&back.source_mac, &blue->gateway_mac));
		assert_true(mac_equal(&back.destination_mac, &packet.source_mac));
		assert_int_equal(back.ttl, 64);
		assert_int_equal(back.icmp_type, error.type);
		assert_int_equal(back.icmp_code, error.code);
		assert_memory_equal(got.data + 14 + header + 4, "\x12\x34\x56\x78", 4);
		assert_memory_equal(got.data + 14 + header + 8, frame.data + 14, size - header - 8);
		if (!v6)
			assert_int_equal(got.data[15], 0xcc);
	}
}

static void test_address(void **state)
{
	static const struct {
		const char *network, *source, *destination, *mac;
		enum drop_reason reason;
		const char *expected;
	} cases[] = {
		{"blue", "10.1.0.11", "10.9.0.1", GATEWAY_BLUE, DROP_NO_ROUTE, "10.1.0.1"},
		{"blue", "fd00:1::11", "fd00:9::1", GATEWAY_BLUE, DROP_NO_ROUTE, "fd00:1::1"},
		{"blue", "10.1.0.11", "10.2.0.1", GATEWAY_BLUE, DROP_GATEWAY, "10.2.0.1"},
		// No subnet of that family.
		{"lone", "fd00:1::11", "fd00:9::1", GATEWAY_LONE, DROP_NO_ROUTE,
		 "fe80::53:4cff:fe00:138b"},
	};

	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct network *network =
			&fixture.tables
				 ->networks[fixture_network(fixture.tables, cases[i].network)];
		struct due_case c = {cases[i].source, cases[i].destination, cases[i].mac, UDP, -1};
		struct ip_address expected = address(cases[i].expected), got;
		struct packet packet;
		struct frame frame;

		make(&frame, &c, 0);
		assert_int_equal(frame_parse(&frame, &packet), DROP_NONE);
		got = gateway_address(network, &packet, cases[i].reason);
		check_case(ip_equal(&got, &expected), "case %u\n", i);
	}
}

static void test_reset(void **state)
{
	for (unsigned int i = 0; i < 2 * 64; i++) {
		uint8_t flags = (uint8_t)(i / 2);
		bool v6 = i & 1;
		struct buffer buffer, answer;
		struct frame frame, got;
		struct packet packet, back;
		struct ip_address from;
		uint32_t sequence, expected = 0x01020304 + 5 + !!(flags & TCP_SYN) + (flags & 1);
		uint32_t l4 = v6 ? 54 : 34;
		uint8_t *tcp;

		frame_ethernet(&frame, GATEWAY_BLUE, MAC_A1, 0);
		frame_ip(&frame, v6 ? "fd00:1::11" : "10.1.0.11", v6 ? "fd00:1::1" : "10.1.0.1", 9,
			 0);
		frame_tcp(&frame, 1234, 22, flags);
		memcpy(frame.data + frame.l4 + 4, "\1\2\3\4\5\6\7\10", 8);
		frame_payload(&frame, 5);
		frame_finish(&frame);
		assert_int_equal(frame_parse(&frame, &packet), DROP_NONE);
		assert_true(gateway_reset_due(&packet, DROP_GATEWAY) == !(flags & TCP_RST));
		assert_false(gateway_reset_due(&packet, DROP_NO_ROUTE));
		if (flags & TCP_RST)
			continue;
		buffer_put(&buffer, frame.data, frame.size);
		buffer_put(&answer, "", 0);
		from = gateway_address(blue, &packet, DROP_GATEWAY);
		assert_true(gateway_reset_write(&answer.mbuf, &buffer.mbuf, &packet, blue, &from));
		memset(&got, 0, sizeof(got));
		got.size = answer.mbuf.pkt_len;
		assert_int_equal(got.size, l4 + 20);
		memcpy(got.data, rte_pktmbuf_mtod(&answer.mbuf, void *), got.size);
		assert_int_equal(frame_parse(&got, &back), DROP_NONE);
		assert_true(frame_checksums_right(got.data, 14, l4, IPPROTO_TCP));
		tcp = got.data + l4;
		if (flags & TCP_ACK) {
			assert_int_equal(back.tcp_flags, TCP_RST);
			assert_memory_equal(tcp + 4, "\5\6\7\10", 4);
		} else {
			assert_int_equal(back.tcp_flags, TCP_RST | TCP_ACK);
			memcpy(&sequence, tcp + 8, 4);
			assert_int_equal(ntohl(sequence), expected);
			assert_memory_equal(tcp + 4, "\0\0\0\0", 4);
		}
		assert_int_equal(ntohs(back.key.destination_port), 1234);
		assert_true(ip_equal(&back.source, &packet.destination));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_due),
		cmocka_unit_test(test_choose),
		cmocka_unit_test(test_choose_behind_extensions),
		cmocka_unit_test(test_write),
		cmocka_unit_test(test_address),
		cmocka_unit_test(test_reset),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
