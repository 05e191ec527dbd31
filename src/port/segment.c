#include "port/segment.h"

#include <netinet/in.h>
#include <string.h>

#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_random.h>
#include <rte_tcp.h>

#include "port/chain.h"
#include "port/layout.h"
#include "port/offload.h"

#define FRAGMENT_HEADER_SIZE 8
#define FRAGMENT_MORE_V4     0x2000

// Can the outer headers, `protocol` behind the IP header at offset `l4`, be repeated for each
// segment?
static bool is_repeatable(const struct rte_mbuf *packet, uint8_t protocol, uint16_t l4)
{
	const uint8_t *data = rte_pktmbuf_mtod(packet, const uint8_t *);

	switch (protocol) {
	case IPPROTO_IPIP:
	case IPPROTO_IPV6:
		return true;
	case IPPROTO_UDP:
		return l4 + 8u <= packet->data_len;
	case IPPROTO_GRE:
		// Not with a checksum or sequence numbers.
		return l4 + 4u <= packet->data_len && (read16(data + l4) & 0x9000) == 0;
	default:
		return false;
	}
}

static bool outer_begin(struct segmenter *segmenter, const struct rte_mbuf *packet)
{
	struct layout outer;

	// The outer lengths may not hold that of the whole; only where headers are counts.
	if (!layout_find(packet, &outer) || outer.l3 != packet->outer_l2_len ||
	    outer.l4 != packet->outer_l2_len + packet->outer_l3_len || outer.fragment ||
	    outer.l4 > segmenter->l3 || !is_repeatable(packet, outer.protocol, outer.l4))
		return false;
	segmenter->outer_l3 = outer.l3;
	segmenter->outer_l4 = outer.l4;
	segmenter->outer_v6 = outer.v6;
	segmenter->outer_protocol = outer.protocol;
	// An outer checksum is that of the finished packet.
	if (outer.protocol == IPPROTO_UDP &&
	    read16(rte_pktmbuf_mtod_offset(packet, const uint8_t *, outer.l4 + 6)) != 0)
		segmenter->checksum = true;
	return true;
}

// A UDP datagram has its checksum before it is cut into fragments.
static bool fragments_begin(struct segmenter *segmenter, struct rte_mbuf *packet)
{
	if ((packet->ol_flags & RTE_MBUF_F_TX_L4_MASK) != RTE_MBUF_F_TX_UDP_CKSUM ||
	    segmenter->size % 8 != 0 || !packet_complete_checksum(packet))
		return false;
	segmenter->fragments = true;
	segmenter->checksum = true;
	segmenter->header = segmenter->l4;
	segmenter->identification = (uint32_t)rte_rand();
	return true;
}

bool segmenter_begin(struct segmenter *segmenter, struct rte_mbuf *packet, bool checksum)
{
	struct layout layout;

	memset(segmenter, 0, sizeof(*segmenter));
	if (!layout_of_flags(packet, &layout) || packet->tso_segsz == 0)
		return false;
	segmenter->source = packet;
	segmenter->checksum = checksum;
	segmenter->l3 = layout.l3;
	segmenter->l4 = layout.l4;
	segmenter->v6 = layout.v6;
	segmenter->protocol = layout.protocol;
	segmenter->size = packet->tso_segsz;
	segmenter->header = (uint16_t)(layout.l4 + packet->l4_len);
	if (packet->l4_len < (layout.protocol == IPPROTO_TCP ? 20 : 8) ||
	    segmenter->header > packet->data_len || segmenter->header >= packet->pkt_len)
		return false;
	if (packet->ol_flags & PACKET_TUNNELLED && !outer_begin(segmenter, packet))
		return false;
	if (packet->ol_flags & PACKET_UFO && !fragments_begin(segmenter, packet))
		return false;
	segmenter->payload = packet->pkt_len - segmenter->header;
	segmenter->at = packet;
	segmenter->at_offset = segmenter->header;
	return true;
}

// Appends `length` bytes of the payload to the chain that begins with `first`.
static bool payload_append(struct segmenter *segmenter, struct rte_mbuf *first, uint32_t length,
			   struct rte_mempool *pool)
{
	struct rte_mbuf *last = first;
	uint32_t part;

	while (length) {
		if (segmenter->at_offset == segmenter->at->data_len) {
			segmenter->at = segmenter->at->next;
			segmenter->at_offset = 0;
			if (!segmenter->at)
				return false;
			continue;
		}
		part = RTE_MIN(length, segmenter->at->data_len - segmenter->at_offset);
		if (!chain_append(first, &last,
				  rte_pktmbuf_mtod_offset(segmenter->at, const uint8_t *,
							  segmenter->at_offset),
				  part, pool))
			return false;
		segmenter->at_offset += part;
		length -= part;
	}
	return true;
}

// Leaves out `length` bytes of the payload.
static void payload_skip(struct segmenter *segmenter, uint32_t length)
{
	uint32_t part;

	while (length && segmenter->at) {
		part = RTE_MIN(length, segmenter->at->data_len - segmenter->at_offset);
		segmenter->at_offset += part;
		length -= part;
		if (length) {
			segmenter->at = segmenter->at->next;
			segmenter->at_offset = 0;
		}
	}
}

// Lengths, identification and checksum of the IP header at `l3`. `fragment` is IPv4's field.
static void ip_fix(struct rte_mbuf *packet, uint16_t l3, bool v6, uint32_t identification,
		   uint16_t fragment)
{
	uint8_t *ip = rte_pktmbuf_mtod_offset(packet, uint8_t *, l3);
	uint16_t sum;

	if (v6) {
		write16(ip + 4, packet->pkt_len - l3 - 40);
		return;
	}
	write16(ip + 2, packet->pkt_len - l3);
	write16(ip + 4, read16(ip + 4) + identification);
	write16(ip + 6, fragment ? fragment : read16(ip + 6));
	write16(ip + 10, 0);
	sum = (uint16_t)~rte_raw_cksum(ip, (ip[0] & 15) * 4u);
	memcpy(ip + 10, &sum, sizeof(sum));
}

// Header of the fragment with the payload from `begin` on. IPv6: puts the fragment header behind
// those that are there.
static void fragment_fix(struct segmenter *segmenter, struct rte_mbuf *packet, uint32_t begin,
			 bool last)
{
	uint8_t *data = rte_pktmbuf_mtod(packet, uint8_t *), *header = data + segmenter->l4, *next;
	uint32_t offset = segmenter->l3 + 40u;

	if (!segmenter->v6) {
		// A datagram that is to be cut doesn't forbid it.
		ip_fix(packet, segmenter->l3, false, 0,
		       (uint16_t)(begin / 8 | (last ? 0 : FRAGMENT_MORE_V4)));
		return;
	}
	next = data + segmenter->l3 + 6;
	while (offset < segmenter->l4) {
		next = data + offset;
		offset += (data[offset + 1] + 1u) * 8;
	}
	*next = IPPROTO_FRAGMENT;
	header[0] = IPPROTO_UDP;
	header[1] = 0;
	write16(header + 2, begin | !last);
	memcpy(header + 4, &segmenter->identification, 4);
	ip_fix(packet, segmenter->l3, true, 0, 0);
}

static void transport_fix(struct segmenter *segmenter, struct rte_mbuf *packet, uint32_t begin,
			  bool first, bool last)
{
	uint8_t *transport = rte_pktmbuf_mtod_offset(packet, uint8_t *, segmenter->l4);
	uint32_t sequence;

	if (segmenter->protocol == IPPROTO_UDP) {
		write16(transport + 4, packet->pkt_len - segmenter->l4);
		return;
	}
	memcpy(&sequence, transport + 4, sizeof(sequence));
	sequence = htonl(ntohl(sequence) + begin);
	memcpy(transport + 4, &sequence, sizeof(sequence));
	if (!last)
		transport[13] &= (uint8_t) ~(RTE_TCP_FIN_FLAG | RTE_TCP_PSH_FLAG);
	if (!first)
		transport[13] &= (uint8_t)~RTE_TCP_CWR_FLAG;
}

// The headers of the tunnel around a segment. With an outer UDP checksum all the rest is finished.
static void outer_fix(const struct segmenter *segmenter, struct rte_mbuf *packet, uint16_t index)
{
	uint8_t *data = rte_pktmbuf_mtod(packet, uint8_t *), *udp = data + segmenter->outer_l4;
	struct layout layout = {
		.l3 = segmenter->outer_l3, .v6 = segmenter->outer_v6, .protocol = IPPROTO_UDP};
	uint32_t length = packet->pkt_len - segmenter->outer_l4;
	uint16_t sum;

	ip_fix(packet, segmenter->outer_l3, segmenter->outer_v6, index, 0);
	if (segmenter->outer_protocol != IPPROTO_UDP)
		return;
	write16(udp + 4, length);
	// Zero means that the sender does without.
	if (read16(udp + 6) == 0)
		return;
	write16(udp + 6, 0);
	if (rte_raw_cksum_mbuf(packet, segmenter->outer_l4, length, &sum) < 0)
		return;
	length = (uint32_t)sum + layout_pseudo_sum(data, &layout, length);
	length = (length & 0xffff) + (length >> 16);
	sum = (uint16_t) ~(length + (length >> 16));
	sum = sum ? sum : 0xffff;
	memcpy(udp + 6, &sum, sizeof(sum));
}

// Flags of a segment: those of the source without segmentation.
static void flags_copy(const struct segmenter *segmenter, struct rte_mbuf *packet)
{
	packet_set_complete(packet);
	if (segmenter->fragments)
		return;
	packet->tx_offload = segmenter->source->tx_offload;
	packet->tso_segsz = 0;
	packet->ol_flags =
		segmenter->source->ol_flags & ~(PACKET_SEGMENTATION | PACKET_UFO | PACKET_CWR);
	if (segmenter->checksum)
		packet_complete_checksum(packet);
}

struct rte_mbuf *segmenter_next(struct segmenter *segmenter, struct rte_mempool *pool)
{
	uint32_t begin = segmenter->done, part;
	uint16_t index = segmenter->index++, header = segmenter->header;
	struct rte_mbuf *packet = rte_pktmbuf_alloc(pool);
	bool last;

	part = RTE_MIN((uint32_t)segmenter->size, segmenter->payload - begin);
	segmenter->done += part;
	last = segmenter_done(segmenter);
	if (segmenter->fragments && segmenter->v6)
		header += FRAGMENT_HEADER_SIZE;
	if (!packet || header > rte_pktmbuf_tailroom(packet)) {
		rte_pktmbuf_free(packet);
		payload_skip(segmenter, part);
		return NULL;
	}
	packet->data_len = header;
	packet->pkt_len = header;
	memcpy(rte_pktmbuf_mtod(packet, void *), rte_pktmbuf_mtod(segmenter->source, void *),
	       segmenter->header);
	if (!payload_append(segmenter, packet, part, pool)) {
		rte_pktmbuf_free(packet);
		// Where it stands is not known any more: what is left is lost with it.
		segmenter->done = segmenter->payload;
		return NULL;
	}
	if (segmenter->fragments) {
		fragment_fix(segmenter, packet, begin, last);
	} else {
		ip_fix(packet, segmenter->l3, segmenter->v6, index, 0);
		transport_fix(segmenter, packet, begin, index == 0, last);
	}
	flags_copy(segmenter, packet);
	if (segmenter->outer_l3)
		outer_fix(segmenter, packet, index);
	return packet;
}
