// Unfinished packets in tunnels.

#include "offload_frame.h"

#include "port/segment.h"

// Into a tunnel and out of it, whole or in segments; and what came out is as it went in.
static void test_tunnel(void **state)
{
	struct shape shape = frame_build(0, true, 6, PAYLOAD);
	struct virtio_net_hdr header = header_build(&shape, VIRTIO_NET_HDR_GSO_TCPV6, 1400);
	struct rte_mbuf *packet = packet_make(shape.length, 2048), *segment;
	struct segmenter segmenter;
	uint8_t bytes[2048], *front;
	uint32_t count = 0, length;
	uint64_t lengths;

	assert_int_equal(offload_from_virtio(packet, &header), OFFLOAD_READY);
	lengths = packet->tx_offload;
	assert_true(packet_encapsulate(packet, false, 40, 16));
	front = (uint8_t *)rte_pktmbuf_prepend(packet, 70);
	ip_build(front, true, 17, 16);
	memset(front + 54, 0, 16);
	assert_int_equal(packet_wire_size(packet), 70 + shape.data + 1400);
	assert_false(offload_suffices(packet->ol_flags, PORT_OFFLOAD_TSO6 | PORT_OFFLOAD_CHECKSUM));
	assert_true(segmenter_begin(&segmenter, packet, false));
	while (!segmenter_done(&segmenter)) {
		segment = segmenter_next(&segmenter, offload_pool);
		assert_non_null(segment);
		assert_true(offload_suffices(segment->ol_flags, PORT_OFFLOAD_TUNNEL_CHECKSUM));
		if (count++ & 1) {
			// The other side may find it as it is.
			rte_pktmbuf_adj(segment, 70);
			packet_decapsulate(segment, 70);
			assert_true(packet_complete_checksum(segment));
			length = packet_take(segment, bytes);
			ip_check(bytes + 14, length - 14, true);
		} else {
			assert_true(packet_complete_checksum(segment));
			length = packet_take(segment, bytes);
			ip_check(bytes + 14, length - 14, false);
			ip_check(bytes + 84, length - 84, true);
		}
	}
	rte_pktmbuf_adj(packet, 70);
	packet_decapsulate(packet, 70);
	assert_int_equal(packet->tx_offload, lengths);
	packet_grow_header(packet, 4);
	assert_int_equal(packet->l2_len, 18);
	packet_grow_header(packet, -4);
	assert_int_equal(packet->l2_len, 14);
	rte_pktmbuf_free(packet);
	assert_int_equal(rte_mempool_in_use_count(offload_pool), 0);
}

// An outer checksum that is missing is nobody's any more.
static void test_outer_checksum(void **state)
{
	struct shape shape = frame_build(4, false, 6, 100);
	struct virtio_net_hdr header = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34, .csum_offset = 6};
	struct rte_mbuf *packet = packet_make(shape.length, 2048);

	assert_int_equal(offload_from_virtio(packet, &header), OFFLOAD_READY);
	rte_pktmbuf_adj(packet, 50);
	packet_decapsulate(packet, 50);
	assert_int_equal(packet->ol_flags, 0);
	rte_pktmbuf_free(packet);
	assert_int_equal(rte_mempool_in_use_count(offload_pool), 0);
}

// A tunnel in a tunnel: the inner checksum is completed before.
static void test_two_tunnels(void **state)
{
	struct shape shape = frame_build(4, false, 6, 100);
	struct virtio_net_hdr header = header_build(&shape, VIRTIO_NET_HDR_GSO_NONE, 0);
	struct rte_mbuf *packet = packet_make(shape.length, 2048);
	uint8_t bytes[2048];
	uint32_t length;

	assert_int_equal(offload_from_virtio(packet, &header), OFFLOAD_READY);
	assert_true(packet->ol_flags & PACKET_TUNNELLED);
	assert_true(packet_encapsulate(packet, true, 20, 16));
	assert_int_equal(packet->ol_flags, 0);
	length = packet_take(packet, bytes);
	ip_check(bytes + shape.ip, length - shape.ip, true);
	assert_int_equal(rte_mempool_in_use_count(offload_pool), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tunnel),
		cmocka_unit_test(test_outer_checksum),
		cmocka_unit_test(test_two_tunnels),
	};

	return offload_tests_run(tests);
}
