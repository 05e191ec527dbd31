// The gateway's echo: what is answered, and how; and what is not.

#include "test.h"

#include <netinet/in.h>

#include "layer/gateway/gateway.h"
#include "layer_fixture.h"
#include "packet/header.h"

#define MAC_A1 "52:54:00:00:00:01"

static void test_echo(void **state)
{
	for (unsigned int i = 0; i < 2 * 300; i++) {
		bool v6 = i & 1;
		uint32_t options = v6 ? 0 : i / 2 % 11 * 4;
		struct frame frame, answer;
		struct packet packet, back;
		struct buffer buffer;
		struct flow_key reverse;

		frame_ethernet(&frame, GATEWAY_BLUE, MAC_A1, 0);
		frame_ip(&frame, v6 ? "fd00:1::11" : "10.1.0.11", v6 ? "fd00:1::1" : "10.1.0.1", 7,
			 options);
		if (v6 && i % 4 == 1)
			frame_extension(&frame, IPPROTO_DSTOPTS, 16);
		frame_icmp(&frame, v6 ? ICMP6_ECHO_REQUEST : ICMP_ECHO_REQUEST, 0, i * 0x123457);
		frame_payload(&frame, i);
		frame_finish(&frame);
		assert_int_equal(frame_parse(&frame, &packet), DROP_NONE);
		buffer_put(&buffer, frame.data, frame.size);
		assert_true(gateway_echo(&buffer.mbuf, &packet));
		answer = frame;
		memcpy(answer.data, rte_pktmbuf_mtod(&buffer.mbuf, void *), frame.size);
		assert_int_equal(frame_parse(&answer, &back), DROP_NONE);
		assert_true(frame_checksums_right(answer.data, 14, frame.l4,
						  v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP));
		reverse = flow_key_reverse(&packet.key, 0);
		assert_true(flow_key_equal(&back.key, &reverse));
		assert_int_equal(back.icmp_type, v6 ? ICMP6_ECHO_REPLY : ICMP_ECHO_REPLY);
		assert_int_equal(back.ttl, 64);
		assert_true(mac_equal(&back.source_mac, &packet.destination_mac));
		assert_true(mac_equal(&back.destination_mac, &packet.source_mac));
		assert_memory_equal(answer.data + frame.l4 + 4, frame.data + frame.l4 + 4,
				    frame.size - frame.l4 - 4);
		// A broken checksum stays broken.
		frame.data[frame.l4 + 2] ^= 0x10;
		buffer_put(&buffer, frame.data, frame.size);
		assert_true(gateway_echo(&buffer.mbuf, &packet));
		assert_false(frame_checksums_right(rte_pktmbuf_mtod(&buffer.mbuf, uint8_t *), 14,
						   frame.l4, v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP));
	}
}

static void test_no_echo(void **state)
{
	for (unsigned int i = 0; i < 7; i++) {
		struct frame frame, quoted;
		struct packet packet;
		struct buffer buffer;

		frame_ethernet(&frame, GATEWAY_BLUE, MAC_A1, 0);
		frame_ip(&frame, i == 6 ? "fd00:1::11" : "10.1.0.11",
			 i == 6 ? "fd00:1::1" : "10.1.0.1", 7, 0);
		quoted = frame;
		switch (i) {
		case 0:
			frame_icmp(&frame, ICMP_ECHO_REPLY, 0, 0);
			break;
		case 1:
			frame_icmp(&frame, ICMP_ECHO_REQUEST, 1, 0);
			break;
		case 2:
			frame_udp(&frame, 1, 2);
			break;
		case 3:
			frame_fragment(&frame, 0, true);
			frame_icmp(&frame, ICMP_ECHO_REQUEST, 0, 0);
			break;
		case 4:
			frame_udp(&quoted, 1, 2);
			frame_finish(&quoted);
			frame_icmp(&frame, 3, 0, 0);
			frame_quote(&frame, &quoted, 100);
			break;
		case 5:
			frame_icmp(&frame, 13, 0, 0);
			break;
		case 6:
			frame_icmp(&frame, ICMP_ECHO_REQUEST, 0, 0);
			break;
		}
		frame_finish(&frame);
		assert_int_equal(frame_parse(&frame, &packet), DROP_NONE);
		buffer_put(&buffer, frame.data, frame.size);
		assert_false(gateway_echo(&buffer.mbuf, &packet));
		assert_memory_equal(rte_pktmbuf_mtod(&buffer.mbuf, void *), frame.data, frame.size);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_echo),
		cmocka_unit_test(test_no_echo),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
