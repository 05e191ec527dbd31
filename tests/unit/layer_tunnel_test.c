// The tunnel's headers: what is put on comes off again, with right lengths and checksums; and what
// is refused.

#include "test.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "layer/tunnel/tunnel.h"
#include "layer_fixture.h"

static const struct mac_address uplink_mac = {{0x02, 0, 0, 0, 0, 0xaa}};
static const struct mac_address next_hop_mac = {{0x02, 0, 0, 0, 0, 0xbb}};

// Two nodes with tunnel addresses of either family.
static void open_nodes(struct layer_fixture nodes[2], bool v6)
{
	char yaml[1024];

	snprintf(yaml, sizeof(yaml),
		 "kind: Node\nname: a\nvtep: '%s'\nuplink: {netdev: up0}\n"
		 "---\nkind: Node\nname: b\nvtep: '%s'\nuplink: {netdev: up0}\n"
		 "---\nkind: Network\nname: n\nvni: 16777215\nmtu: 9000\nsubnets: [{cidr: "
		 "10.1.0.0/24}]\n"
		 "---\nkind: Port\nname: p\nnode: a\nnetwork: n\nmac: '52:54:00:00:00:01'\n"
		 "addresses: [10.1.0.11]\ndevice: {tap: {name: p}}\n"
		 "---\nkind: Port\nname: q\nnode: b\nnetwork: n\nmac: '52:54:00:00:00:02'\n"
		 "addresses: [10.1.0.12]\ndevice: {tap: {name: q}}\n",
		 v6 ? "2001:db8::1/64" : "192.0.2.1/24", v6 ? "2001:db8::2/64" : "192.0.2.2/24");
	for (unsigned int i = 0; i < 2; i++) {
		fixture_open(&nodes[i], i ? "b" : "a");
		fixture_apply(&nodes[i], yaml);
	}
	tables_set_uplink(nodes[1].tables, &next_hop_mac, 0);
}

static void encapsulate(const struct layer_fixture *node, const struct frame *inner, uint32_t hash,
			struct frame *outer)
{
	const struct endpoint *endpoint = fixture_endpoint(node->tables, "q");
	struct buffer buffer;

	buffer_put(&buffer, inner->data, inner->size);
	assert_int_equal(
		tunnel_encapsulate(node->tables, endpoint, next_hop_mac, &buffer.mbuf, hash),
		DROP_NONE);
	outer->size = buffer.mbuf.data_len;
	assert_int_equal(buffer.mbuf.pkt_len, outer->size);
	memcpy(outer->data, rte_pktmbuf_mtod(&buffer.mbuf, void *), outer->size);
}

static void make_inner(struct frame *frame, uint32_t payload)
{
	frame_ethernet(frame, "52:54:00:00:00:02", "52:54:00:00:00:01", 0);
	frame_ip(frame, "10.1.0.11", "10.1.0.12", 64, 0);
	frame_udp(frame, 1, 2);
	frame_payload(frame, payload);
	frame_finish(frame);
}

static void test_round_trip(void **state)
{
	for (unsigned int v6 = 0; v6 < 2; v6++) {
		struct layer_fixture nodes[2];

		open_nodes(nodes, v6);
		for (uint32_t payload = 0; payload < 1400; payload++) {
			struct frame inner, outer;
			struct tunnel_outer result;
			struct packet packet;
			uint32_t l4 = v6 ? 54 : 34;

			make_inner(&inner, payload);
			encapsulate(&nodes[0], &inner, payload * 0x9e3779b9, &outer);
			assert_int_equal(outer.size, inner.size + l4 + 16);
			assert_true(frame_checksums_right(outer.data, 14, l4, 0));
			assert_int_equal(frame_parse(&outer, &packet), DROP_NONE);
			assert_int_equal(packet.key.protocol, IPPROTO_UDP);
			assert_int_equal(packet.key.destination_port, htons(4789));
			assert_true(ntohs(packet.key.source_port) >= 0xc000);
			assert_int_equal(packet.ip_length, outer.size - 14);
			assert_true(mac_equal(&packet.source_mac, &uplink_mac));
			assert_true(mac_equal(&packet.destination_mac, &next_hop_mac));
			assert_int_equal(tunnel_receive(nodes[1].tables, &packet,
							guard_put(outer.data, outer.size),
							outer.size, &result),
					 TUNNEL_INNER);
			assert_int_equal(result.network, fixture_network(nodes[1].tables, "n"));
			assert_int_equal(result.peer, fixture_peer(nodes[1].tables, "a"));
			assert_int_equal(outer.size - result.offset, inner.size);
			assert_memory_equal(outer.data + result.offset, inner.data, inner.size);
		}
		fixture_close(&nodes[0]);
		fixture_close(&nodes[1]);
	}
}

struct damage {
	const char *name;
	uint32_t at[2]; // in the outer frame, on IPv4 and on IPv6
	uint8_t value;
	enum drop_reason reason;
};

static const struct damage damages[] = {
	{"another host's MAC address", {5, 5}, 0xcc, DROP_NOT_FOR_US},
	{"another host's address", {33, 53}, 9, DROP_NOT_FOR_US},
	{"another port", {37, 57}, 1, DROP_NOT_FOR_US},
	{"no VNI flag", {42, 62}, 0, DROP_TUNNEL_HEADER},
	{"VNI of nobody", {46, 66}, 1, DROP_UNKNOWN_VNI},
	{"address of no node", {29, 37}, 9, DROP_UNKNOWN_VTEP},
};

static void test_refused(void **state)
{
	for (unsigned int v6 = 0; v6 < 2; v6++) {
		struct layer_fixture nodes[2];
		struct tunnel_outer result;
		struct frame inner, outer;
		struct packet packet;

		open_nodes(nodes, v6);
		make_inner(&inner, 10);
		for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
			encapsulate(&nodes[0], &inner, 1, &outer);
			outer.data[damages[i].at[v6]] = damages[i].value;
			if (!v6) {
				uint16_t sum;

				outer.data[24] = outer.data[25] = 0;
				sum = reference_checksum(outer.data + 14, 20, 0);
				outer.data[24] = (uint8_t)(sum >> 8);
				outer.data[25] = (uint8_t)sum;
			}
			assert_int_equal(frame_parse(&outer, &packet), DROP_NONE);
			assert_int_equal(tunnel_receive(nodes[1].tables, &packet, outer.data,
							outer.size, &result),
					 TUNNEL_DROP);
			check_case(result.reason == damages[i].reason, "%s: %s\n", damages[i].name,
				   drop_reason_name(result.reason));
		}
		// Bits that RFC 7348 reserves are ignored.
		encapsulate(&nodes[0], &inner, 1, &outer);
		outer.data[(v6 ? 54 : 34) + 8] = 0xff;
		outer.data[(v6 ? 54 : 34) + 15] = 0xff;
		assert_int_equal(frame_parse(&outer, &packet), DROP_NONE);
		assert_int_equal(
			tunnel_receive(nodes[1].tables, &packet, outer.data, outer.size, &result),
			TUNNEL_INNER);
		fixture_close(&nodes[0]);
		fixture_close(&nodes[1]);
	}
}

// Cut short inside the tunnel's headers: as a packet, and as a first segment.
static void test_truncated(void **state)
{
	struct layer_fixture nodes[2];
	struct tunnel_outer result;
	struct packet packet;
	struct frame outer;

	open_nodes(nodes, false);
	for (uint32_t size = 0; size < 40; size++) {
		enum tunnel_receive verdict;

		frame_ethernet(&outer, "02:00:00:00:00:bb", "02:00:00:00:00:aa", 0);
		frame_ip(&outer, "192.0.2.1", "192.0.2.2", 64, 0);
		frame_udp(&outer, 50000, 4789);
		frame_payload(&outer, size);
		memcpy(outer.data + 42, (uint8_t[8]){8, 0, 0, 0, 0xff, 0xff, 0xff, 0},
		       size < 8 ? size : 8);
		frame_finish(&outer);
		assert_int_equal(frame_parse(&outer, &packet), DROP_NONE);
		verdict = tunnel_receive(nodes[1].tables, &packet,
					 guard_put(outer.data, outer.size), outer.size, &result);
		if (size < 8 + 14) {
			assert_int_equal(verdict, TUNNEL_DROP);
			assert_int_equal(result.reason, DROP_TRUNCATED);
		} else {
			assert_int_equal(verdict, TUNNEL_INNER);
		}
		for (uint32_t available = 42; available < 50 && size >= 22; available++) {
			assert_int_equal(packet_parse(guard_put(outer.data, available), available,
						      outer.size, &packet),
					 DROP_NONE);
			assert_int_equal(tunnel_receive(nodes[1].tables, &packet,
							guard_put(outer.data, available), available,
							&result),
					 TUNNEL_DROP);
		}
	}
	fixture_close(&nodes[0]);
	fixture_close(&nodes[1]);
}

static void test_neighbour_and_others(void **state)
{
	struct layer_fixture nodes[2];
	struct tunnel_outer result;
	struct packet packet;
	struct frame frame;

	open_nodes(nodes, false);
	frame_ethernet(&frame, "ff:ff:ff:ff:ff:ff", "02:00:00:00:00:aa", 0);
	frame_arp(&frame, ARP_REQUEST, "02:00:00:00:00:aa", "192.0.2.1", "00:00:00:00:00:00",
		  "192.0.2.2");
	assert_int_equal(frame_parse(&frame, &packet), DROP_NONE);
	assert_int_equal(tunnel_receive(nodes[1].tables, &packet, frame.data, frame.size, &result),
			 TUNNEL_NEIGHBOUR);
	// In a VLAN it is not ours.
	packet.vlan = 5;
	assert_int_equal(tunnel_receive(nodes[1].tables, &packet, frame.data, frame.size, &result),
			 TUNNEL_DROP);
	// A fragment of a tunnel packet.
	frame_ethernet(&frame, "02:00:00:00:00:bb", "02:00:00:00:00:aa", 0);
	frame_ip(&frame, "192.0.2.1", "192.0.2.2", 64, 0);
	frame_fragment(&frame, 0, true);
	frame_udp(&frame, 50000, 4789);
	frame_payload(&frame, 100);
	frame_finish(&frame);
	assert_int_equal(frame_parse(&frame, &packet), DROP_NONE);
	assert_int_equal(tunnel_receive(nodes[1].tables, &packet, frame.data, frame.size, &result),
			 TUNNEL_DROP);
	assert_int_equal(result.reason, DROP_TUNNEL_HEADER);
	fixture_close(&nodes[0]);
	fixture_close(&nodes[1]);
}

// A buffer without room before the frame.
static void test_no_room(void **state)
{
	struct layer_fixture nodes[2];
	struct buffer buffer;
	struct frame inner;

	open_nodes(nodes, true);
	make_inner(&inner, 10);
	buffer_put(&buffer, inner.data, inner.size);
	buffer.mbuf.data_off = TUNNEL_HEADER_SIZE_V6 - 1;
	assert_int_equal(tunnel_encapsulate(nodes[0].tables, fixture_endpoint(nodes[0].tables, "q"),
					    next_hop_mac, &buffer.mbuf, 0),
			 DROP_TOO_BIG);
	fixture_close(&nodes[0]);
	fixture_close(&nodes[1]);
}

// Until the uplink's device is open headers are whole, but for its MAC address.
static void test_uplink_closed(void **state)
{
	struct layer_fixture fixture;
	const struct peer *peer;

	fixture_open(&fixture, "a");
	fixture.uplink_closed = true;
	fixture_apply(&fixture, fixture_yaml);
	peer = &fixture.tables->peers[fixture_peer(fixture.tables, "b")];
	assert_true(peer->v4);
	assert_int_equal(peer->header_size, TUNNEL_HEADER_SIZE_V4);
	fixture_close(&fixture);
}

// A world in which node b's tunnel address is the given one.
static void move_peer(struct layer_fixture *fixture, unsigned int number)
{
	char yaml[256];

	snprintf(yaml, sizeof(yaml),
		 "kind: Node\nname: a\nvtep: 10.0.0.1/8\nuplink: {netdev: up0}\n"
		 "---\nkind: Node\nname: b\nvtep: 10.1.%u.%u/8\nuplink: {netdev: up0}\n",
		 number / 200, number % 200 + 1);
	fixture_apply(fixture, yaml);
}

// Places of underlay addresses that no tables name any more are given to others, without what was
// known about the earlier ones.
static void test_neighbours_end(void **state)
{
	struct layer_fixture fixture;
	struct neighbour *first;

	fixture_open(&fixture, "a");
	move_peer(&fixture, 0);
	first = fixture.tables->peers[fixture_peer(fixture.tables, "b")].path;
	atomic_store(&first->mac, 1);
	atomic_store(&first->path_mtu, 600);
	move_peer(&fixture, 0);
	assert_ptr_equal(fixture.tables->peers[fixture_peer(fixture.tables, "b")].path, first);
	assert_int_equal(atomic_load(&first->path_mtu), 600);
	for (unsigned int i = 1; i < 1000; i++) {
		const struct neighbour *path;

		move_peer(&fixture, i);
		path = fixture.tables->peers[fixture_peer(fixture.tables, "b")].path;
		assert_int_equal(atomic_load(&path->mac), 0);
		assert_int_equal(atomic_load(&path->path_mtu), PATH_MTU_ANY);
		assert_int_equal(fixture.neighbours.numbers.count, 1);
	}
	// One in force and one to come.
	assert_in_range(fixture.neighbours.used, 1, 2);
	fixture_close(&fixture);
}

// What nothing came of takes no places either.
static void test_neighbours_abandoned(void **state)
{
	struct neighbours neighbours;
	struct ip_address kept = ip_from_v4(htonl(0x0a000001));

	assert_true(neighbours_open(&neighbours));
	neighbours_begin(&neighbours);
	assert_non_null(neighbours_get(&neighbours, 0, &kept));
	neighbours_settle(&neighbours);
	for (uint32_t i = 0; i < 2 * NEIGHBOURS_MAX; i++) {
		struct ip_address other = ip_from_v4(htonl(0x0b000000 + i));

		if (i % 1024 == 0)
			neighbours_begin(&neighbours);
		assert_non_null(neighbours_get(&neighbours, 0, &other));
		if (i % 1024 == 1023)
			neighbours_abandon(&neighbours);
	}
	assert_int_equal(neighbours.numbers.count, 1);
	assert_ptr_equal(neighbours_get(&neighbours, 0, &kept), &neighbours.entries[0]);
	neighbours_close(&neighbours);
}

// Outer headers have the class of the inner packet.
static void test_class(void **state)
{
	for (unsigned int v6 = 0; v6 < 2; v6++)
		for (unsigned int inner_v6 = 0; inner_v6 < 2; inner_v6++) {
			struct layer_fixture nodes[2];

			open_nodes(nodes, v6);
			for (unsigned int class = 0; class < 256; class ++) {
				struct frame inner, outer;

				frame_ethernet(&inner, "52:54:00:00:00:02", "52:54:00:00:00:01", 0);
				frame_ip(&inner, inner_v6 ? "fd00:1::b" : "10.1.0.11",
					 inner_v6 ? "fd00:1::c" : "10.1.0.12", 64, 0);
				frame_udp(&inner, 1, 2);
				frame_payload(&inner, 10);
				frame_finish(&inner);
				ip_set_traffic_class(inner.data + 14, !inner_v6, (uint8_t) class);
				assert_int_equal(tunnel_class(inner.data), class);
				assert_true(frame_checksums_right(inner.data, 14,
								  inner_v6 ? 54 : 34, 0));
				encapsulate(&nodes[0], &inner, 1, &outer);
				assert_int_equal(ip_traffic_class(outer.data + 14, !v6), class);
				assert_true(frame_checksums_right(outer.data, 14, v6 ? 54 : 34, 0));
			}
			fixture_close(&nodes[0]);
			fixture_close(&nodes[1]);
		}
}

// RFC 6040 figure 4, for those that change anything.
static void test_ecn_comes_out(void **state)
{
	static const struct {
		uint8_t outer, inner, result;
	} cases[] = {
		{ECN_ECT1, ECN_NONE, ECN_NONE}, {ECN_ECT1, ECN_ECT0, ECN_ECT1},
		{ECN_ECT1, ECN_ECT1, ECN_ECT1}, {ECN_ECT1, ECN_CE, ECN_CE},
		{ECN_CE, ECN_ECT0, ECN_CE},	{ECN_CE, ECN_ECT1, ECN_CE},
		{ECN_CE, ECN_CE, ECN_CE},
	};
	struct frame frame;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		make_inner(&frame, 10);
		ip_set_traffic_class(frame.data + 14, true, 0xb8 | cases[i].inner);
		assert_int_equal(tunnel_take_ecn(frame.data, cases[i].outer), DROP_NONE);
		assert_int_equal(ip_traffic_class(frame.data + 14, true), 0xb8 | cases[i].result);
		assert_true(frame_checksums_right(frame.data, 14, 34, 0));
	}
	make_inner(&frame, 10);
	assert_int_equal(tunnel_take_ecn(frame.data, ECN_CE), DROP_CONGESTION);
	// ARP knows nothing of it.
	frame.data[13] = 6;
	assert_int_equal(tunnel_take_ecn(frame.data, ECN_CE), DROP_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),     cmocka_unit_test(test_class),
		cmocka_unit_test(test_ecn_comes_out),  cmocka_unit_test(test_refused),
		cmocka_unit_test(test_truncated),      cmocka_unit_test(test_neighbour_and_others),
		cmocka_unit_test(test_no_room),	       cmocka_unit_test(test_uplink_closed),
		cmocka_unit_test(test_neighbours_end), cmocka_unit_test(test_neighbours_abandoned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
