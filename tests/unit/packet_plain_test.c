// The usual packet is read by a way of its own: what that takes must be what packet_parse makes of
// it, byte for byte. And keys are equal only if all of their bits are.

#include "test.h"

#include "frame.h"
#include "packet/header.h"
#include "packet/plain.h"

#define MAC_A "52:54:00:00:00:01"
#define MAC_B "52:54:00:00:00:02"

// The frames of this test: family, transport, and what makes some of them unusual.
struct form {
	const char *name;
	bool v6;
	uint8_t protocol;
	uint8_t flags;	  // of TCP
	uint32_t options; // bytes of IPv4 options
	uint16_t vlan;
	bool fragment;
	bool extension;
	uint32_t payload;
	bool plain;
};

static const struct form forms[] = {
	{"udp", .protocol = IPPROTO_UDP, .payload = 18, .plain = true},
	{"udp without payload", .protocol = IPPROTO_UDP, .plain = true},
	{"udp6", .v6 = true, .protocol = IPPROTO_UDP, .payload = 5, .plain = true},
	{"ack", .protocol = IPPROTO_TCP, .flags = TCP_ACK, .plain = true},
	{"data", .protocol = IPPROTO_TCP, .flags = TCP_ACK | TCP_PSH, .payload = 33, .plain = true},
	{"fin", .protocol = IPPROTO_TCP, .flags = TCP_ACK | TCP_FIN, .payload = 7, .plain = true},
	{"rst", .protocol = IPPROTO_TCP, .flags = TCP_RST, .plain = true},
	{"data6", .v6 = true, .protocol = IPPROTO_TCP, .flags = TCP_ACK, .payload = 9,
	 .plain = true},
	{"syn", .protocol = IPPROTO_TCP, .flags = TCP_SYN},
	{"syn ack", .v6 = true, .protocol = IPPROTO_TCP, .flags = TCP_SYN | TCP_ACK},
	{"ip options", .protocol = IPPROTO_UDP, .options = 4},
	{"vlan", .protocol = IPPROTO_UDP, .vlan = 7},
	{"fragment", .protocol = IPPROTO_UDP, .fragment = true, .payload = 16},
	{"extension", .v6 = true, .protocol = IPPROTO_UDP, .extension = true},
	{"icmp", .protocol = IPPROTO_ICMP},
	{"icmp6", .v6 = true, .protocol = IPPROTO_ICMPV6},
	{"sctp", .protocol = IPPROTO_SCTP},
	{"gre", .protocol = 47, .payload = 16},
};

#define FORMS (sizeof(forms) / sizeof(forms[0]))

static void make(struct frame *frame, const struct form *form)
{
	frame_ethernet(frame, MAC_B, MAC_A, 0);
	if (form->vlan)
		frame_vlan(frame, form->vlan);
	if (form->v6)
		frame_ip(frame, "fd00:1::11", "fd00:1::12", 64, 0);
	else
		frame_ip(frame, "10.1.0.11", "10.1.0.12", 64, form->options);
	if (form->fragment)
		frame_fragment(frame, 0, true);
	if (form->extension)
		frame_extension(frame, IPPROTO_DSTOPTS, 8);
	if (form->protocol == IPPROTO_TCP)
		frame_tcp(frame, 1234, 80, form->flags);
	else if (form->protocol == IPPROTO_UDP)
		frame_udp(frame, 1234, 80);
	else if (form->protocol == IPPROTO_SCTP)
		frame_sctp(frame, 1234, 80);
	else if (form->protocol == IPPROTO_ICMP || form->protocol == IPPROTO_ICMPV6)
		frame_icmp(frame, form->v6 ? ICMP6_ECHO_REQUEST : ICMP_ECHO_REQUEST, 0, 1);
	else
		frame_protocol(frame, form->protocol);
	frame_payload(frame, form->payload);
	frame_finish(frame);
}

// Is the frame taken? If so, both ways must agree.
static bool taken(const uint8_t *data, uint32_t available, uint32_t length)
{
	struct packet plain, general;
	const uint8_t *frame = guard_put(data, available);

	memset(&plain, 0xa5, sizeof(plain));
	if (!packet_parse_plain(frame, available, length, &plain))
		return false;
	assert_int_equal(packet_parse(frame, available, length, &general), DROP_NONE);
	assert_memory_equal(&plain, &general, sizeof(plain));
	return true;
}

static void test_forms(void **state)
{
	for (unsigned int i = 0; i < FORMS; i++) {
		struct frame frame;

		make(&frame, &forms[i]);
		check_case(taken(frame.data, frame.size, frame.size) == forms[i].plain, "%s\n",
			   forms[i].name);
		// Behind the packet there may be padding, and behind the first segment a second.
		frame_append(&frame, 6);
		check_case(taken(frame.data, frame.size, frame.size) == forms[i].plain,
			   "%s, padded\n", forms[i].name);
		check_case(taken(frame.data, frame.size, frame.size + 100) == forms[i].plain,
			   "%s, in two segments\n", forms[i].name);
	}
}

static void test_cut(void **state)
{
	for (unsigned int i = 0; i < FORMS; i++) {
		struct frame frame;

		make(&frame, &forms[i]);
		for (uint32_t size = 0; size < frame.size; size++) {
			assert_false(taken(frame.data, size, size));
			taken(frame.data, size, frame.size);
		}
	}
}

static void repair(struct frame *frame, bool v6)
{
	uint8_t *header = frame->data + ETHERNET_HEADER_SIZE;
	uint16_t checksum;

	if (v6)
		return;
	memset(header + 10, 0, 2);
	checksum = checksum_finish(checksum_add(0, header, IPV4_HEADER_SIZE));
	memcpy(header + 10, &checksum, 2);
}

// Each byte of each frame with each value, with a right checksum and with the old one.
static void test_every_byte(void **state)
{
	uint32_t taken_count = 0;

	for (unsigned int i = 0; i < FORMS; i++)
		for (uint32_t at = 0; at < ETHERNET_HEADER_SIZE + 60; at++)
			for (unsigned int value = 0; value < 256; value++) {
				struct frame frame;

				make(&frame, &forms[i]);
				if (at >= frame.size)
					break;
				frame.data[at] = (uint8_t)value;
				taken_count += taken(frame.data, frame.size, frame.size);
				repair(&frame, forms[i].v6);
				taken_count += taken(frame.data, frame.size, frame.size);
			}
	assert_true(taken_count > 100000);
}

static void test_random_headers(void **state)
{
	struct random random = {.state = 1};

	for (unsigned int round = 0; round < 200000; round++) {
		const struct form *form = &forms[random_below(&random, FORMS)];
		struct frame frame;

		make(&frame, form);
		for (unsigned int i = 0; i < 3; i++)
			frame.data[12 + random_below(&random, frame.size - 12)] =
				(uint8_t)random_next(&random);
		repair(&frame, form->v6);
		taken(frame.data, frame.size, frame.size);
	}
}

static void test_keys(void **state)
{
	struct random random = {.state = 2};
	struct flow_key a, b;

	random_fill(&random, &a, sizeof(a));
	b = a;
	assert_true(flow_key_equal(&a, &b));
	for (unsigned int bit = 0; bit < sizeof(a) * 8; bit++) {
		((uint8_t *)&b)[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_false(flow_key_equal(&a, &b));
		((uint8_t *)&b)[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	assert_true(flow_key_equal(&a, &b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),	   cmocka_unit_test(test_cut),
		cmocka_unit_test(test_every_byte), cmocka_unit_test(test_random_headers),
		cmocka_unit_test(test_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
