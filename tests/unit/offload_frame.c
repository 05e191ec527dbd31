#include "offload_frame.h"

#include <rte_eal.h>

struct rte_mempool *offload_pool;
uint8_t offload_frame[70000];

uint32_t ip_build(uint8_t *frame, bool v6, uint8_t protocol, uint32_t length)
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

struct shape frame_build(int outer, bool v6, uint8_t protocol, uint32_t payload)
{
	uint32_t header = protocol == 6 ? 20 : 8, i, inner;
	struct shape shape = {.v6 = v6, .protocol = protocol};
	uint8_t *l4;

	if (outer) {
		inner = 14 + (v6 ? 40 : 20) + header + payload;
		shape.outer = 14;
		shape.ip = ip_build(offload_frame, outer == 6, 17, 16 + inner);
		memset(offload_frame + shape.ip, 0, 16);
		write16(offload_frame + shape.ip + 2, 4789);
		write16(offload_frame + shape.ip + 4, 16 + inner);
		shape.ip += 16;
	}
	shape.l4 = shape.ip + ip_build(offload_frame + shape.ip, v6, protocol, header + payload);
	shape.ip += 14;
	l4 = offload_frame + shape.l4;
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
		offload_frame[shape.data + i] = (uint8_t)(i * 7 + i / 256);
	return shape;
}

struct virtio_net_hdr header_build(const struct shape *shape, uint8_t type, uint16_t size)
{
	return (struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = type,
		.gso_size = size,
		.csum_start = (uint16_t)shape->l4,
		.csum_offset = shape->protocol == 6 ? 16 : 6,
	};
}

struct rte_mbuf *packet_make(uint32_t length, uint32_t head)
{
	struct rte_mbuf *packet = rte_pktmbuf_alloc(offload_pool), *last = packet;
	uint32_t offset = 0, part = RTE_MIN(head, length);

	assert_non_null(packet);
	for (;;) {
		part = RTE_MIN(part, (uint32_t)rte_pktmbuf_tailroom(last));
		memcpy(rte_pktmbuf_mtod(last, void *), offload_frame + offset, part);
		last->data_len = (uint16_t)part;
		packet->pkt_len += part;
		offset += part;
		if (offset == length)
			return packet;
		part = length - offset;
		last->next = rte_pktmbuf_alloc(offload_pool);
		last = last->next;
		assert_non_null(last);
		packet->nb_segs++;
	}
}

uint32_t packet_take(struct rte_mbuf *packet, uint8_t *to)
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

void ip_check(uint8_t *ip, uint32_t length, bool transport)
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

bool offload_tests_start(void)
{
	char *eal[] = {(char[]){"offload"},	(char[]){"--no-pci"},	    (char[]){"--no-huge"},
		       (char[]){"--no-shconf"}, (char[]){"--no-telemetry"}, (char[]){"-m"},
		       (char[]){"32"},		(char[]){"--log-level=4"}};

	if (rte_eal_init(8, eal) < 0)
		return false;
	offload_pool = rte_pktmbuf_pool_create("packets", 1023, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
					       SOCKET_ID_ANY);
	return offload_pool;
}
