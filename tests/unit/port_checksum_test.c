// Checksums that packets come without.

#include "offload_frame.h"

#include "port/crc32c.h"

static void checksum_check(bool v6, uint8_t protocol, uint32_t payload)
{
	struct shape shape = frame_build(0, v6, protocol, payload);
	struct virtio_net_hdr header = header_build(&shape, VIRTIO_NET_HDR_GSO_NONE, 0);
	struct rte_mbuf *packet;
	static uint8_t bytes[8192];

	// Whatever is in the field.
	write16(offload_frame + shape.l4 + header.csum_offset, 0xabcd);
	packet = packet_make(shape.length, 100);
	assert_int_equal(offload_from_virtio(packet, &header), OFFLOAD_READY);
	assert_true(packet->ol_flags & PACKET_UNFINISHED);
	assert_int_equal(packet_wire_size(packet), shape.length);
	assert_true(packet_complete_checksum(packet));
	assert_int_equal(packet->ol_flags, 0);
	assert_int_equal(packet_take(packet, bytes), shape.length);
	ip_check(bytes + 14, shape.length - 14, true);
}

static void test_checksums(void **state)
{
	static const uint32_t sizes[] = {0, 1, 2, 31, 1400, 3001};
	unsigned int i;

	for (i = 0; i < RTE_DIM(sizes) * 4; i++)
		checksum_check(i & 1, i & 2 ? 6 : 17, sizes[i / 4]);
}

// A UDP checksum that comes out as zero is sent as its other zero (RFC 768).
static void test_udp_zero(void **state)
{
	struct shape shape = frame_build(0, false, 17, 2);
	struct virtio_net_hdr header = header_build(&shape, VIRTIO_NET_HDR_GSO_NONE, 0);
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(offload_frame + 14);
	struct rte_mbuf *packet;
	uint8_t bytes[256];
	uint16_t sum;

	memset(offload_frame + shape.data, 0, 2);
	sum = rte_ipv4_udptcp_cksum(ip, ip + 1);
	memcpy(offload_frame + shape.data, &sum, 2);
	packet = packet_make(shape.length, 100);
	assert_int_equal(offload_from_virtio(packet, &header), OFFLOAD_READY);
	assert_true(packet_complete_checksum(packet));
	packet_take(packet, bytes);
	assert_int_equal(read16(bytes + shape.l4 + 6), 0xffff);
}

// What has no form inside is completed at once: an ICMP checksum, one behind an unknown header,
// frames with padding.
static void test_other_checksums(void **state)
{
	struct shape shape = frame_build(0, false, 6, 100);
	struct virtio_net_hdr header = header_build(&shape, VIRTIO_NET_HDR_GSO_NONE, 0);
	struct rte_mbuf *packet;
	uint8_t bytes[256];

	offload_frame[23] = 1;
	header.csum_offset = 2;
	memset(offload_frame + shape.l4 + 2, 0, 2);
	packet = packet_make(shape.length, 60);
	assert_int_equal(offload_from_virtio(packet, &header), OFFLOAD_READY);
	assert_int_equal(packet->ol_flags, 0);
	packet_take(packet, bytes);
	assert_int_equal(rte_raw_cksum(bytes + shape.l4, shape.length - shape.l4), 0xffff);

	shape = frame_build(0, false, 6, 100);
	header = header_build(&shape, VIRTIO_NET_HDR_GSO_NONE, 0);
	write16(offload_frame + 16, shape.length - 14 - 6);
	packet = packet_make(shape.length, 60);
	assert_int_equal(offload_from_virtio(packet, &header), OFFLOAD_READY);
	assert_int_equal(packet->ol_flags, 0);
	rte_pktmbuf_free(packet);
}

static void test_sctp(void **state)
{
	struct shape shape = frame_build(0, true, 17, 101);
	struct virtio_net_hdr header = header_build(&shape, VIRTIO_NET_HDR_GSO_NONE, 0);
	struct rte_mbuf *packet;
	uint8_t bytes[256];
	uint32_t crc;

	// The check value of CRC32c.
	memcpy(offload_frame,
	       "\0\0\0\0"
	       "123456789",
	       13);
	packet = packet_make(13, 7);
	assert_true(crc32c_complete(packet, 4, 13, 0));
	memcpy(&crc, rte_pktmbuf_mtod(packet, void *), 4);
	assert_int_equal(rte_le_to_cpu_32(crc), 0xe3069283);
	assert_false(crc32c_complete(packet, 4, 14, 0));
	rte_pktmbuf_free(packet);

	shape = frame_build(0, true, 17, 101);
	offload_frame[20] = 132;
	header.csum_offset = 8;
	packet = packet_make(shape.length, 70);
	assert_int_equal(offload_from_virtio(packet, &header), OFFLOAD_READY);
	packet_take(packet, bytes);
	memcpy(&crc, bytes + shape.l4 + 8, 4);
	memcpy(offload_frame, bytes, shape.length);
	packet = packet_make(shape.length, 200);
	assert_true(crc32c_complete(packet, shape.l4, shape.length, shape.l4 + 8));
	assert_memory_equal(rte_pktmbuf_mtod(packet, uint8_t *) + shape.l4 + 8, &crc, 4);
	rte_pktmbuf_free(packet);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_checksums),
		cmocka_unit_test(test_udp_zero),
		cmocka_unit_test(test_other_checksums),
		cmocka_unit_test(test_sctp),
	};

	return offload_tests_run(tests);
}
