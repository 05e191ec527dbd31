// TCP resets: nobody listens at the gateway.

#include <arpa/inet.h>

#include <rte_mbuf.h>

#include "layer/gateway/error.h"
#include "packet/header.h"

// Sequence number and acknowledgement of the answer (RFC 9293 section 3.10.7.1).
static void answer_numbers(const uint8_t *segment, uint32_t size, uint8_t *tcp)
{
	uint32_t sequence, header = (segment[12] >> 4) * 4u;
	uint8_t flags = segment[13];

	tcp[12] = TCP_HEADER_SIZE / 4 << 4;
	tcp[13] = TCP_RST;
	if (flags & TCP_ACK) {
		memcpy(tcp + 4, segment + 8, 4);
		return;
	}
	memcpy(&sequence, segment + 4, 4);
	sequence = htonl(ntohl(sequence) + (size - header) + !!(flags & TCP_SYN) +
			 !!(flags & TCP_FIN));
	memcpy(tcp + 8, &sequence, 4);
	tcp[13] |= TCP_ACK;
}

bool gateway_reset_due(const struct packet *packet, enum drop_reason reason)
{
	return reason == DROP_GATEWAY && packet->kind == PACKET_IP &&
	       packet->key.protocol == IPPROTO_TCP && !(packet->tcp_flags & TCP_RST);
}

bool gateway_reset_write(struct rte_mbuf *to, const struct rte_mbuf *mbuf,
			 const struct packet *packet, const struct network *network,
			 const struct ip_address *from)
{
	const uint8_t *segment = rte_pktmbuf_mtod_offset(mbuf, const uint8_t *, packet->l4_offset);
	bool v4 = ip_is_v4(&packet->source);
	uint32_t header = v4 ? IPV4_HEADER_SIZE : IPV6_HEADER_SIZE;
	uint32_t size = packet->l3_offset + packet->ip_length - packet->l4_offset;
	uint8_t *frame, *ip, *tcp;
	uint16_t value;

	frame = (uint8_t *)rte_pktmbuf_append(
		to, (uint16_t)(ETHERNET_HEADER_SIZE + header + TCP_HEADER_SIZE));
	if (!frame)
		return false;
	memset(frame, 0, ETHERNET_HEADER_SIZE + header + TCP_HEADER_SIZE);
	ip = frame + ETHERNET_HEADER_SIZE;
	tcp = ip + header;
	memcpy(frame, &packet->source_mac, 6);
	memcpy(frame + 6, &network->gateway_mac, 6);
	memcpy(tcp, segment + 2, 2);
	memcpy(tcp + 2, segment, 2);
	answer_numbers(segment, size, tcp);
	if (v4) {
		frame[12] = ETHERNET_TYPE_IPV4 >> 8;
		ip[0] = 0x45;
		ip[3] = IPV4_HEADER_SIZE + TCP_HEADER_SIZE;
		ip[6] = 0x40;
		ip[8] = 64;
		ip[9] = IPPROTO_TCP;
		memcpy(ip + 12, &from->words[3], 4);
		memcpy(ip + 16, &packet->source.words[3], 4);
		value = checksum_finish(checksum_add(0, ip, IPV4_HEADER_SIZE));
		memcpy(ip + 10, &value, 2);
	} else {
		frame[12] = ETHERNET_TYPE_IPV6 >> 8;
		frame[13] = ETHERNET_TYPE_IPV6 & 0xff;
		ip[0] = 0x60;
		ip[5] = TCP_HEADER_SIZE;
		ip[6] = IPPROTO_TCP;
		ip[7] = 64;
		memcpy(ip + 8, from, 16);
		memcpy(ip + 24, &packet->source, 16);
	}
	value = checksum_finish(
		checksum_add(checksum_pseudo(from, &packet->source, IPPROTO_TCP, TCP_HEADER_SIZE),
			     tcp, TCP_HEADER_SIZE));
	memcpy(tcp + 16, &value, 2);
	return true;
}
