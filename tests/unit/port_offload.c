// Checksums and segmentation in software: what comes out is checked from scratch, and hostile
// frames must not make it read or write where it should not (run with sanitizers).

// For the functions that verify checksums.
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

#include "port/offload.h"

#define PAYLOAD 10000

static struct rte_mempool *pool;

static uint16_t read16(const uint8_t *bytes)
{
	return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static void write16(uint8_t *bytes, uint32_t value)
{
	bytes[0] = (uint8_t)(value >> 8);
	bytes[1] = (uint8_t)value;
}

// Ethernet and IPv4 at `frame`, for `length` bytes behind the IPv4 header. Returns their length.
static uint32_t ipv4_build(uint8_t *frame, uint8_t protocol, uint32_t length)
{
	memset(frame, 0, 34);
	write16(frame + 12, 0x0800);
	frame[14] = 0x45;
	write16(frame + 16, 20 + length);
	write16(frame + 18, 0xfffe); // identification wraps
	frame[22] = 64;
	frame[23] = protocol;
	frame[26] = 10;
	frame[30] = 11;
	return 34;
}

static uint32_t ipv6_build(uint8_t *frame, uint8_t protocol, uint32_t length)
{
	memset(frame, 0, 54);
	write16(frame + 12, 0x86dd);
	frame[14] = 0x60;
	write16(frame + 18, length);
	frame[20] = protocol;
	frame[21] = 64;
	frame[22] = 0xfd;
	frame[38] = 0xfd;
	return 54;
}

static uint32_t tcp_build(uint8_t *frame)
{
	uint32_t i;

	memset(frame, 0, 20);
	write16(frame + 6, 0xff00);
	frame[12] = 0x50;
	frame[13] = RTE_TCP_ACK_FLAG | RTE_TCP_PSH_FLAG | RTE_TCP_FIN_FLAG | RTE_TCP_CWR_FLAG;
	for (i = 0; i < PAYLOAD; i++)
		frame[20 + i] = (uint8_t)(i * 7 + i / 256);
	return 20 + PAYLOAD;
}

// Checks length and checksums of an IPv4 or IPv6 packet with TCP in it at `ip`.
static void tcp_check(const uint8_t *ip, uint32_t length)
{
	uint8_t copy[4096];
	struct rte_ipv4_hdr *v4 = (struct rte_ipv4_hdr *)copy;
	struct rte_ipv6_hdr *v6 = (struct rte_ipv6_hdr *)copy;

	assert_true(length <= sizeof(copy));
	memcpy(copy, ip, length);
	if (copy[0] >> 4 == 4) {
		assert_int_equal(rte_be_to_cpu_16(v4->total_length), length);
		assert_int_equal(rte_raw_cksum(v4, 20), 0xffff);
		assert_int_equal(rte_ipv4_udptcp_cksum_verify(v4, v4 + 1), 0);
	} else {
		assert_int_equal(rte_be_to_cpu_16(v6->payload_len) + 40, length);
		assert_int_equal(rte_ipv6_udptcp_cksum_verify(v6, v6 + 1), 0);
	}
}

static struct frame frame_split(const uint8_t *data, uint32_t length, uint32_t head)
{
	return (struct frame){.head = data,
			      .tail = data + RTE_MIN(head, length),
			      .head_length = RTE_MIN(head, length),
			      .length = length};
}

// Cuts the frame whose last IP header is at `ip`, and checks every packet.
static void segments_check(const uint8_t *data, uint32_t length, uint32_t ip, uint32_t tcp)
{
	struct frame frame = frame_split(data, length, 2048);
	struct virtio_net_hdr header = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
					.gso_type = data[ip] >> 4 == 4 ? VIRTIO_NET_HDR_GSO_TCPV4
								       : VIRTIO_NET_HDR_GSO_TCPV6,
					.gso_size = 1400,
					.csum_start = (uint16_t)tcp,
					.csum_offset = 16};
	struct segmenter segmenter;
	struct rte_mbuf *packet;
	uint32_t offset = 0, part, count = 0;
	const uint8_t *bytes;

	assert_true(segmenter_begin(&segmenter, &frame, &header));
	while (!segmenter_done(&segmenter)) {
		packet = segmenter_next(&segmenter, pool);
		assert_non_null(packet);
		assert_int_equal(packet->nb_segs, 1);
		bytes = rte_pktmbuf_mtod(packet, const uint8_t *);
		part = packet->pkt_len - tcp - 20;
		tcp_check(bytes + ip, packet->pkt_len - ip);
		if (ip > 14)
			assert_int_equal(read16(bytes + 16), packet->pkt_len - 14);
		assert_int_equal(read16(bytes + tcp + 6), (0xff00 + offset) & 0xffff);
		assert_memory_equal(bytes + tcp + 20, data + tcp + 20 + offset, part);
		offset += part;
		count++;
		assert_int_equal(!!(bytes[tcp + 13] & RTE_TCP_FIN_FLAG), offset == PAYLOAD);
		assert_int_equal(!!(bytes[tcp + 13] & RTE_TCP_PSH_FLAG), offset == PAYLOAD);
		assert_int_equal(!!(bytes[tcp + 13] & RTE_TCP_CWR_FLAG), count == 1);
		rte_pktmbuf_free(packet);
	}
	assert_int_equal(offset, PAYLOAD);
	assert_int_equal(count, (PAYLOAD + 1399) / 1400);
}

static uint8_t buffer[65536];

static void test_tcp(void **state)
{
	uint32_t header;

	header = ipv4_build(buffer, 6, 20 + PAYLOAD);
	segments_check(buffer, header + tcp_build(buffer + header), 14, header);
	header = ipv6_build(buffer, 6, 20 + PAYLOAD);
	segments_check(buffer, header + tcp_build(buffer + header), 14, header);
}

static void test_tcp_in_vxlan(void **state)
{
	uint32_t outer, inner, length = 8 + 8 + 34 + 20 + PAYLOAD;

	outer = ipv4_build(buffer, 17, length);
	memset(buffer + outer, 0, 16);
	write16(buffer + outer + 2, 4789);
	write16(buffer + outer + 4, length);
	inner = outer + 16;
	inner += ipv4_build(buffer + inner, 6, 20 + PAYLOAD);
	segments_check(buffer, inner + tcp_build(buffer + inner), outer + 16 + 14, inner);
}

static void test_checksum(void **state)
{
	struct rte_mbuf *packet;
	struct frame frame;
	uint32_t header = ipv4_build(buffer, 17, 3001), length = header + 3001;
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(buffer + 14);
	uint16_t sum;

	memset(buffer + header, 0x5a, 3001);
	write16(buffer + header + 4, 3001);
	sum = rte_ipv4_phdr_cksum(ip, 0);
	memcpy(buffer + header + 6, &sum, sizeof(sum));
	frame = frame_split(buffer, length, 100);
	packet = frame_copy(&frame, 0, length, 0, pool);
	assert_non_null(packet);
	assert_int_equal(packet->nb_segs, 2);
	assert_true(checksum_complete(packet, (uint16_t)header, 6));
	memcpy(buffer, rte_pktmbuf_mtod(packet, void *), packet->data_len);
	assert_int_equal(rte_ipv4_udptcp_cksum_verify(ip, ip + 1), 0);
	assert_false(checksum_complete(packet, (uint16_t)(packet->data_len - 7), 6));
	assert_false(checksum_complete(packet, 65535, 65535));
	rte_pktmbuf_free(packet);
}

// Frames of a good shape with some bytes and header fields changed.
static void test_hostile(void **state)
{
	uint32_t round, header, length, i, packets;
	struct virtio_net_hdr virtio;
	struct segmenter segmenter;
	struct rte_mbuf *packet;
	struct frame frame;
	uint8_t *copy;

	srand(1);
	for (round = 0; round < 200000; round++) {
		header = (round & 1 ? ipv4_build : ipv6_build)(buffer, 6, 20 + 100);
		memset(buffer + header, 0x55, 120);
		length = (uint32_t)(rand() % (int)(header + 121));
		for (i = 0; i < 4; i++)
			buffer[rand() % 80] = (uint8_t)rand();
		virtio = (struct virtio_net_hdr){.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
						 .gso_type = (uint8_t)(rand() % 6),
						 .gso_size = (uint16_t)(rand() % 64),
						 .csum_start = (uint16_t)(rand() % 128)};
		if (rand() % 2)
			virtio.csum_start = (uint16_t)header;
		// A buffer of its own, so that what is read behind it is noticed.
		copy = malloc(length ? length : 1);
		assert_non_null(copy);
		memcpy(copy, buffer, length);
		frame = frame_split(copy, length, rand() % 2 ? 2048 : 60);
		packets = 0;
		if (segmenter_begin(&segmenter, &frame, &virtio)) {
			while (!segmenter_done(&segmenter)) {
				packet = segmenter_next(&segmenter, pool);
				assert_non_null(packet);
				assert_true(++packets <= length);
				rte_pktmbuf_free(packet);
			}
		}
		free(copy);
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
		cmocka_unit_test(test_tcp),
		cmocka_unit_test(test_tcp_in_vxlan),
		cmocka_unit_test(test_checksum),
		cmocka_unit_test(test_hostile),
	};

	if (rte_eal_init(8, eal) < 0)
		return 1;
	pool = rte_pktmbuf_pool_create("packets", 1023, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
				       SOCKET_ID_ANY);
	if (!pool)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
