// TCP resets: nobody listens at the gateway.

#include <arpa/inet.h>

#include <rte_mbuf.h>

#include "layer/gateway/error.h"
#include "packet/datagram.h"
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
	// A connection whose other end is gone for good.
	return (reason == DROP_GATEWAY || reason == DROP_NO_MEMBER ||
		reason == DROP_TRANSLATION_GONE) &&
	       packet->kind == PACKET_IP && packet->key.protocol == IPPROTO_TCP &&
	       !(packet->tcp_flags & TCP_RST);
}

bool gateway_reset_write(struct rte_mbuf *to, const struct rte_mbuf *mbuf,
			 const struct packet *packet, const struct network *network,
			 const struct ip_address *from)
{
	const uint8_t *segment = rte_pktmbuf_mtod_offset(mbuf, const uint8_t *, packet->l4_offset);
	uint32_t size = packet->l3_offset + packet->ip_length - packet->l4_offset;
	struct datagram datagram = {
		.destination_mac = packet->source_mac,
		.source_mac = network->gateway_mac,
		.destination = packet->source,
		.source = *from,
		.hop_limit = DATAGRAM_HOP_LIMIT,
		.dont_fragment = true,
	};
	uint32_t offset = datagram_offset(&datagram);
	uint8_t *frame, *tcp;

	frame = (uint8_t *)rte_pktmbuf_append(to, (uint16_t)(offset + TCP_HEADER_SIZE));
	if (!frame)
		return false;
	tcp = frame + offset;
	memset(tcp, 0, TCP_HEADER_SIZE);
	memcpy(tcp, segment + 2, 2);
	memcpy(tcp + 2, segment, 2);
	answer_numbers(segment, size, tcp);
	datagram_write(&datagram, frame, IPPROTO_TCP, TCP_CHECKSUM_OFFSET, TCP_HEADER_SIZE);
	return true;
}
