// packet_parse on frames made by hand: what is read, what is refused, and that nothing behind the
// frame is read.

#include "test.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "frame.h"
#include "packet/header.h"

#define MAC_A "52:54:00:00:00:01"
#define MAC_B "52:54:00:00:00:02"

static void start(struct frame *frame, bool v6)
{
	frame_ethernet(frame, MAC_B, MAC_A, 0);
	if (v6)
		frame_ip(frame, "fd00:1::11", "fd00:1::12", 64, 0);
	else
		frame_ip(frame, "10.1.0.11", "10.1.0.12", 64, 0);
}

static void make_vlan(struct frame *frame)
{
	frame_ethernet(frame, MAC_B, MAC_A, 0);
	frame_vlan(frame, 0xe000 | 7);
	frame_ip(frame, "10.1.0.11", "10.1.0.12", 64, 0);
	frame_tcp(frame, 1234, 80, TCP_SYN);
}

static void make_options(struct frame *frame)
{
	frame_ethernet(frame, MAC_B, MAC_A, 0);
	frame_ip(frame, "10.1.0.11", "10.1.0.12", 64, 40);
	frame_udp(frame, 1234, 80);
	frame_payload(frame, 5);
}

static void make_tcp(struct frame *frame)
{
	start(frame, false);
	frame_tcp(frame, 1234, 80, TCP_SYN | TCP_ACK);
	frame_payload(frame, 33);
}

static void make_tcp6(struct frame *frame)
{
	start(frame, true);
	frame_tcp(frame, 1234, 80, TCP_SYN);
}

static void make_udp(struct frame *frame)
{
	start(frame, false);
	frame_udp(frame, 1234, 80);
}

static void make_sctp(struct frame *frame)
{
	start(frame, false);
	frame_sctp(frame, 1234, 80);
}

static void make_gre(struct frame *frame)
{
	start(frame, false);
	frame_protocol(frame, IPPROTO_GRE);
	frame_payload(frame, 1);
}

static void make_hop_by_hop(struct frame *frame)
{
	start(frame, true);
	frame_extension(frame, IPPROTO_HOPOPTS, 8);
	frame_udp(frame, 1234, 80);
}

static void make_routing(struct frame *frame)
{
	start(frame, true);
	frame_extension(frame, IPPROTO_ROUTING, 24);
	frame_tcp(frame, 1234, 80, TCP_ACK);
}

static void make_destination_options(struct frame *frame)
{
	start(frame, true);
	frame_extension(frame, IPPROTO_DSTOPTS, 2048);
	frame_udp(frame, 1234, 80);
}

static void make_authentication(struct frame *frame)
{
	start(frame, true);
	frame_extension(frame, IPPROTO_AH, 24);
	frame_udp(frame, 1234, 80);
}

static void make_chain(struct frame *frame)
{
	start(frame, true);
	frame_extension(frame, IPPROTO_HOPOPTS, 16);
	frame_extension(frame, IPPROTO_DSTOPTS, 8);
	frame_extension(frame, IPPROTO_ROUTING, 8);
	frame_fragment(frame, 0, false); // atomic
	frame_extension(frame, IPPROTO_AH, 16);
	frame_extension(frame, IPPROTO_DSTOPTS, 8);
	frame_tcp(frame, 1234, 80, TCP_FIN | TCP_ACK);
}

static void make_no_next(struct frame *frame)
{
	start(frame, true);
	frame_protocol(frame, IPPROTO_NONE);
}

static void make_first_fragment(struct frame *frame)
{
	start(frame, false);
	frame_fragment(frame, 0, true);
	frame_udp(frame, 1234, 80);
	frame_payload(frame, 16);
}

static void make_later_fragment(struct frame *frame)
{
	start(frame, false);
	frame_fragment(frame, 24, false);
	frame_protocol(frame, IPPROTO_UDP);
	frame_payload(frame, 3);
}

static void make_first_fragment6(struct frame *frame)
{
	start(frame, true);
	frame_fragment(frame, 0, true);
	frame_extension(frame, IPPROTO_DSTOPTS, 8);
	frame_udp(frame, 1234, 80);
}

static void make_later_fragment6(struct frame *frame)
{
	start(frame, true);
	frame_fragment(frame, 16, true);
	frame_protocol(frame, IPPROTO_DSTOPTS);
	frame_payload(frame, 16);
}

static void make_arp(struct frame *frame)
{
	frame_ethernet(frame, "ff:ff:ff:ff:ff:ff", MAC_A, 0);
	frame_arp(frame, ARP_REQUEST, MAC_A, "10.1.0.11", "00:00:00:00:00:00", "10.1.0.12");
}

static void make_nd(struct frame *frame)
{
	frame_ethernet(frame, "33:33:ff:00:00:12", MAC_A, 0);
	frame_ip(frame, "fd00:1::11", "ff02::1:ff00:12", 255, 0);
	frame_nd(frame, ND_NEIGHBOUR_SOLICITATION, 0, "fd00:1::12", MAC_A);
}

static void make_echo(struct frame *frame)
{
	start(frame, false);
	frame_icmp(frame, ICMP_ECHO_REQUEST, 0, 0x00070001);
	frame_payload(frame, 9);
}

static void make_echo6(struct frame *frame)
{
	start(frame, true);
	frame_icmp(frame, ICMP6_ECHO_REPLY, 0, 0x00070001);
}

static void make_error(struct frame *frame)
{
	struct frame quoted;

	make_options(&quoted);
	frame_finish(&quoted);
	start(frame, false);
	frame_icmp(frame, 3, 3, 0);
	frame_quote(frame, &quoted, 1000);
}

static void make_error6(struct frame *frame)
{
	struct frame quoted;

	make_routing(&quoted);
	frame_finish(&quoted);
	start(frame, true);
	frame_icmp(frame, 2, 0, 1280);
	frame_quote(frame, &quoted, 1000);
}

static const struct {
	const char *name;
	void (*make)(struct frame *frame);
	uint8_t kind, protocol, flags;
	uint16_t source_port, destination_port;
	uint8_t tcp_flags;
	uint16_t vlan;
} cases[] = {
	{"vlan", make_vlan, PACKET_IP, IPPROTO_TCP, 0, 1234, 80, TCP_SYN, 7},
	{"options", make_options, PACKET_IP, IPPROTO_UDP, 0, 1234, 80},
	{"tcp", make_tcp, PACKET_IP, IPPROTO_TCP, 0, 1234, 80, TCP_SYN | TCP_ACK},
	{"tcp6", make_tcp6, PACKET_IP, IPPROTO_TCP, 0, 1234, 80, TCP_SYN},
	{"udp", make_udp, PACKET_IP, IPPROTO_UDP, 0, 1234, 80},
	{"sctp", make_sctp, PACKET_IP, IPPROTO_SCTP, 0, 1234, 80},
	{"gre", make_gre, PACKET_IP, IPPROTO_GRE, 0, 0, 0},
	{"hop-by-hop", make_hop_by_hop, PACKET_IP, IPPROTO_UDP, 0, 1234, 80},
	{"routing", make_routing, PACKET_IP, IPPROTO_TCP, 0, 1234, 80, TCP_ACK},
	{"destination options", make_destination_options, PACKET_IP, IPPROTO_UDP, 0, 1234, 80},
	{"authentication", make_authentication, PACKET_IP, IPPROTO_UDP, 0, 1234, 80},
	{"chain", make_chain, PACKET_IP, IPPROTO_TCP, 0, 1234, 80, TCP_FIN | TCP_ACK},
	{"no next header", make_no_next, PACKET_IP, IPPROTO_NONE, 0, 0, 0},
	{"first fragment", make_first_fragment, PACKET_FRAGMENT, IPPROTO_UDP, 0, 0, 0},
	{"later fragment", make_later_fragment, PACKET_FRAGMENT, IPPROTO_UDP, 0, 0, 0},
	{"first fragment v6", make_first_fragment6, PACKET_FRAGMENT, IPPROTO_UDP, 0, 0, 0},
	{"later fragment v6", make_later_fragment6, PACKET_FRAGMENT, IPPROTO_DSTOPTS, 0, 0, 0},
	{"arp", make_arp, PACKET_ARP, 0, 0, 0, 0},
	{"nd", make_nd, PACKET_ND, IPPROTO_ICMPV6, 0, 0, 0},
	{"echo", make_echo, PACKET_IP, IPPROTO_ICMP, 0, 7, ICMP_ECHO_REQUEST << 8},
	{"echo6", make_echo6, PACKET_IP, IPPROTO_ICMPV6, 0, ICMP6_ECHO_REQUEST << 8, 7},
	// Against what they quote.
	{"error", make_error, PACKET_ICMP_ERROR, IPPROTO_UDP, 0, 80, 1234},
	{"error6", make_error6, PACKET_ICMP_ERROR, IPPROTO_TCP, 0, 80, 1234},
};

#define CASES (sizeof(cases) / sizeof(cases[0]))

static void test_fields(void **state)
{
	for (size_t i = 0; i < CASES; i++) {
		struct frame frame;
		struct packet packet;
		enum drop_reason reason;
		const struct flow_key *key = &packet.key;

		cases[i].make(&frame);
		frame_finish(&frame);
		reason = frame_parse(&frame, &packet);
		check_case(reason == DROP_NONE, "%s: %s\n", cases[i].name,
			   drop_reason_name(reason));
		check_case(packet.kind == cases[i].kind, "%s: kind %u\n", cases[i].name,
			   packet.kind);
		check_case(packet.vlan == cases[i].vlan, "%s: vlan %u\n", cases[i].name,
			   packet.vlan);
		assert_int_equal(packet.length, frame.size);
		if (packet.kind == PACKET_ARP)
			continue;
		check_case(key->protocol == cases[i].protocol && key->flags == cases[i].flags &&
				   key->source_port == htons(cases[i].source_port) &&
				   key->destination_port == htons(cases[i].destination_port) &&
				   packet.tcp_flags == cases[i].tcp_flags,
			   "%s: protocol %u flags %u ports %u %u tcp %x\n", cases[i].name,
			   key->protocol, key->flags, ntohs(key->source_port),
			   ntohs(key->destination_port), packet.tcp_flags);
		assert_int_equal(packet.l3_offset, frame.l3);
		check_case(packet.l4_offset == frame.l4 || packet.kind == PACKET_FRAGMENT,
			   "%s: l4 at %u\n", cases[i].name, packet.l4_offset);
		assert_int_equal(packet.ip_length, frame.size - frame.l3);
		assert_true(mac_equal(&packet.source_mac,
				      &(struct mac_address){{0x52, 0x54, 0, 0, 0, 1}}));
		assert_int_equal(key->network, 0);
	}
}

static void check_bounds(const struct packet *packet, uint32_t available, uint32_t length)
{
	assert_true(packet->l3_offset == 14 || packet->l3_offset == 18);
	if (packet->kind == PACKET_ARP)
		return;
	assert_true(packet->l3_offset + packet->ip_length <= length);
	assert_true(packet->l4_offset <= packet->l3_offset + packet->ip_length);
	if (packet->kind == PACKET_ND || packet->kind == PACKET_ICMP_ERROR)
		assert_true(packet->l4_offset + 8u <= available);
}

// Cut at each length, as a frame that ends there and as a first segment that does.
static void test_truncated(void **state)
{
	for (size_t i = 0; i < CASES; i++) {
		struct frame frame;

		cases[i].make(&frame);
		frame_finish(&frame);
		for (uint32_t size = 0; size <= frame.size; size++) {
			const uint8_t *data = guard_put(frame.data, size);
			struct packet packet;
			enum drop_reason reason = packet_parse(data, size, size, &packet);

			if (reason == DROP_NONE)
				check_bounds(&packet, size, size);
			check_case(size == frame.size || reason != DROP_NONE,
				   "%s: accepted at %u of %u\n", cases[i].name, size, frame.size);
			reason = packet_parse(data, size, frame.size, &packet);
			if (reason == DROP_NONE)
				check_bounds(&packet, size, frame.size);
		}
	}
}

// Padding behind the packet is no part of it.
static void test_padding(void **state)
{
	struct frame frame;
	struct packet packet;

	make_udp(&frame);
	frame_finish(&frame);
	frame_append(&frame, 18);
	assert_int_equal(frame_parse(&frame, &packet), DROP_NONE);
	assert_int_equal(packet.ip_length, 28);
	assert_int_equal(packet.length, 60);
}

// Any byte changed to anything: a verdict, and no read behind the end.
static void test_mutated(void **state)
{
	uint64_t seed = random_seed();
	struct random random = {seed};

	for (size_t i = 0; i < CASES; i++) {
		struct frame frame;

		cases[i].make(&frame);
		frame_finish(&frame);
		for (unsigned int round = 0; round < 3000; round++) {
			uint32_t size = frame.size < 120 ? frame.size : 120;
			uint8_t *data = guard_put(frame.data, size);
			uint32_t changes = 1 + random_below(&random, 4);
			struct packet packet;

			while (changes--)
				data[random_below(&random, size)] = (uint8_t)random_next(&random);
			// With a right checksum, so that it is not all that stops them.
			if (frame.l3 == 14 && data[14] >> 4 == 4 && (data[14] & 15) >= 5 &&
			    14 + (data[14] & 15u) * 4 <= size) {
				uint16_t sum;

				data[24] = data[25] = 0;
				sum = reference_checksum(data + 14, (data[14] & 15u) * 4, 0);
				data[24] = (uint8_t)(sum >> 8);
				data[25] = (uint8_t)sum;
			}
			if (packet_parse(data, size, frame.size, &packet) == DROP_NONE)
				check_bounds(&packet, size, frame.size);
		}
	}
}

// Changes one thing in a good frame.
struct damage {
	const char *name;
	void (*make)(struct frame *frame);
	uint32_t at; // of the byte, from the start of the IP header
	uint8_t value;
	enum drop_reason reason;
};

static const struct damage damages[] = {
	{"version 5", make_udp, 0, 0x55, DROP_MALFORMED},
	{"version 0", make_tcp6, 0, 0x00, DROP_MALFORMED},
	{"header of 16 bytes", make_udp, 0, 0x44, DROP_MALFORMED},
	{"total length below the header", make_udp, 3, 19, DROP_MALFORMED},
	{"total length beyond the frame", make_udp, 3, 29, DROP_TRUNCATED},
	{"total length without UDP header", make_udp, 3, 27, DROP_TRUNCATED},
	{"checksum", make_udp, 10, 0x12, DROP_CHECKSUM},
	{"udp length 7", make_udp, 25, 7, DROP_MALFORMED},
	{"udp length 9", make_udp, 25, 9, DROP_TRUNCATED},
	{"tcp header of 16 bytes", make_tcp, 32, 0x40, DROP_MALFORMED},
	{"tcp header of 60 bytes", make_tcp, 32, 0xf0, DROP_TRUNCATED},
	{"v6 payload length beyond the frame", make_tcp6, 5, 21, DROP_TRUNCATED},
	{"v6 payload length below TCP", make_tcp6, 5, 19, DROP_TRUNCATED},
	{"v6 payload of 65535", make_tcp6, 4, 0xff, DROP_TRUNCATED},
	{"routing type 0", make_routing, 42, 0, DROP_MALFORMED},
	{"extension beyond the end", make_hop_by_hop, 41, 2, DROP_TRUNCATED},
	{"extension up to the end", make_hop_by_hop, 41, 1, DROP_TRUNCATED},
	{"hop-by-hop second", make_chain, 56, 0, DROP_MALFORMED},
	{"icmp on v6", make_tcp6, 6, IPPROTO_ICMP, DROP_MALFORMED},
	{"icmpv6 on v4", make_echo, 9, IPPROTO_ICMPV6, DROP_MALFORMED},
};

static void test_damaged(void **state)
{
	for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
		const struct damage *damage = &damages[i];
		struct frame frame;
		struct packet packet;
		enum drop_reason reason;

		damage->make(&frame);
		frame_finish(&frame);
		frame.data[frame.l3 + damage->at] = damage->value;
		if (frame.data[12] == 8 && damage->reason != DROP_CHECKSUM &&
		    (frame.data[frame.l3] & 15) >= 5) {
			uint8_t *ip = frame.data + frame.l3;
			uint16_t sum;

			ip[10] = ip[11] = 0;
			sum = reference_checksum(ip, (ip[0] & 15u) * 4, 0);
			ip[10] = (uint8_t)(sum >> 8);
			ip[11] = (uint8_t)sum;
		}
		reason = frame_parse(&frame, &packet);
		check_case(reason == damage->reason, "%s: %s\n", damage->name,
			   drop_reason_name(reason));
	}
}

static void test_ethernet_types(void **state)
{
	static const uint16_t types[] = {0x88cc, 0x8847, 0x88a8, 0x0806 ^ 0xffff, 46, 0};
	struct frame frame;
	struct packet packet;

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		make_tcp(&frame);
		frame.data[12] = (uint8_t)(types[i] >> 8);
		frame.data[13] = (uint8_t)types[i];
		assert_int_equal(frame_parse(&frame, &packet), DROP_ETHERTYPE);
	}
	// A tag inside a tag.
	make_vlan(&frame);
	frame.data[16] = 0x81;
	frame.data[17] = 0x00;
	assert_int_equal(frame_parse(&frame, &packet), DROP_ETHERTYPE);
}

static void test_mapped_addresses(void **state)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	struct frame frame;
	struct packet packet;

	for (unsigned int at = 8; at <= 24; at += 16) {
		make_tcp6(&frame);
		frame_finish(&frame);
		memcpy(frame.data + frame.l3 + at, mapped, sizeof(mapped));
		assert_int_equal(frame_parse(&frame, &packet), DROP_MALFORMED);
	}
}

static void test_many_extensions(void **state)
{
	for (unsigned int count = 0; count < 12; count++) {
		struct frame frame;
		struct packet packet;

		start(&frame, true);
		for (unsigned int i = 0; i < count; i++)
			frame_extension(&frame, IPPROTO_DSTOPTS, 8);
		frame_udp(&frame, 1, 2);
		frame_finish(&frame);
		assert_int_equal(frame_parse(&frame, &packet),
				 count <= 8 ? DROP_NONE : DROP_EXTENSION_HEADERS);
	}
	// Headers that are all in the frame, but not in its first segment.
	struct frame frame;
	struct packet packet;

	make_destination_options(&frame);
	frame_finish(&frame);
	assert_int_equal(packet_parse(guard_put(frame.data, 256), 256, frame.size, &packet),
			 DROP_EXTENSION_HEADERS);
}

static void test_fragments(void **state)
{
	struct frame frame;
	struct packet later;

	// Beyond what IPv4 can number.
	start(&frame, false);
	frame_fragment(&frame, 65528, false);
	frame_protocol(&frame, IPPROTO_UDP);
	frame_payload(&frame, 8);
	frame_finish(&frame);
	assert_int_equal(frame_parse(&frame, &later), DROP_MALFORMED);
	// "Don't fragment" makes no fragment.
	make_udp(&frame);
	frame.data[frame.l3 + 6] = 0x40;
	frame_finish(&frame);
	assert_int_equal(frame_parse(&frame, &later), DROP_NONE);
	assert_int_equal(later.kind, PACKET_IP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields),		 cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_padding),		 cmocka_unit_test(test_mutated),
		cmocka_unit_test(test_damaged),		 cmocka_unit_test(test_ethernet_types),
		cmocka_unit_test(test_mapped_addresses), cmocka_unit_test(test_many_extensions),
		cmocka_unit_test(test_fragments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
