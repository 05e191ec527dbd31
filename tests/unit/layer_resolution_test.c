// ARP and neighbour discovery: what is read, refused and answered.

#include "test.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <rte_eal.h>

#include "layer/address_resolution/address_resolution.h"
#include "layer_fixture.h"
#include "packet/header.h"

#define MAC_A1	"52:54:00:00:00:01"
#define MAC_A2	"52:54:00:00:00:02"
#define MAC_B1	"52:54:00:00:00:11"
#define NO_MAC	"00:00:00:00:00:00"
#define ALL_MAC "ff:ff:ff:ff:ff:ff"

static enum resolution resolve(const struct layer_fixture *fixture, const char *port,
			       const struct frame *frame, struct buffer *buffer,
			       enum drop_reason *reason)
{
	const struct endpoint *source = fixture_endpoint(fixture->tables, port);
	struct address_resolution message;
	struct packet packet;

	assert_int_equal(frame_parse(frame, &packet), DROP_NONE);
	buffer_put(buffer, frame->data, frame->size);
	return resolution_from_port(fixture->tables, &fixture->tables->networks[source->network],
				    source, &buffer->mbuf, &packet, &message, reason);
}

static const struct {
	const char *frame_mac, *sender_mac, *sender, *target;
	uint16_t operation;
	enum resolution result;
	enum drop_reason reason;
	const char *answer; // MAC address
} arp_cases[] = {
	// From a1.
	{MAC_A1, MAC_A1, "10.1.0.11", "10.1.0.12", 1, RESOLUTION_ANSWERED, 0, MAC_A2},
	{MAC_A1, MAC_A1, "10.1.0.11", "10.1.0.21", 1, RESOLUTION_ANSWERED, 0, MAC_B1},
	{MAC_A1, MAC_A1, "10.1.0.11", "10.1.0.1", 1, RESOLUTION_ANSWERED, 0, GATEWAY_BLUE},
	{MAC_A1, MAC_A1, "0.0.0.0", "10.1.0.12", 1, RESOLUTION_ANSWERED, 0, MAC_A2},
	{MAC_A1, MAC_A1, "0.0.0.0", "10.1.0.11", 1, RESOLUTION_DONE},
	{MAC_A1, MAC_A1, "10.1.0.11", "10.1.0.11", 1, RESOLUTION_DONE},
	{MAC_A1, MAC_A1, "10.1.0.11", "10.1.0.12", 2, RESOLUTION_DONE},
	{MAC_A1, MAC_A1, "10.1.0.11", "10.1.0.99", 1, RESOLUTION_DROP, DROP_ARP_UNKNOWN},
	// Another network of the Vrf, its gateway, another Vrf.
	{MAC_A1, MAC_A1, "10.1.0.11", "10.2.0.13", 1, RESOLUTION_DROP, DROP_ARP_UNKNOWN},
	{MAC_A1, MAC_A1, "10.1.0.11", "10.2.0.1", 1, RESOLUTION_DROP, DROP_ARP_UNKNOWN},
	{MAC_A1, MAC_A1, "10.1.0.11", "10.3.0.14", 1, RESOLUTION_DROP, DROP_ARP_UNKNOWN},
	// Who is not what it says.
	{MAC_A2, MAC_A1, "10.1.0.11", "10.1.0.12", 1, RESOLUTION_DROP, DROP_SOURCE_MAC},
	{MAC_A1, MAC_A2, "10.1.0.11", "10.1.0.12", 1, RESOLUTION_DROP, DROP_ARP_SPOOFED},
	{MAC_A1, NO_MAC, "10.1.0.11", "10.1.0.12", 1, RESOLUTION_DROP, DROP_ARP_SPOOFED},
	{MAC_A1, MAC_A1, "10.1.0.12", "10.1.0.11", 1, RESOLUTION_DROP, DROP_ARP_SPOOFED},
	{MAC_A1, MAC_A1, "10.1.0.1", "10.1.0.1", 1, RESOLUTION_DROP, DROP_ARP_SPOOFED},
	{MAC_A1, MAC_A1, "10.1.0.1", "10.1.0.12", 2, RESOLUTION_DROP, DROP_ARP_SPOOFED},
	{MAC_A1, MAC_A1, "169.254.0.1", "10.1.0.12", 1, RESOLUTION_DROP, DROP_ARP_SPOOFED},
	// Neither request nor reply.
	{MAC_A1, MAC_A1, "10.1.0.11", "10.1.0.12", 0, RESOLUTION_DROP, DROP_ARP_MALFORMED},
	{MAC_A1, MAC_A1, "10.1.0.11", "10.1.0.12", 3, RESOLUTION_DROP, DROP_ARP_MALFORMED},
	{MAC_A1, MAC_A1, "10.1.0.11", "10.1.0.12", 0x101, RESOLUTION_DROP, DROP_ARP_MALFORMED},
};

static void test_arp(void **state)
{
	struct layer_fixture fixture;

	fixture_open(&fixture, "a");
	fixture_apply(&fixture, fixture_yaml);
	for (size_t i = 0; i < sizeof(arp_cases) / sizeof(arp_cases[0]); i++) {
		enum drop_reason reason = DROP_NONE;
		enum resolution result;
		struct buffer buffer;
		struct frame frame;

		frame_ethernet(&frame, ALL_MAC, arp_cases[i].frame_mac, 0);
		frame_arp(&frame, arp_cases[i].operation, arp_cases[i].sender_mac,
			  arp_cases[i].sender, NO_MAC, arp_cases[i].target);
		frame_append(&frame, 18);
		result = resolve(&fixture, "a1", &frame, &buffer, &reason);
		check_case(result == arp_cases[i].result, "case %zu: %d, %s\n", i, result,
			   drop_reason_name(reason));
		if (result == RESOLUTION_DROP)
			check_case(reason == arp_cases[i].reason, "case %zu: %s\n", i,
				   drop_reason_name(reason));
		if (result != RESOLUTION_ANSWERED)
			continue;
		frame_ethernet(&frame, MAC_A1, arp_cases[i].answer, 0);
		frame_arp(&frame, ARP_REPLY, arp_cases[i].answer, arp_cases[i].target, MAC_A1,
			  arp_cases[i].sender);
		assert_int_equal(buffer.mbuf.data_len, 42);
		assert_memory_equal(rte_pktmbuf_mtod(&buffer.mbuf, void *), frame.data, 42);
	}
	fixture_close(&fixture);
}

// Every byte of the fixed part counts, and no length but the whole one is enough.
static void test_arp_read(void **state)
{
	struct address_resolution message;
	struct packet packet;
	struct frame frame;

	frame_ethernet(&frame, ALL_MAC, MAC_A1, 0);
	frame_arp(&frame, ARP_REQUEST, MAC_A1, "10.1.0.11", NO_MAC, "10.1.0.12");
	assert_int_equal(frame_parse(&frame, &packet), DROP_NONE);
	for (unsigned int i = 0; i < 8; i++) {
		frame.data[14 + i] ^= 0x40;
		assert_int_equal(arp_read(frame.data, frame.size, &packet, &message),
				 DROP_ARP_MALFORMED);
		frame.data[14 + i] ^= 0x40;
	}
	for (uint32_t size = 14; size < 42; size++)
		assert_int_equal(arp_read(guard_put(frame.data, size), size, &packet, &message),
				 DROP_TRUNCATED);
	assert_int_equal(arp_read(guard_put(frame.data, 42), 42, &packet, &message), DROP_NONE);
	assert_true(message.solicitation);
}

static const struct {
	const char *frame_mac, *sender, *destination, *target, *option;
	uint8_t type, flags, ttl;
	enum resolution result;
	enum drop_reason reason;
	const char *answer;
} nd_cases[] = {
#define NS ND_NEIGHBOUR_SOLICITATION
#define NA ND_NEIGHBOUR_ADVERTISEMENT
	{MAC_A1, "fd00:1::11", "ff02::1:ff00:12", "fd00:1::12", MAC_A1, NS, 0, 255,
	 RESOLUTION_ANSWERED, 0, MAC_A2},
	{MAC_A1, "fd00:1::11", "fd00:1::12", "fd00:1::12", NULL, NS, 0, 255, RESOLUTION_ANSWERED, 0,
	 MAC_A2},
	{MAC_A1, "fd00:1::11", "ff02::1:ff00:21", "fd00:1::21", MAC_A1, NS, 0, 255,
	 RESOLUTION_ANSWERED, 0, MAC_B1},
	{MAC_A1, "fd00:1::11", "ff02::1:ff00:1", "fd00:1::1", MAC_A1, NS, 0, 255,
	 RESOLUTION_ANSWERED, 0, GATEWAY_BLUE},
	{MAC_A1, "fe80::5054:ff:fe00:1", "ff02::1:ff00:2", "fe80::5054:ff:fe00:2", MAC_A1, NS, 0,
	 255, RESOLUTION_ANSWERED, 0, MAC_A2},
	{MAC_A1, "fe80::5054:ff:fe00:1", "ff02::1:ff00:1389", "fe80::53:4cff:fe00:1389", MAC_A1, NS,
	 0, 255, RESOLUTION_ANSWERED, 0, GATEWAY_BLUE},
	// A probe for duplicates: somebody has it, or it is its own.
	{MAC_A1, "::", "ff02::1:ff00:12", "fd00:1::12", NULL, NS, 0, 255, RESOLUTION_ANSWERED, 0,
	 MAC_A2},
	{MAC_A1, "::", "ff02::1:ff00:11", "fd00:1::11", NULL, NS, 0, 255, RESOLUTION_DONE},
	{MAC_A1, "::", "ff02::1:ff12:3456", "fe80::1234:5678:9a12:3456", NULL, NS, 0, 255,
	 RESOLUTION_DONE},
	{MAC_A1, "fd00:1::11", "ff02::1", "fd00:1::11", MAC_A1, NA, 0x20, 255, RESOLUTION_DONE},
	{MAC_A1, "fd00:1::11", "ff02::1:ff00:99", "fd00:1::99", MAC_A1, NS, 0, 255, RESOLUTION_DROP,
	 DROP_ND_UNKNOWN},
	{MAC_A1, "fd00:1::11", "ff02::1:ff00:13", "fd00:2::13", MAC_A1, NS, 0, 255, RESOLUTION_DROP,
	 DROP_ND_UNKNOWN},
	{MAC_A2, "fd00:1::11", "ff02::1:ff00:12", "fd00:1::12", MAC_A1, NS, 0, 255, RESOLUTION_DROP,
	 DROP_SOURCE_MAC},
	{MAC_A1, "fd00:1::11", "ff02::1:ff00:12", "fd00:1::12", MAC_A2, NS, 0, 255, RESOLUTION_DROP,
	 DROP_ND_SPOOFED},
	{MAC_A1, "fd00:1::12", "ff02::1:ff00:21", "fd00:1::21", MAC_A1, NS, 0, 255, RESOLUTION_DROP,
	 DROP_ND_SPOOFED},
	{MAC_A1, "fd00:1::11", "ff02::1", "fd00:1::12", MAC_A1, NA, 0x20, 255, RESOLUTION_DROP,
	 DROP_ND_SPOOFED},
	{MAC_A1, "fd00:1::11", "ff02::1", "fd00:1::1", MAC_A1, NA, 0x20, 255, RESOLUTION_DROP,
	 DROP_ND_SPOOFED},
	// A workload may be a router to others behind it, but none on this network.
	{MAC_A1, "fd00:1::11", "ff02::1", "fd00:1::11", MAC_A1, NA, 0xa0, 255, RESOLUTION_DONE},
	{MAC_A1, "fd00:1::11", "ff02::1", "fd00:1::12", MAC_A1, NA, 0xa0, 255, RESOLUTION_DROP,
	 DROP_ND_SPOOFED},
	{MAC_A1, "fe80::5054:ff:fe00:1", "ff02::1", "::", NULL, ND_ROUTER_ADVERTISEMENT, 0, 255,
	 RESOLUTION_DROP, DROP_ND_SPOOFED},
	{MAC_A1, "fe80::5054:ff:fe00:1", "fd00:1::12", "::", NULL, ND_REDIRECT, 0, 255,
	 RESOLUTION_DROP, DROP_ND_SPOOFED},
	{MAC_A1, "fe80::5054:ff:fe00:1", "ff02::2", "::", NULL, ND_ROUTER_SOLICITATION, 0, 255,
	 RESOLUTION_DROP, DROP_MULTICAST},
	// From afar; about nothing that could be had.
	{MAC_A1, "fd00:1::11", "ff02::1:ff00:12", "fd00:1::12", MAC_A1, NS, 0, 254, RESOLUTION_DROP,
	 DROP_ND_MALFORMED},
	{MAC_A1, "fd00:1::11", "ff02::1:ff00:12", "ff02::1", MAC_A1, NS, 0, 255, RESOLUTION_DROP,
	 DROP_ND_MALFORMED},
};

static void check_advertisement(const struct buffer *buffer, size_t i)
{
	const uint8_t *data = rte_pktmbuf_mtod(&buffer->mbuf, const uint8_t *);
	struct ip_address target = address(nd_cases[i].target),
			  sender = address(nd_cases[i].sender);
	struct mac_address own = mac(nd_cases[i].answer), asker = mac(MAC_A1);
	bool probe = strcmp(nd_cases[i].sender, "::") == 0;
	bool router = strcmp(nd_cases[i].answer, GATEWAY_BLUE) == 0;
	struct address_resolution message;
	struct packet packet;

	assert_int_equal(buffer->mbuf.data_len, 86);
	assert_int_equal(packet_parse(data, 86, 86, &packet), DROP_NONE);
	assert_int_equal(packet.kind, PACKET_ND);
	assert_int_equal(packet.icmp_type, NA);
	assert_int_equal(packet.ttl, 255);
	assert_true(frame_checksums_right(data, 14, 54, IPPROTO_ICMPV6));
	assert_true(mac_equal(&packet.source_mac, &own));
	assert_true(ip_equal(&packet.source, &target));
	if (probe) {
		sender = address("ff02::1");
		asker = mac("33:33:00:00:00:01");
	}
	assert_true(ip_equal(&packet.destination, &sender));
	assert_true(mac_equal(&packet.destination_mac, &asker));
	assert_int_equal(data[58], 0x20 | (router ? 0x80 : 0) | (probe ? 0 : 0x40));
	assert_int_equal(nd_read(data, 86, &packet, &message), DROP_NONE);
	assert_true(ip_equal(&message.target, &target));
	assert_true(mac_equal(&message.sender_mac, &own));
}

static void test_nd(void **state)
{
	struct layer_fixture fixture;

	fixture_open(&fixture, "a");
	fixture_apply(&fixture, fixture_yaml);
	for (size_t i = 0; i < sizeof(nd_cases) / sizeof(nd_cases[0]); i++) {
		enum drop_reason reason = DROP_NONE;
		enum resolution result;
		struct buffer buffer;
		struct frame frame;

		frame_ethernet(&frame, "33:33:ff:00:00:00", nd_cases[i].frame_mac, 0);
		frame_ip(&frame, nd_cases[i].sender, nd_cases[i].destination, nd_cases[i].ttl, 0);
		frame_nd(&frame, nd_cases[i].type, nd_cases[i].flags, nd_cases[i].target,
			 nd_cases[i].option);
		frame_finish(&frame);
		result = resolve(&fixture, "a1", &frame, &buffer, &reason);
		check_case(result == nd_cases[i].result, "case %zu: %d, %s\n", i, result,
			   drop_reason_name(reason));
		if (result == RESOLUTION_DROP)
			check_case(reason == nd_cases[i].reason, "case %zu: %s\n", i,
				   drop_reason_name(reason));
		if (result == RESOLUTION_ANSWERED)
			check_advertisement(&buffer, i);
	}
	fixture_close(&fixture);
}

// Options, code, checksum, and cut at every length.
static void test_nd_read(void **state)
{
	struct address_resolution message;
	struct packet packet;
	struct frame frame;

	for (unsigned int size = 0; size < 4; size++) {
		uint8_t *option;

		frame_ethernet(&frame, "33:33:ff:00:00:12", MAC_A1, 0);
		frame_ip(&frame, "fd00:1::11", "ff02::1:ff00:12", 255, 0);
		frame_nd(&frame, NS, 0, "fd00:1::12", MAC_A1);
		option = frame_append(&frame, 16);
		option[0] = 14; // a nonce (RFC 3971)
		option[1] = (uint8_t)size;
		frame_finish(&frame);
		assert_int_equal(frame_parse(&frame, &packet), DROP_NONE);
		// An option of no length, of half, of all, of more than is there. Half leaves 8
		// bytes of zeros.
		assert_int_equal(
			nd_read(guard_put(frame.data, frame.size), frame.size, &packet, &message),
			size == 2 ? DROP_NONE : DROP_ND_MALFORMED);
	}
	frame_ethernet(&frame, "33:33:ff:00:00:12", MAC_A1, 0);
	frame_ip(&frame, "fd00:1::11", "ff02::1:ff00:12", 255, 0);
	frame_nd(&frame, NS, 0, "fd00:1::12", MAC_A1);
	frame_finish(&frame);
	assert_int_equal(frame_parse(&frame, &packet), DROP_NONE);
	for (uint32_t size = frame.l4 + 8; size <= frame.size; size++)
		assert_int_equal(nd_read(guard_put(frame.data, size), size, &packet, &message),
				 size == frame.size ? DROP_NONE : DROP_ND_MALFORMED);
	for (uint32_t byte = frame.l4; byte < frame.size; byte++) {
		frame.data[byte] ^= 1;
		assert_int_equal(nd_read(frame.data, frame.size, &packet, &message),
				 DROP_ND_MALFORMED);
		frame.data[byte] ^= 1;
	}
	packet.icmp_code = 1;
	assert_int_equal(nd_read(frame.data, frame.size, &packet, &message), DROP_ND_MALFORMED);
	// Shorter than its type is.
	frame_ethernet(&frame, "33:33:ff:00:00:12", MAC_A1, 0);
	frame_ip(&frame, "fd00:1::11", "ff02::1:ff00:12", 255, 0);
	frame_icmp(&frame, NS, 0, 0);
	frame_payload(&frame, 15);
	frame_finish(&frame);
	assert_int_equal(frame_parse(&frame, &packet), DROP_NONE);
	assert_int_equal(nd_read(guard_put(frame.data, frame.size), frame.size, &packet, &message),
			 DROP_ND_MALFORMED);
}

static void test_requests(void **state)
{
	struct mac_address own = mac(MAC_A1);
	struct ip_address sender = address("192.0.2.1"), target = address("192.0.2.9");
	struct address_resolution message;
	struct packet packet;
	struct buffer buffer;
	const uint8_t *data;

	buffer_put(&buffer, "", 0);
	assert_true(arp_request(&buffer.mbuf, &own, &sender, &target));
	data = rte_pktmbuf_mtod(&buffer.mbuf, const uint8_t *);
	assert_int_equal(packet_parse(data, 42, 42, &packet), DROP_NONE);
	assert_int_equal(arp_read(data, 42, &packet, &message), DROP_NONE);
	assert_true(message.solicitation && ip_equal(&message.sender, &sender) &&
		    ip_equal(&message.target, &target) && mac_equal(&message.sender_mac, &own));
	assert_int_equal(packet.destination_mac.bytes[5], 0xff);
	sender = address("2001:db8::1");
	target = address("2001:db8::12:3456");
	buffer_put(&buffer, "", 0);
	assert_true(nd_request(&buffer.mbuf, &own, &sender, &target));
	data = rte_pktmbuf_mtod(&buffer.mbuf, const uint8_t *);
	assert_int_equal(packet_parse(data, 86, 86, &packet), DROP_NONE);
	assert_int_equal(nd_read(data, 86, &packet, &message), DROP_NONE);
	assert_true(message.solicitation && ip_equal(&message.sender, &sender) &&
		    ip_equal(&message.target, &target) && mac_equal(&message.sender_mac, &own));
	target = address("ff02::1:ff12:3456");
	assert_true(ip_equal(&packet.destination, &target));
	own = mac("33:33:ff:12:34:56");
	assert_true(mac_equal(&packet.destination_mac, &own));
	assert_true(frame_checksums_right(data, 14, 54, IPPROTO_ICMPV6));
	// A buffer without room.
	buffer_put(&buffer, "", 0);
	buffer.mbuf.buf_len = RTE_PKTMBUF_HEADROOM + 41;
	assert_false(arp_request(&buffer.mbuf, &own, &sender, &target));
	assert_false(nd_request(&buffer.mbuf, &own, &sender, &target));
}

// A frame padded into several segments: its answer is one, and the others go back to the pool.
static void test_chained(void **state)
{
	char *arguments[] = {"test", "--no-huge",      "--no-pci",   "--no-shconf",  "-m",
			     "64",   "--no-telemetry", "--lcores=0", "--log-level=6"};
	int count = sizeof(arguments) / sizeof(arguments[0]);
	struct layer_fixture fixture;
	struct rte_mempool *pool;

	assert_true(rte_eal_init(count, arguments) >= 0);
	pool = rte_pktmbuf_pool_create("test", 15, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
	assert_non_null(pool);
	fixture_open(&fixture, "a");
	fixture_apply(&fixture, fixture_yaml);
	for (unsigned int v6 = 0; v6 < 2; v6++) {
		const struct endpoint *source = fixture_endpoint(fixture.tables, "a1");
		struct rte_mbuf *head = rte_pktmbuf_alloc(pool), *tail = rte_pktmbuf_alloc(pool);
		enum drop_reason reason;
		struct address_resolution message;
		struct packet packet;
		struct frame frame;

		if (v6) {
			frame_ethernet(&frame, "33:33:ff:00:00:12", MAC_A1, 0);
			frame_ip(&frame, "fd00:1::11", "ff02::1:ff00:12", 255, 0);
			frame_nd(&frame, NS, 0, "fd00:1::12", MAC_A1);
			frame_finish(&frame);
		} else {
			frame_ethernet(&frame, ALL_MAC, MAC_A1, 0);
			frame_arp(&frame, ARP_REQUEST, MAC_A1, "10.1.0.11", NO_MAC, "10.1.0.12");
		}
		memcpy(rte_pktmbuf_append(head, (uint16_t)frame.size), frame.data, frame.size);
		rte_pktmbuf_append(tail, 500);
		assert_int_equal(rte_pktmbuf_chain(head, tail), 0);
		assert_int_equal(packet_parse(rte_pktmbuf_mtod(head, uint8_t *), head->data_len,
					      head->pkt_len, &packet),
				 DROP_NONE);
		assert_int_equal(resolution_from_port(fixture.tables,
						      &fixture.tables->networks[source->network],
						      source, head, &packet, &message, &reason),
				 RESOLUTION_ANSWERED);
		assert_int_equal(head->nb_segs, 1);
		assert_int_equal(head->pkt_len, v6 ? 86 : 42);
		rte_pktmbuf_free(head);
		assert_int_equal(rte_mempool_avail_count(pool), 15);
	}
	fixture_close(&fixture);
	rte_mempool_free(pool);
	rte_eal_cleanup();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_arp),	 cmocka_unit_test(test_arp_read),
		cmocka_unit_test(test_nd),	 cmocka_unit_test(test_nd_read),
		cmocka_unit_test(test_requests), cmocka_unit_test(test_chained),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
