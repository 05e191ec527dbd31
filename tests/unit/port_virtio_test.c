// What virtio headers say of packets: held against them, taken over, said again.

#include "offload_frame.h"

#include "port/segment.h"

static enum offload_verdict verdict_of(const struct shape *shape, struct virtio_net_hdr header)
{
	struct rte_mbuf *packet = packet_make(shape->length, 2048);
	enum offload_verdict verdict = offload_from_virtio(packet, &header);

	rte_pktmbuf_free(packet);
	return verdict;
}

#define BROKEN(change)                                                         \
	do {                                                                   \
		shape = frame_build(0, false, 6, PAYLOAD);                     \
		header = header_build(&shape, VIRTIO_NET_HDR_GSO_TCPV4, 1400); \
		assert_int_equal(verdict_of(&shape, header), OFFLOAD_READY);   \
		change;                                                        \
		assert_int_equal(verdict_of(&shape, header), OFFLOAD_BROKEN);  \
	} while (0)

static void test_contradictions(void **state)
{
	struct virtio_net_hdr header;
	struct shape shape;

	BROKEN(header.flags = 0);
	BROKEN(header.gso_size = 0);
	BROKEN(header.gso_size = 31);
	BROKEN(header.gso_type = VIRTIO_NET_HDR_GSO_TCPV6);
	BROKEN(header.gso_type = VIRTIO_NET_HDR_GSO_UDP);
	BROKEN(header.gso_type = GSO_UDP_L4);
	BROKEN(header.gso_type = 2);
	BROKEN(header.gso_type = 0x7f);
	BROKEN(header.csum_start += 2);
	BROKEN(header.csum_start = 0);
	BROKEN(header.csum_start = 65535);
	BROKEN(header.csum_offset = 6);
	BROKEN(header.csum_offset = 65535);
	BROKEN(offload_frame[12] = 0x88);	      // no IP
	BROKEN(offload_frame[14] = 0x65);	      // another version
	BROKEN(offload_frame[14] = 0x44);	      // a header of 16 bytes
	BROKEN(offload_frame[14] = 0x4f);	      // the checksum is then inside it
	BROKEN(write16(offload_frame + 16, 0));	      // IP length
	BROKEN(write16(offload_frame + 16, PAYLOAD)); // padding behind it
	BROKEN(offload_frame[20] = 0x20);	      // a fragment
	BROKEN(offload_frame[21] = 1);
	BROKEN(offload_frame[23] = 17);		     // another protocol
	BROKEN(offload_frame[shape.l4 + 12] = 0x40); // a TCP header of 16 bytes
	BROKEN(shape.length = shape.data - 1);	     // the TCP header ends behind the frame
	BROKEN(shape.length = 20);
	// UDP whose own length is another, and more datagrams than one sends.
	shape = frame_build(0, true, 17, PAYLOAD);
	assert_int_equal(verdict_of(&shape, header_build(&shape, GSO_UDP_L4, 1000)), OFFLOAD_READY);
	assert_int_equal(verdict_of(&shape, header_build(&shape, GSO_UDP_L4, 30)), OFFLOAD_BROKEN);
	assert_int_equal(verdict_of(&shape, header_build(&shape, VIRTIO_NET_HDR_GSO_UDP, 200)),
			 OFFLOAD_BROKEN);
	write16(offload_frame + shape.l4 + 4, PAYLOAD);
	assert_int_equal(verdict_of(&shape, header_build(&shape, GSO_UDP_L4, 1000)),
			 OFFLOAD_BROKEN);
	assert_int_equal(rte_mempool_in_use_count(offload_pool), 0);
}

// One packet is not allowed to cost as much as thousands.
static void test_segments_are_limited(void **state)
{
	struct shape shape = frame_build(0, false, 6, 256 * 250);
	struct virtio_net_hdr header = header_build(&shape, VIRTIO_NET_HDR_GSO_TCPV4, 250);

	assert_int_equal(verdict_of(&shape, header), OFFLOAD_READY);
	header.gso_size--;
	assert_int_equal(verdict_of(&shape, header), OFFLOAD_BROKEN);
	shape = frame_build(0, true, 6, 256 * 32);
	header = header_build(&shape, VIRTIO_NET_HDR_GSO_TCPV6, 32);
	assert_int_equal(verdict_of(&shape, header), OFFLOAD_READY);
	shape = frame_build(0, true, 6, 256 * 32 + 1);
	assert_int_equal(verdict_of(&shape, header), OFFLOAD_BROKEN);
}

// Nothing to cut: one packet with an unfinished checksum.
static void test_small_segmentation(void **state)
{
	struct shape shape = frame_build(0, false, 6, 1000);
	struct virtio_net_hdr header = header_build(&shape, VIRTIO_NET_HDR_GSO_TCPV4, 1000);
	struct rte_mbuf *packet = packet_make(shape.length, 2048);

	assert_int_equal(offload_from_virtio(packet, &header), OFFLOAD_READY);
	assert_int_equal(packet->ol_flags & (PACKET_SEGMENTATION | PACKET_UNFINISHED),
			 RTE_MBUF_F_TX_TCP_CKSUM);
	rte_pktmbuf_free(packet);
}

static void test_to_virtio(void **state)
{
	static const uint8_t types[] = {VIRTIO_NET_HDR_GSO_TCPV4 | ECN,
					VIRTIO_NET_HDR_GSO_TCPV6 | ECN, GSO_UDP_L4,
					VIRTIO_NET_HDR_GSO_UDP, VIRTIO_NET_HDR_GSO_NONE};
	struct virtio_net_hdr header, again;
	struct rte_ipv6_hdr *ip;
	struct rte_mbuf *packet;
	struct shape shape;
	unsigned int i;
	uint8_t *l4;

	for (i = 0; i < RTE_DIM(types); i++) {
		shape = frame_build(0, i != 0, i < 2 ? 6 : 17, PAYLOAD);
		header = header_build(&shape, types[i], types[i] ? 1400 : 0);
		packet = packet_make(shape.length, 2048);
		assert_int_equal(offload_from_virtio(packet, &header), OFFLOAD_READY);
		assert_true(offload_to_virtio(packet, &again));
		again.hdr_len = 0;
		assert_memory_equal(&again, &header, sizeof(header));
		rte_pktmbuf_free(packet);
	}
	// The field holds the pseudo header's sum over the whole length, as Linux wants it.
	shape = frame_build(0, true, 6, PAYLOAD);
	header = header_build(&shape, VIRTIO_NET_HDR_GSO_TCPV6, 1400);
	packet = packet_make(shape.length, 2048);
	assert_int_equal(offload_from_virtio(packet, &header), OFFLOAD_READY);
	assert_true(offload_to_virtio(packet, &again));
	ip = rte_pktmbuf_mtod_offset(packet, struct rte_ipv6_hdr *, 14);
	l4 = (uint8_t *)(ip + 1);
	assert_int_equal(*(uint16_t *)(l4 + 16), rte_ipv6_phdr_cksum(ip, 0));
	rte_pktmbuf_free(packet);
}

// A large send with CWR is one for those only that take such ones: its first segment alone has it.
static void test_cwr(void **state)
{
	const uint32_t whole = PORT_OFFLOAD_CHECKSUM | PORT_OFFLOAD_TSO4;
	struct shape shape = frame_build(0, false, 6, PAYLOAD);
	struct virtio_net_hdr header = header_build(&shape, VIRTIO_NET_HDR_GSO_TCPV4, 1400);

	for (unsigned int cwr = 0; cwr < 2; cwr++) {
		struct rte_mbuf *packet = packet_make(shape.length, 2048);
		uint8_t *tcp = rte_pktmbuf_mtod_offset(packet, uint8_t *, 34);

		if (!cwr)
			tcp[13] &= (uint8_t)~RTE_TCP_CWR_FLAG;
		assert_int_equal(offload_from_virtio(packet, &header), OFFLOAD_READY);
		assert_int_equal(!!(packet->ol_flags & PACKET_CWR), cwr);
		assert_int_equal(offload_suffices(packet->ol_flags, whole), !cwr);
		assert_true(offload_suffices(packet->ol_flags, whole | PORT_OFFLOAD_TSO_CWR));
		rte_pktmbuf_free(packet);
	}
}

// Frames of a good shape with some bytes and header fields changed.
static void test_hostile(void **state)
{
	uint32_t round, i, packets;
	struct virtio_net_hdr header, again;
	struct segmenter segmenter;
	struct rte_mbuf *packet, *segment;
	struct shape shape;
	enum offload_verdict verdict;

	srand(1);
	for (round = 0; round < 100000; round++) {
		shape = frame_build(round % 3 ? 0 : 4, round & 1, round & 2 ? 6 : 17, 300);
		header = header_build(&shape, (uint8_t)(rand() % 6), (uint16_t)(rand() % 300));
		for (i = 0; i < 3; i++)
			offload_frame[rand() % shape.data] = (uint8_t)rand();
		if (rand() % 4 == 0)
			header.csum_start = (uint16_t)(rand() % 200);
		if (rand() % 8 == 0)
			shape.length = 14 + (uint32_t)rand() % shape.length;
		packet = packet_make(shape.length, rand() % 2 ? 2048 : 100);
		verdict = offload_from_virtio(packet, &header);
		packets = 0;
		if (verdict != OFFLOAD_BROKEN && packet->ol_flags & PACKET_UNFINISHED)
			assert_true(offload_to_virtio(packet, &again));
		if (verdict != OFFLOAD_BROKEN && packet->ol_flags & PACKET_SEGMENTATION &&
		    segmenter_begin(&segmenter, packet, rand() % 2)) {
			while (!segmenter_done(&segmenter)) {
				segment = segmenter_next(&segmenter, offload_pool);
				assert_non_null(segment);
				assert_true(++packets <= shape.length);
				rte_pktmbuf_free(segment);
			}
		} else if (verdict != OFFLOAD_BROKEN && packet->ol_flags & PACKET_UNFINISHED) {
			assert_true(packet_complete_checksum(packet) ||
				    packet->ol_flags & PACKET_SEGMENTATION);
		}
		rte_pktmbuf_free(packet);
	}
	assert_int_equal(rte_mempool_in_use_count(offload_pool), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_contradictions),
		cmocka_unit_test(test_segments_are_limited),
		cmocka_unit_test(test_small_segmentation),
		cmocka_unit_test(test_to_virtio),
		cmocka_unit_test(test_cwr),
		cmocka_unit_test(test_hostile),
	};

	return offload_tests_run(tests);
}
