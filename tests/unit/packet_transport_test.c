// What connection tracking reads of TCP and SCTP headers: numbers, options of a SYN, chunks.

#include "test.h"

#include <netinet/in.h>

#include "frame.h"
#include "packet/header.h"

static void start(struct frame *frame, bool v6)
{
	frame_ethernet(frame, "52:54:00:00:00:02", "52:54:00:00:00:01", 0);
	frame_ip(frame, v6 ? "fd00:1::11" : "10.1.0.11", v6 ? "fd00:1::12" : "10.1.0.12", 64, 0);
}

// A TCP header with these options, and so many octets behind it.
static void make_tcp(struct frame *frame, bool v6, uint8_t flags, const uint8_t *options,
		     uint32_t option_size, uint32_t payload)
{
	static const uint8_t numbers[] = {0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54, 0x32, 0x10};
	uint8_t *tcp;

	start(frame, v6);
	frame_tcp(frame, 1234, 80, flags);
	tcp = frame->data + frame->l4;
	memcpy(tcp + 4, numbers, sizeof(numbers));
	tcp[12] = (uint8_t)((TCP_HEADER_SIZE + option_size) / 4 << 4);
	tcp[14] = 0xab;
	tcp[15] = 0xcd;
	if (option_size)
		memcpy(frame_append(frame, option_size), options, option_size);
	if (payload)
		frame_payload(frame, payload);
	frame_finish(frame);
}

static void test_tcp_numbers(void **state)
{
	static const struct {
		uint8_t flags;
		uint32_t options, payload, space;
	} cases[] = {
		{TCP_ACK, 0, 0, 0},	      {TCP_ACK, 0, 1, 1},    {TCP_ACK, 12, 1000, 1000},
		{TCP_SYN, 0, 0, 1},	      {TCP_SYN, 40, 10, 11}, {TCP_SYN | TCP_ACK, 20, 0, 1},
		{TCP_FIN | TCP_ACK, 0, 5, 6}, {TCP_RST, 0, 0, 0},    {TCP_SYN | TCP_FIN, 0, 0, 2},
	};
	static const uint8_t options[40]; // all of kind 0

	for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
		struct frame frame;
		struct packet packet;

		make_tcp(&frame, i & 1, cases[i / 2].flags, options, cases[i / 2].options,
			 cases[i / 2].payload);
		assert_int_equal(frame_parse(&frame, &packet), DROP_NONE);
		assert_int_equal(packet.tcp_seq, 0xfedcba98);
		assert_int_equal(packet.tcp_ack, 0x76543210);
		assert_int_equal(packet.tcp_window, 0xabcd);
		check_case(packet.tcp_end == 0xfedcba98 + cases[i / 2].space, "case %zu: %x\n", i,
			   packet.tcp_end);
	}
	// What pads the frame is no payload.
	struct frame frame;
	struct packet packet;

	make_tcp(&frame, false, TCP_ACK, NULL, 0, 0);
	frame_payload(&frame, 6);
	assert_int_equal(frame_parse(&frame, &packet), DROP_NONE);
	assert_int_equal(packet.tcp_end, packet.tcp_seq);
}

static void test_syn_options(void **state)
{
	static const struct {
		uint8_t bytes[12];
		uint8_t size, scale;
		enum drop_reason reason;
	} cases[] = {
		{{0}, 0, 0, DROP_NONE},
		{{3, 3, 0, 0}, 4, 1, DROP_NONE},
		{{1, 3, 3, 7}, 4, 8, DROP_NONE},
		{{3, 3, 14, 1}, 4, 15, DROP_NONE},
		// Larger ones count as 14 (RFC 7323 section 2.3).
		{{3, 3, 15, 1}, 4, 15, DROP_NONE},
		{{3, 3, 255, 1}, 4, 15, DROP_NONE},
		{{2, 4, 5, 0xb4, 1, 3, 3, 9}, 8, 10, DROP_NONE},
		{{2, 4, 5, 0xb4, 4, 2, 3, 3, 2, 0, 0, 0}, 12, 3, DROP_NONE},
		// Behind the end of options there is nothing.
		{{0, 3, 3, 7}, 4, 0, DROP_NONE},
		{{1, 1, 1, 1}, 4, 0, DROP_NONE},
		// Lengths that can't be.
		{{2, 0, 0, 0}, 4, 0, DROP_MALFORMED},
		{{2, 1, 0, 0}, 4, 0, DROP_MALFORMED},
		{{2, 5, 0, 0}, 4, 0, DROP_MALFORMED},
		{{2, 255, 0, 0}, 4, 0, DROP_MALFORMED},
		{{1, 1, 1, 2}, 4, 0, DROP_MALFORMED},
		{{3, 2, 0, 0}, 4, 0, DROP_MALFORMED},
		{{3, 4, 7, 7}, 4, 0, DROP_MALFORMED},
		{{1, 1, 3, 3}, 4, 0, DROP_MALFORMED},
	};

	for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
		struct frame frame;
		struct packet packet;
		enum drop_reason reason;

		make_tcp(&frame, i & 1, TCP_SYN, cases[i / 2].bytes, cases[i / 2].size, 0);
		reason = frame_parse(&frame, &packet);
		check_case(reason == cases[i / 2].reason, "case %zu: %s\n", i / 2,
			   drop_reason_name(reason));
		if (reason == DROP_NONE)
			assert_int_equal(packet.tcp_scale, cases[i / 2].scale);
		// Those of other segments are not read.
		make_tcp(&frame, i & 1, TCP_ACK, cases[i / 2].bytes, cases[i / 2].size, 3);
		assert_int_equal(frame_parse(&frame, &packet), DROP_NONE);
		assert_int_equal(packet.tcp_scale, 0);
	}
}

static enum drop_reason parse_chunks(const uint8_t *chunks, uint32_t size, uint8_t tag, bool v6,
				     struct packet *packet)
{
	struct frame frame;
	uint8_t *header;

	start(&frame, v6);
	frame_protocol(&frame, IPPROTO_SCTP);
	header = frame_append(&frame, SCTP_HEADER_SIZE);
	header[3] = 80;
	header[7] = tag;
	memcpy(frame_append(&frame, size), chunks, size);
	frame_finish(&frame);
	return frame_parse(&frame, packet);
}

#define INIT_BODY 0, 0, 0, 9, 0, 0, 1, 0, 0, 1, 0, 1, 0, 0, 0, 1

static void test_sctp_chunks(void **state)
{
	static const struct {
		uint8_t bytes[32];
		uint8_t size, tag;
		uint16_t chunks;
		uint8_t initiate_tag, reflected;
		enum drop_reason reason;
	} cases[] = {
		{{0}, 0, 7, 0, 0, 0, DROP_NONE},
		{{1, 0, 0, 20, INIT_BODY}, 20, 0, 1 << SCTP_INIT, 9, 0, DROP_NONE},
		{{2, 0, 0, 20, INIT_BODY}, 20, 7, 1 << SCTP_INIT_ACK, 9, 0, DROP_NONE},
		// Cookie with padding, a SACK, then DATA behind which nothing is looked at.
		{{10, 0, 0, 5, 1, 0, 0, 0, 3, 0, 0, 4, 0, 3, 0, 4, 6, 1, 0, 4},
		 20,
		 7,
		 1 << SCTP_COOKIE_ECHO | 1 << 3,
		 0,
		 0,
		 DROP_NONE},
		{{6, 1, 0, 4}, 4, 7, 1 << SCTP_ABORT, 0, 1, DROP_NONE},
		{{6, 0, 0, 4}, 4, 7, 1 << SCTP_ABORT, 0, 0, DROP_NONE},
		{{14, 1, 0, 4}, 4, 7, 1 << SCTP_SHUTDOWN_COMPLETE, 0, 1, DROP_NONE},
		// Types that are not known.
		{{200, 0, 0, 4, 7, 0, 0, 8, 0, 0, 0, 1},
		 12,
		 7,
		 1 << SCTP_SHUTDOWN,
		 0,
		 0,
		 DROP_NONE},
		// Lengths that can't be.
		{{7, 0, 0, 3}, 4, 7, 0, 0, 0, DROP_MALFORMED},
		{{7, 0, 0, 0}, 4, 7, 0, 0, 0, DROP_MALFORMED},
		{{7, 0, 0, 9, 0, 0, 0, 0}, 8, 7, 0, 0, 0, DROP_TRUNCATED},
		{{7, 0, 255, 255}, 4, 7, 0, 0, 0, DROP_TRUNCATED},
		{{1, 0, 0, 8, 0, 0, 0, 9}, 8, 0, 0, 0, 0, DROP_MALFORMED},
		// INIT has no verification tag, and gives one that is not zero; it comes alone.
		{{1, 0, 0, 20, INIT_BODY}, 20, 7, 0, 0, 0, DROP_MALFORMED},
		{{1, 0, 0, 20, 0}, 20, 0, 0, 0, 0, DROP_MALFORMED},
		{{1, 0, 0, 20, INIT_BODY, 3, 0, 0, 4}, 24, 0, 0, 0, 0, DROP_MALFORMED},
		{{3, 0, 0, 4, 1, 0, 0, 20, INIT_BODY}, 24, 0, 0, 0, 0, DROP_MALFORMED},
	};

	for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
		size_t c = i / 2;
		struct packet packet;
		enum drop_reason reason =
			parse_chunks(cases[c].bytes, cases[c].size, cases[c].tag, i & 1, &packet);

		check_case(reason == cases[c].reason, "case %zu: %s\n", c,
			   drop_reason_name(reason));
		if (reason != DROP_NONE)
			continue;
		assert_int_equal(packet.sctp_tag, cases[c].tag);
		check_case(packet.sctp_chunks == cases[c].chunks, "case %zu: %x\n", c,
			   packet.sctp_chunks);
		assert_int_equal(packet.sctp_initiate_tag, cases[c].initiate_tag);
		assert_int_equal(packet.sctp_reflected, cases[c].reflected);
	}
}

// An ICMP error tells which packet of the connection it is about.
static void test_quoted_numbers(void **state)
{
	for (unsigned int v6 = 0; v6 < 2; v6++) {
		struct frame quoted, frame;
		struct packet packet;

		make_tcp(&quoted, v6, TCP_ACK, NULL, 0, 10);
		start(&frame, v6);
		frame_icmp(&frame, v6 ? 1 : 3, 1, 0);
		frame_quote(&frame, &quoted, v6 ? 48 : 28);
		frame_finish(&frame);
		assert_int_equal(frame_parse(&frame, &packet), DROP_NONE);
		assert_int_equal(packet.tcp_seq, 0xfedcba98);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tcp_numbers),
		cmocka_unit_test(test_syn_options),
		cmocka_unit_test(test_sctp_chunks),
		cmocka_unit_test(test_quoted_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
