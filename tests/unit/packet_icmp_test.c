// ICMP and ICMPv6: questions and answers share a connection, errors find the one that they quote.

#include "test.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "frame.h"
#include "packet/header.h"

#define MAC_A "52:54:00:00:00:01"
#define MAC_B "52:54:00:00:00:02"

// A packet from a to b, or back.
static void start(struct frame *frame, bool v6, bool back)
{
	static const char *const hosts[2][2] = {{"10.1.0.11", "10.1.0.12"},
						{"fd00:1::11", "fd00:1::12"}};

	frame_ethernet(frame, back ? MAC_A : MAC_B, back ? MAC_B : MAC_A, 0);
	frame_ip(frame, hosts[v6][back], hosts[v6][!back], 64, 0);
}

static struct packet parse(struct frame *frame)
{
	struct packet packet;

	frame_finish(frame);
	assert_int_equal(frame_parse(frame, &packet), DROP_NONE);
	return packet;
}

static void test_queries(void **state)
{
	static const struct {
		bool v6;
		uint8_t request, reply;
	} queries[] = {
		{false, 8, 0}, {false, 13, 14}, {false, 15, 16}, {false, 17, 18}, {true, 128, 129}};

	for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++) {
		struct frame frame;
		struct packet there, back;
		struct flow_key reverse;

		start(&frame, queries[i].v6, false);
		frame_icmp(&frame, queries[i].request, 0, 0xabcd0001);
		there = parse(&frame);
		start(&frame, queries[i].v6, true);
		frame_icmp(&frame, queries[i].reply, 0, 0xabcd0001);
		back = parse(&frame);
		reverse = flow_key_reverse(&there.key, 0);
		assert_true(flow_key_equal(&reverse, &back.key));
		assert_int_equal(there.key.flags, 0);
		assert_int_equal(there.key.source_port, htons(0xabcd));
		assert_int_equal(there.key.destination_port, htons(queries[i].request << 8));
		assert_int_equal(there.icmp_type, queries[i].request);
		// Another identifier is another connection, another sequence number is not.
		start(&frame, queries[i].v6, true);
		frame_icmp(&frame, queries[i].reply, 0, 0xabcd0002);
		back = parse(&frame);
		assert_true(flow_key_equal(&reverse, &back.key));
		start(&frame, queries[i].v6, true);
		frame_icmp(&frame, queries[i].reply, 0, 0xabce0001);
		back = parse(&frame);
		assert_false(flow_key_equal(&reverse, &back.key));
	}
}

// Every type is a question, an answer, an error, neighbour discovery, or goes one way.
static void test_all_types(void **state)
{
	for (unsigned int v6 = 0; v6 < 2; v6++) {
		for (unsigned int type = 0; type < 256; type++) {
			bool error = v6 ? type >= 1 && type <= 4
					: type == 3 || type == 4 || type == 11 || type == 12;
			bool nd = v6 && type >= 133 && type <= 137;
			bool reply = v6 ? type == 129
					: type == 0 || type == 14 || type == 16 || type == 18;
			bool two_way = v6 ? type == 128 || type == 129
					  : type == 0 || type == 8 || (type >= 13 && type <= 18);
			struct frame frame;
			struct packet packet;
			enum drop_reason reason;

			start(&frame, v6, false);
			frame_icmp(&frame, (uint8_t)type, 5, 0x00010002);
			frame_finish(&frame);
			reason = frame_parse(&frame, &packet);
			if (error) {
				assert_int_equal(reason, DROP_MALFORMED); // nothing quoted
				continue;
			}
			assert_int_equal(reason, DROP_NONE);
			assert_int_equal(packet.kind, nd ? PACKET_ND : PACKET_IP);
			assert_int_equal(packet.icmp_type, type);
			assert_int_equal(packet.icmp_code, 5);
			assert_int_equal(packet.icmp_reply, reply);
			if (nd)
				continue;
			assert_int_equal(packet.key.flags, two_way ? 0 : FLOW_KEY_ONE_WAY);
			if (!two_way)
				assert_int_equal(packet.key.destination_port,
						 htons((uint16_t)(type << 8 | 5)));
		}
	}
}

static void quote_tcp(struct frame *frame)
{
	frame_tcp(frame, 1234, 80, TCP_ACK);
	frame_payload(frame, 40);
}

static void quote_udp(struct frame *frame)
{
	frame_udp(frame, 1234, 80);
}

static void quote_sctp(struct frame *frame)
{
	frame_sctp(frame, 1234, 80);
}

static void quote_echo(struct frame *frame)
{
	bool v6 = frame->data[frame->l3] >> 4 == 6;

	frame_icmp(frame, v6 ? ICMP6_ECHO_REQUEST : ICMP_ECHO_REQUEST, 0, 0x00070001);
}

static void quote_echo_reply(struct frame *frame)
{
	bool v6 = frame->data[frame->l3] >> 4 == 6;

	frame_icmp(frame, v6 ? ICMP6_ECHO_REPLY : ICMP_ECHO_REPLY, 0, 0x00070001);
}

static void quote_gre(struct frame *frame)
{
	frame_protocol(frame, IPPROTO_GRE);
	frame_payload(frame, 8);
}

static const struct {
	void (*append)(struct frame *frame);
	uint32_t needed; // bytes of the transport header without which the quote is no use
} quotes[] = {{quote_tcp, 8},  {quote_udp, 8},	      {quote_sctp, 8},
	      {quote_echo, 8}, {quote_echo_reply, 8}, {quote_gre, 0}};

// An error from b about what a sent: its key is that of b's packets to a, its addresses its own.
static void test_errors(void **state)
{
	static const uint8_t types[2][4] = {{3, 4, 11, 12}, {1, 2, 3, 4}};

	for (unsigned int i = 0; i < 4 * 2 * 6; i++) {
		bool v6 = i & 1;
		uint8_t type = types[v6][i / 2 % 4];
		struct frame quoted, frame;
		struct packet there, error;
		struct flow_key reverse;
		uint32_t header = v6 ? 40 : 20;

		start(&quoted, v6, false);
		quotes[i / 8].append(&quoted);
		there = parse(&quoted);
		reverse = flow_key_reverse(&there.key, 0);
		for (uint32_t size = 0; size <= quoted.size - quoted.l3; size++) {
			enum drop_reason reason;

			frame_ethernet(&frame, MAC_A, MAC_B, 0);
			frame_ip(&frame, v6 ? "fd00:9::1" : "10.9.0.1",
				 v6 ? "fd00:1::11" : "10.1.0.11", 60, 0);
			frame_icmp(&frame, type, 1, 0);
			frame_quote(&frame, &quoted, size);
			frame_finish(&frame);
			reason = frame_parse(&frame, &error);
			assert_int_equal(error.kind, PACKET_ICMP_ERROR);
			if (size < header + quotes[i / 8].needed) {
				assert_int_equal(reason, DROP_MALFORMED);
				continue;
			}
			assert_int_equal(reason, DROP_NONE);
			assert_true(flow_key_equal(&reverse, &error.key));
			assert_true(ip_equal(&error.destination, &there.source));
			assert_false(ip_equal(&error.source, &there.destination));
		}
	}
}

static enum drop_reason error_about(bool v6, const struct frame *quoted)
{
	struct frame frame;
	struct packet packet;

	start(&frame, v6, true);
	frame_icmp(&frame, v6 ? 1 : 3, 1, 0);
	frame_quote(&frame, quoted, 1000);
	frame_finish(&frame);
	return frame_parse(&frame, &packet);
}

static void test_wrong_quotes(void **state)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	struct frame quoted, inner;

	for (unsigned int v6 = 0; v6 < 2; v6++) {
		// Errors about errors must not exist.
		start(&inner, v6, false);
		quote_tcp(&inner);
		frame_finish(&inner);
		start(&quoted, v6, false);
		frame_icmp(&quoted, v6 ? 3 : 11, 0, 0);
		frame_quote(&quoted, &inner, 100);
		frame_finish(&quoted);
		assert_int_equal(error_about(v6, &quoted), DROP_MALFORMED);
		// Each family has its own errors.
		start(&quoted, !v6, false);
		quote_tcp(&quoted);
		frame_finish(&quoted);
		assert_int_equal(error_about(v6, &quoted), DROP_MALFORMED);
		// A later fragment has no ports.
		start(&quoted, v6, false);
		frame_fragment(&quoted, 64, false);
		quote_tcp(&quoted);
		frame_finish(&quoted);
		assert_int_equal(error_about(v6, &quoted), DROP_MALFORMED);
		// The first one has.
		start(&quoted, v6, false);
		frame_fragment(&quoted, 0, true);
		quote_tcp(&quoted);
		frame_finish(&quoted);
		assert_int_equal(error_about(v6, &quoted), DROP_NONE);
		// A header shorter than can be, another version.
		start(&quoted, v6, false);
		quote_tcp(&quoted);
		frame_finish(&quoted);
		quoted.data[quoted.l3] = v6 ? 0x70 : 0x44;
		assert_int_equal(error_about(v6, &quoted), DROP_MALFORMED);
	}
	// IPv4 in IPv6 clothes must not lead to an IPv4 connection.
	for (unsigned int place = 8; place <= 24; place += 16) {
		start(&quoted, true, false);
		quote_tcp(&quoted);
		frame_finish(&quoted);
		memcpy(quoted.data + quoted.l3 + place, mapped, 12);
		assert_int_equal(error_about(false, &quoted), DROP_MALFORMED);
		assert_int_equal(error_about(true, &quoted), DROP_MALFORMED);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_queries),
		cmocka_unit_test(test_all_types),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_wrong_quotes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
