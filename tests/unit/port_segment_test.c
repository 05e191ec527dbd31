// Large packets, cut into segments and fragments.

#include "offload_frame.h"

#include "port/segment.h"

static void tcp_segment_check(const struct shape *shape, const uint8_t *l4, uint32_t offset,
			      bool first, bool last)
{
	assert_int_equal(read16(l4 + 6), (0xff00 + offset) & 0xffff);
	assert_int_equal(!!(l4[13] & RTE_TCP_FIN_FLAG), last);
	assert_int_equal(!!(l4[13] & RTE_TCP_PSH_FLAG), last);
	assert_int_equal(!!(l4[13] & RTE_TCP_CWR_FLAG), first);
}

// Cuts the frame in `offload_frame` and checks every segment.
static void segments_check(const struct shape *shape, uint8_t type, uint16_t size, uint32_t head)
{
	struct virtio_net_hdr header = header_build(shape, type, size);
	struct rte_mbuf *packet = packet_make(shape->length, head), *segment;
	uint32_t offset = 0, count = 0, total, length, part;
	static uint8_t bytes[70000];
	struct segmenter segmenter;

	assert_int_equal(offload_from_virtio(packet, &header),
			 shape->outer ? OFFLOAD_CUT : OFFLOAD_READY);
	assert_int_equal(packet_wire_size(packet), shape->data + size);
	assert_true(segmenter_begin(&segmenter, packet, true));
	total = segmenter_left(&segmenter);
	assert_int_equal(total, (shape->length - shape->data + size - 1) / size);
	if (!shape->outer)
		assert_int_equal(packet_wire_count(packet), total);
	while (!segmenter_done(&segmenter)) {
		assert_int_equal(segmenter_left(&segmenter), total - count);
		segment = segmenter_next(&segmenter, offload_pool);
		assert_non_null(segment);
		assert_int_equal(segment->ol_flags, 0);
		length = packet_take(segment, bytes);
		part = length - shape->data;
		ip_check(bytes + shape->ip, length - shape->ip, true);
		assert_memory_equal(bytes + shape->data, offload_frame + shape->data + offset,
				    part);
		if (shape->outer) {
			ip_check(bytes + 14, length - 14, false);
			assert_int_equal(read16(bytes + (offload_frame[14] >> 4 == 4 ? 38 : 58)),
					 length - (offload_frame[14] >> 4 == 4 ? 34 : 54));
		}
		if (!shape->v6)
			assert_int_equal(read16(bytes + shape->ip + 4), (0xfffe + count) & 0xffff);
		if (shape->protocol == 6)
			tcp_segment_check(shape, bytes + shape->l4, offset, count == 0,
					  count + 1 == total);
		else
			assert_int_equal(read16(bytes + shape->l4 + 4), 8 + part);
		offset += part;
		count++;
	}
	assert_int_equal(offset, shape->length - shape->data);
	assert_int_equal(count, total);
	rte_pktmbuf_free(packet);
	assert_int_equal(rte_mempool_in_use_count(offload_pool), 0);
}

static void test_segments(void **state)
{
	// Odd ones, larger than a mbuf, the last segment one byte.
	static const uint16_t sizes[] = {1400, 333, 32, 2500, 4999};
	static const uint32_t heads[] = {2048, 200, 150};
	static const int outers[] = {0, 4, 6};
	struct shape shape;
	unsigned int i, j, k;
	uint8_t type;
	bool v6;

	for (i = 0; i < RTE_DIM(sizes); i++)
		for (j = 0; j < RTE_DIM(heads); j++)
			for (k = 0; k < RTE_DIM(outers) * 2; k++) {
				v6 = k & 1;
				type = v6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;
				shape = frame_build(outers[k / 2], v6, 6, PAYLOAD);
				segments_check(&shape, type | (k & 2 ? ECN : 0), sizes[i],
					       heads[j]);
				if (sizes[i] * 128 < PAYLOAD)
					continue;
				shape = frame_build(outers[k / 2], v6, 17, PAYLOAD);
				segments_check(&shape, GSO_UDP_L4, sizes[i], heads[j]);
			}
	shape = frame_build(0, true, 6, 65535 - 20);
	segments_check(&shape, VIRTIO_NET_HDR_GSO_TCPV6, 1428, 2048);
}

// The outer UDP checksum, where there is one, covers the finished segment.
static void test_outer_checksum(void **state)
{
	struct shape shape = frame_build(4, false, 6, PAYLOAD);
	struct virtio_net_hdr header = header_build(&shape, VIRTIO_NET_HDR_GSO_TCPV4, 1000);
	struct segmenter segmenter;
	struct rte_mbuf *packet;
	uint8_t bytes[2048];
	uint32_t length;

	write16(offload_frame + 40, 0x1234);
	packet = packet_make(shape.length, 2048);
	assert_int_equal(offload_from_virtio(packet, &header), OFFLOAD_CUT);
	assert_true(segmenter_begin(&segmenter, packet, false));
	while (!segmenter_done(&segmenter)) {
		length = packet_take(segmenter_next(&segmenter, offload_pool), bytes);
		ip_check(bytes + 14, length - 14, true);
		ip_check(bytes + shape.ip, length - shape.ip, true);
	}
	rte_pktmbuf_free(packet);
}

// Puts fragments together and checks the datagram's checksum.
static void fragments_check(bool v6, int outer, uint16_t size)
{
	struct shape shape = frame_build(0, v6, 17, PAYLOAD + 3);
	struct virtio_net_hdr header = header_build(&shape, VIRTIO_NET_HDR_GSO_UDP, size);
	struct rte_mbuf *packet = packet_make(shape.length, 150);
	uint32_t offset = 0, length, ip = 14, extra = v6 ? 8 : 0, part, first_id = 0;
	static uint8_t bytes[4096], whole[16384];
	struct segmenter segmenter;
	uint16_t field;

	assert_int_equal(offload_from_virtio(packet, &header), OFFLOAD_READY);
	assert_true(packet->ol_flags & PACKET_UFO);
	assert_int_equal(packet_wire_size(packet), shape.l4 + (size & ~7u) + extra);
	assert_int_equal(packet_wire_count(packet), (PAYLOAD + 3 + 8) / (size & ~7u) + 1);
	if (outer) {
		assert_true(packet_encapsulate(packet, true, 20, 16));
		uint8_t *front = (uint8_t *)rte_pktmbuf_prepend(packet, 50);
		assert_int_equal(ip_build(front, false, 17, 16), 34);
		memset(front + 34, 0, 16);
		ip += 50;
	}
	assert_true(segmenter_begin(&segmenter, packet, false));
	while (!segmenter_done(&segmenter)) {
		length = packet_take(segmenter_next(&segmenter, offload_pool), bytes);
		ip_check(bytes + ip, length - ip, false);
		if (outer)
			ip_check(bytes + 14, length - 14, false);
		part = length - ip - (v6 ? 40 : 20) - extra;
		if (v6) {
			assert_int_equal(bytes[ip + 6], 44);
			assert_int_equal(bytes[ip + 40], 17);
			field = read16(bytes + ip + 42);
			assert_int_equal(field & 0xfff8, offset);
			assert_int_equal(field & 1, !segmenter_done(&segmenter));
			if (offset == 0)
				first_id = read16(bytes + ip + 44);
			assert_int_equal(read16(bytes + ip + 44), first_id);
		} else {
			field = read16(bytes + ip + 6);
			assert_int_equal((field & 0x1fff) * 8u, offset);
			assert_int_equal(field >> 13, segmenter_done(&segmenter) ? 0 : 1);
			assert_int_equal(read16(bytes + ip + 4), 0xfffe);
		}
		memcpy(whole + (v6 ? 40 : 20) + offset, bytes + length - part, part);
		offset += part;
	}
	assert_int_equal(offset, PAYLOAD + 3 + 8);
	memcpy(whole, offload_frame + 14, v6 ? 40 : 20);
	ip_check(whole, (v6 ? 40 : 20) + offset, true);
	rte_pktmbuf_free(packet);
	assert_int_equal(rte_mempool_in_use_count(offload_pool), 0);
}

static void test_fragments(void **state)
{
	fragments_check(false, 0, 1480);
	fragments_check(true, 0, 1448);
	fragments_check(false, 0, 1003);
	fragments_check(true, 0, 257);
	fragments_check(false, 1, 1400);
	fragments_check(true, 1, 1400);
}

// Without buffers: every segment that is lost is known.
static void test_no_buffers(void **state)
{
	struct shape shape = frame_build(0, false, 6, PAYLOAD);
	struct virtio_net_hdr header = header_build(&shape, VIRTIO_NET_HDR_GSO_TCPV4, 100);
	struct rte_mbuf *packet = packet_make(shape.length, 2048), *held[1023];
	uint32_t count = 0, lost = 0, left;
	struct segmenter segmenter;

	while ((held[count] = rte_pktmbuf_alloc(offload_pool)))
		count++;
	assert_int_equal(offload_from_virtio(packet, &header), OFFLOAD_READY);
	assert_true(segmenter_begin(&segmenter, packet, true));
	while (!segmenter_done(&segmenter)) {
		left = segmenter_left(&segmenter);
		assert_null(segmenter_next(&segmenter, offload_pool));
		lost += left - segmenter_left(&segmenter);
	}
	assert_int_equal(lost, PAYLOAD / 100);
	rte_pktmbuf_free_bulk(held, count);
	rte_pktmbuf_free(packet);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_segments),
		cmocka_unit_test(test_outer_checksum),
		cmocka_unit_test(test_fragments),
		cmocka_unit_test(test_no_buffers),
	};

	return offload_tests_run(tests);
}
