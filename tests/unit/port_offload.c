// What packets leave to a network card: taken over from virtio headers, finished, cut, said again.

// For checking checksums.
#define ALLOW_EXPERIMENTAL_API

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <rte_eal.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include "port/crc32c.h"
#include "port/offload.h"
#include "port/segment.h"

#define PAYLOAD	   5000
#define GSO_UDP_L4 5
#define ECN	   VIRTIO_NET_HDR_GSO_ECN

static struct rte_mempool *pool;
static uint8_t buffer[70000];

static uint16_t read16(const uint8_t *bytes)
{
	return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static void write16(uint8_t *bytes, uint32_t value)
{
	bytes[0] = (uint8_t)(value >> 8);
	bytes[1] = (uint8_t)value;
}

// A frame in `buffer`: where its headers are.
struct shape {
	uint32_t outer; // 0: no tunnel
	uint32_t ip;
	uint32_t l4;
	uint32_t data; // payload
	uint32_t length;
	bool v6;
	uint8_t protocol;
};

// Ethernet and IP at `frame`, for `length` bytes behind the IP header. Returns their length.
static uint32_t ip_build(uint8_t *frame, bool v6, uint8_t protocol, uint32_t length)
{
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(frame + 14);

	memset(frame, 0, 54);
	if (v6) {
		write16(frame + 12, 0x86dd);
		frame[14] = 0x60;
		write16(frame + 18, length);
		frame[20] = protocol;
		frame[21] = 64;
		frame[22] = 0xfd;
		frame[38] = 0xfd;
		return 54;
	}
	write16(frame + 12, 0x0800);
	frame[14] = 0x45;
	write16(frame + 16, 20 + length);
	write16(frame + 18, 0xfffe); // identification wraps
	frame[22] = 64;
	frame[23] = protocol;
	frame[26] = 10;
	frame[30] = 11;
	ip->hdr_checksum = rte_ipv4_cksum(ip);
	return 34;
}

// TCP (6) or UDP (17) with `payload` bytes; `outer`: 0, or the family of a VXLAN tunnel around it,
// 4 or 6.
static struct shape frame_build(int outer, bool v6, uint8_t protocol, uint32_t payload)
{
	uint32_t header = protocol == 6 ? 20 : 8, i, inner;
	struct shape shape = {.v6 = v6, .protocol = protocol};
	uint8_t *l4;

	if (outer) {
		inner = 14 + (v6 ? 40 : 20) + header + payload;
		shape.outer = 14;
		shape.ip = ip_build(buffer, outer == 6, 17, 16 + inner);
		memset(buffer + shape.ip, 0, 16);
		write16(buffer + shape.ip + 2, 4789);
		write16(buffer + shape.ip + 4, 16 + inner);
		shape.ip += 16;
	}
	shape.l4 = shape.ip + ip_build(buffer + shape.ip, v6, protocol, header + payload);
	shape.ip += 14;
	l4 = buffer + shape.l4;
	memset(l4, 0, 20);
	if (protocol == 6) {
		write16(l4 + 6, 0xff00);
		l4[12] = 0x50;
		l4[13] = RTE_TCP_ACK_FLAG | RTE_TCP_PSH_FLAG | RTE_TCP_FIN_FLAG | RTE_TCP_CWR_FLAG;
	} else {
		write16(l4 + 4, 8 + payload);
	}
	write16(l4, 1000);
	write16(l4 + 2, 80);
	shape.data = shape.l4 + header;
	shape.length = shape.data + payload;
	for (i = 0; i < payload; i++)
		buffer[shape.data + i] = (uint8_t)(i * 7 + i / 256);
	return shape;
}

static struct virtio_net_hdr header_build(const struct shape *shape, uint8_t type, uint16_t size)
{
	return (struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = type,
		.gso_size = size,
		.csum_start = (uint16_t)shape->l4,
		.csum_offset = shape->protocol == 6 ? 16 : 6,
	};
}

// `length` bytes of `buffer` as a packet, `head` of them in its first mbuf.
static struct rte_mbuf *packet_make(uint32_t length, uint32_t head)
{
	struct rte_mbuf *packet = rte_pktmbuf_alloc(pool), *last = packet;
	uint32_t offset = 0, part = RTE_MIN(head, length);

	assert_non_null(packet);
	for (;;) {
		part = RTE_MIN(part, (uint32_t)rte_pktmbuf_tailroom(last));
		memcpy(rte_pktmbuf_mtod(last, void *), buffer + offset, part);
		last->data_len = (uint16_t)part;
		packet->pkt_len += part;
		offset += part;
		if (offset == length)
			return packet;
		part = length - offset;
		last->next = rte_pktmbuf_alloc(pool);
		last = last->next;
		assert_non_null(last);
		packet->nb_segs++;
	}
}

// Copies a packet to `to`, which has room, and frees it. Returns its length.
static uint32_t packet_take(struct rte_mbuf *packet, uint8_t *to)
{
	uint32_t length = packet->pkt_len;
	const void *data = rte_pktmbuf_read(packet, 0, length, to);

	assert_non_null(data);
	assert_int_equal(rte_mbuf_check(packet, 1, &(const char *){NULL}), 0);
	if (data != to)
		memmove(to, data, length);
	rte_pktmbuf_free(packet);
	return length;
}

// Lengths and checksums of an IP packet with TCP or UDP at `ip`.
static void ip_check(uint8_t *ip, uint32_t length, bool transport)
{
	struct rte_ipv4_hdr *v4 = (struct rte_ipv4_hdr *)ip;
	struct rte_ipv6_hdr *v6 = (struct rte_ipv6_hdr *)ip;

	if (ip[0] >> 4 == 4) {
		assert_int_equal(rte_be_to_cpu_16(v4->total_length), length);
		assert_int_equal(rte_raw_cksum(v4, 20), 0xffff);
		if (transport)
			assert_int_equal(rte_ipv4_udptcp_cksum_verify(v4, v4 + 1), 0);
	} else {
		assert_int_equal(rte_be_to_cpu_16(v6->payload_len) + 40, length);
		if (transport)
			assert_int_equal(rte_ipv6_udptcp_cksum_verify(v6, v6 + 1), 0);
	}
}

// ---- segments

static void tcp_segment_check(const struct shape *shape, const uint8_t *l4, uint32_t offset,
			      bool first, bool last)
{
	assert_int_equal(read16(l4 + 6), (0xff00 + offset) & 0xffff);
	assert_int_equal(!!(l4[13] & RTE_TCP_FIN_FLAG), last);
	assert_int_equal(!!(l4[13] & RTE_TCP_PSH_FLAG), last);
	assert_int_equal(!!(l4[13] & RTE_TCP_CWR_FLAG), first);
}

// Cuts the frame in `buffer` and checks every segment.
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
	while (!segmenter_done(&segmenter)) {
		assert_int_equal(segmenter_left(&segmenter), total - count);
		segment = segmenter_next(&segmenter, pool);
		assert_non_null(segment);
		assert_int_equal(segment->ol_flags, 0);
		length = packet_take(segment, bytes);
		part = length - shape->data;
		ip_check(bytes + shape->ip, length - shape->ip, true);
		assert_memory_equal(bytes + shape->data, buffer + shape->data + offset, part);
		if (shape->outer) {
			ip_check(bytes + 14, length - 14, false);
			assert_int_equal(read16(bytes + (buffer[14] >> 4 == 4 ? 38 : 58)),
					 length - (buffer[14] >> 4 == 4 ? 34 : 54));
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
	assert_int_equal(rte_mempool_in_use_count(pool), 0);
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

	write16(buffer + 40, 0x1234);
	packet = packet_make(shape.length, 2048);
	assert_int_equal(offload_from_virtio(packet, &header), OFFLOAD_CUT);
	assert_true(segmenter_begin(&segmenter, packet, false));
	while (!segmenter_done(&segmenter)) {
		length = packet_take(segmenter_next(&segmenter, pool), bytes);
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
	if (outer) {
		assert_true(packet_encapsulate(packet, true, 20, 16));
		uint8_t *front = (uint8_t *)rte_pktmbuf_prepend(packet, 50);
		assert_int_equal(ip_build(front, false, 17, 16), 34);
		memset(front + 34, 0, 16);
		ip += 50;
	}
	assert_true(segmenter_begin(&segmenter, packet, false));
	while (!segmenter_done(&segmenter)) {
		length = packet_take(segmenter_next(&segmenter, pool), bytes);
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
	memcpy(whole, buffer + 14, v6 ? 40 : 20);
	ip_check(whole, (v6 ? 40 : 20) + offset, true);
	rte_pktmbuf_free(packet);
	assert_int_equal(rte_mempool_in_use_count(pool), 0);
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

	while ((held[count] = rte_pktmbuf_alloc(pool)))
		count++;
	assert_int_equal(offload_from_virtio(packet, &header), OFFLOAD_READY);
	assert_true(segmenter_begin(&segmenter, packet, true));
	while (!segmenter_done(&segmenter)) {
		left = segmenter_left(&segmenter);
		assert_null(segmenter_next(&segmenter, pool));
		lost += left - segmenter_left(&segmenter);
	}
	assert_int_equal(lost, PAYLOAD / 100);
	rte_pktmbuf_free_bulk(held, count);
	rte_pktmbuf_free(packet);
}

// ---- checksums

static void checksum_check(bool v6, uint8_t protocol, uint32_t payload)
{
	struct shape shape = frame_build(0, v6, protocol, payload);
	struct virtio_net_hdr header = header_build(&shape, VIRTIO_NET_HDR_GSO_NONE, 0);
	struct rte_mbuf *packet;
	static uint8_t bytes[8192];

	// Whatever is in the field.
	write16(buffer + shape.l4 + header.csum_offset, 0xabcd);
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
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(buffer + 14);
	struct rte_mbuf *packet;
	uint8_t bytes[256];
	uint16_t sum;

	memset(buffer + shape.data, 0, 2);
	sum = rte_ipv4_udptcp_cksum(ip, ip + 1);
	memcpy(buffer + shape.data, &sum, 2);
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

	buffer[23] = 1;
	header.csum_offset = 2;
	memset(buffer + shape.l4 + 2, 0, 2);
	packet = packet_make(shape.length, 60);
	assert_int_equal(offload_from_virtio(packet, &header), OFFLOAD_READY);
	assert_int_equal(packet->ol_flags, 0);
	packet_take(packet, bytes);
	assert_int_equal(rte_raw_cksum(bytes + shape.l4, shape.length - shape.l4), 0xffff);

	shape = frame_build(0, false, 6, 100);
	header = header_build(&shape, VIRTIO_NET_HDR_GSO_NONE, 0);
	write16(buffer + 16, shape.length - 14 - 6);
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
	memcpy(buffer,
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
	buffer[20] = 132;
	header.csum_offset = 8;
	packet = packet_make(shape.length, 70);
	assert_int_equal(offload_from_virtio(packet, &header), OFFLOAD_READY);
	packet_take(packet, bytes);
	memcpy(&crc, bytes + shape.l4 + 8, 4);
	memcpy(buffer, bytes, shape.length);
	packet = packet_make(shape.length, 200);
	assert_true(crc32c_complete(packet, shape.l4, shape.length, shape.l4 + 8));
	assert_memory_equal(rte_pktmbuf_mtod(packet, uint8_t *) + shape.l4 + 8, &crc, 4);
	rte_pktmbuf_free(packet);
}

// ---- what can't be

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
	BROKEN(buffer[12] = 0x88);	       // no IP
	BROKEN(buffer[14] = 0x65);	       // another version
	BROKEN(buffer[14] = 0x44);	       // a header of 16 bytes
	BROKEN(buffer[14] = 0x4f);	       // the checksum is then inside it
	BROKEN(write16(buffer + 16, 0));       // IP length
	BROKEN(write16(buffer + 16, PAYLOAD)); // padding behind it
	BROKEN(buffer[20] = 0x20);	       // a fragment
	BROKEN(buffer[21] = 1);
	BROKEN(buffer[23] = 17);	       // another protocol
	BROKEN(buffer[shape.l4 + 12] = 0x40);  // a TCP header of 16 bytes
	BROKEN(shape.length = shape.data - 1); // the TCP header ends behind the frame
	BROKEN(shape.length = 20);
	// UDP whose own length is another, and more datagrams than one sends.
	shape = frame_build(0, true, 17, PAYLOAD);
	assert_int_equal(verdict_of(&shape, header_build(&shape, GSO_UDP_L4, 1000)), OFFLOAD_READY);
	assert_int_equal(verdict_of(&shape, header_build(&shape, GSO_UDP_L4, 30)), OFFLOAD_BROKEN);
	assert_int_equal(verdict_of(&shape, header_build(&shape, VIRTIO_NET_HDR_GSO_UDP, 200)),
			 OFFLOAD_BROKEN);
	write16(buffer + shape.l4 + 4, PAYLOAD);
	assert_int_equal(verdict_of(&shape, header_build(&shape, GSO_UDP_L4, 1000)),
			 OFFLOAD_BROKEN);
	assert_int_equal(rte_mempool_in_use_count(pool), 0);
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

// What rte_vhost leaves in a mbuf.
static enum offload_verdict vhost_verdict(const struct shape *shape, uint64_t flags, uint16_t size,
					  uint64_t *result)
{
	struct rte_mbuf *packet = packet_make(shape->length, 2048);
	enum offload_verdict verdict;

	packet->ol_flags = flags;
	packet->tso_segsz = size;
	verdict = offload_from_vhost(packet);
	*result = packet->ol_flags;
	rte_pktmbuf_free(packet);
	return verdict;
}

static void test_vhost(void **state)
{
	const uint64_t none = RTE_MBUF_F_RX_L4_CKSUM_NONE, lro = RTE_MBUF_F_RX_LRO | none;
	struct shape shape = frame_build(0, true, 6, PAYLOAD);
	uint64_t flags;

	assert_int_equal(vhost_verdict(&shape, lro, 1428, &flags), OFFLOAD_READY);
	assert_int_equal(flags,
			 RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_IPV6);
	assert_int_equal(vhost_verdict(&shape, none, 0, &flags), OFFLOAD_READY);
	assert_int_equal(flags, RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_IPV6);
	assert_int_equal(vhost_verdict(&shape, lro, 0, &flags), OFFLOAD_BROKEN);
	assert_int_equal(vhost_verdict(&shape, RTE_MBUF_F_RX_LRO, 1428, &flags), OFFLOAD_BROKEN);
	write16(buffer + 18, 100);
	assert_int_equal(vhost_verdict(&shape, lro, 1428, &flags), OFFLOAD_BROKEN);
	shape = frame_build(0, false, 17, PAYLOAD);
	assert_int_equal(vhost_verdict(&shape, lro, 1480, &flags), OFFLOAD_READY);
	assert_int_equal(flags, RTE_MBUF_F_TX_UDP_SEG | PACKET_UFO | RTE_MBUF_F_TX_UDP_CKSUM |
					RTE_MBUF_F_TX_IPV4);
	buffer[23] = 47;
	assert_int_equal(vhost_verdict(&shape, none, 0, &flags), OFFLOAD_BROKEN);
}

// ---- said again

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
		segment = segmenter_next(&segmenter, pool);
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
	// An outer checksum that is missing is nobody's any more.
	shape = frame_build(4, false, 6, 100);
	header = (struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34, .csum_offset = 6};
	packet = packet_make(shape.length, 2048);
	assert_int_equal(offload_from_virtio(packet, &header), OFFLOAD_READY);
	rte_pktmbuf_adj(packet, 50);
	packet_decapsulate(packet, 50);
	assert_int_equal(packet->ol_flags, 0);
	rte_pktmbuf_free(packet);
	// A tunnel in a tunnel: the inner checksum is completed before.
	shape = frame_build(4, false, 6, 100);
	header = header_build(&shape, VIRTIO_NET_HDR_GSO_NONE, 0);
	packet = packet_make(shape.length, 2048);
	assert_int_equal(offload_from_virtio(packet, &header), OFFLOAD_READY);
	assert_true(packet->ol_flags & PACKET_TUNNELLED);
	assert_true(packet_encapsulate(packet, true, 20, 16));
	assert_int_equal(packet->ol_flags, 0);
	length = packet_take(packet, bytes);
	ip_check(bytes + shape.ip, length - shape.ip, true);
	assert_int_equal(rte_mempool_in_use_count(pool), 0);
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
			buffer[rand() % shape.data] = (uint8_t)rand();
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
				segment = segmenter_next(&segmenter, pool);
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
	assert_int_equal(rte_mempool_in_use_count(pool), 0);
}

int main(int argc, char **argv)
{
	char *eal[] = {argv[0],
		       (char[]){"--no-pci"},
		       (char[]){"--no-huge"},
		       (char[]){"--no-shconf"},
		       (char[]){"--no-telemetry"},
		       (char[]){"-m"},
		       (char[]){"32"},
		       (char[]){"--log-level=4"}};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_segments),	cmocka_unit_test(test_outer_checksum),
		cmocka_unit_test(test_fragments),	cmocka_unit_test(test_no_buffers),
		cmocka_unit_test(test_checksums),	cmocka_unit_test(test_udp_zero),
		cmocka_unit_test(test_other_checksums), cmocka_unit_test(test_sctp),
		cmocka_unit_test(test_contradictions),	cmocka_unit_test(test_small_segmentation),
		cmocka_unit_test(test_vhost),		cmocka_unit_test(test_to_virtio),
		cmocka_unit_test(test_tunnel),		cmocka_unit_test(test_hostile),
	};

	if (rte_eal_init(8, eal) < 0)
		return 1;
	pool = rte_pktmbuf_pool_create("packets", 1023, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
				       SOCKET_ID_ANY);
	if (!pool)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
