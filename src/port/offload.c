#include "port/offload.h"

#include <netinet/in.h>
#include <string.h>

#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_tcp.h>

#include "port/crc32c.h"
#include "port/layout.h"
#include "port/segments_max.h"

// Missing in bookworm's headers.
#define GSO_UDP_L4 5

#define TCP_CHECKSUM  16
#define UDP_CHECKSUM  6
#define SCTP_CHECKSUM 8

// What is asked for.
enum request {
	REQUEST_CHECKSUM,
	REQUEST_TCP,
	REQUEST_USO,
	REQUEST_UFO,
};

// Writes the complement of the sum behind `start` plus `sum` to `field`.
static bool sum_complete(struct rte_mbuf *packet, uint32_t start, uint32_t field, uint32_t sum)
{
	uint16_t data;

	if (rte_raw_cksum_mbuf(packet, start, packet->pkt_len - start, &data) < 0)
		return false;
	sum += data;
	sum = (sum & 0xffff) + (sum >> 16);
	data = (uint16_t) ~(sum + (sum >> 16));
	// For UDP zero would mean that there is none; for TCP both stand for the same.
	if (data == 0)
		data = 0xffff;
	memcpy(rte_pktmbuf_mtod_offset(packet, uint8_t *, field), &data, sizeof(data));
	return true;
}

bool packet_complete_checksum(struct rte_mbuf *packet)
{
	uint8_t *data = rte_pktmbuf_mtod(packet, uint8_t *);
	struct layout layout;
	uint32_t field;

	if (!layout_of_flags(packet, &layout))
		return false;
	field = layout.l4 + (layout.protocol == IPPROTO_TCP ? TCP_CHECKSUM : UDP_CHECKSUM);
	memset(data + field, 0, 2);
	if (!sum_complete(packet, layout.l4, field,
			  layout_pseudo_sum(data, &layout, packet->pkt_len - layout.l4)))
		return false;
	packet_set_complete(packet);
	return true;
}

// Whatever protocol it is: the field at `start + offset` holds the part of the sum that is not in
// the packet behind `start`.
static enum offload_verdict other_complete(struct rte_mbuf *packet, const struct layout *layout,
					   uint32_t start, uint32_t offset)
{
	uint32_t field = start + offset;

	packet_set_complete(packet);
	if (field + 2 > packet->data_len || start >= packet->pkt_len)
		return OFFLOAD_BROKEN;
	if (layout && layout->protocol == IPPROTO_SCTP && !layout->fragment &&
	    start == layout->l4 && offset == SCTP_CHECKSUM)
		return layout->end <= packet->pkt_len && start + 12 <= layout->end &&
				       field + 4 <= packet->data_len &&
				       crc32c_complete(packet, start, layout->end, field)
			       ? OFFLOAD_READY
			       : OFFLOAD_BROKEN;
	return sum_complete(packet, start, field, 0) ? OFFLOAD_READY : OFFLOAD_BROKEN;
}

// `outer` is of the tunnel that `inner` is in, or NULL. False: the mbuf's fields are too small.
static bool flags_set(struct rte_mbuf *packet, const struct layout *inner,
		      const struct layout *outer)
{
	uint32_t l2 = inner->l3 - (outer ? outer->l4 : 0u), l3 = (uint32_t)(inner->l4 - inner->l3);
	bool tcp = inner->protocol == IPPROTO_TCP;

	packet_set_complete(packet);
	if (l2 > 127 || l3 > 511)
		return false;
	if (outer) {
		if (outer->l3 > 127 || outer->l4 - outer->l3 > 511)
			return false;
		packet->outer_l2_len = outer->l3 & 127;
		packet->outer_l3_len = (uint32_t)(outer->l4 - outer->l3) & 511;
		packet->ol_flags = outer->v6 ? RTE_MBUF_F_TX_OUTER_IPV6 : RTE_MBUF_F_TX_OUTER_IPV4;
	}
	packet->l2_len = l2 & 127;
	packet->l3_len = l3 & 511;
	packet->l4_len = 8;
	if (tcp)
		packet->l4_len =
			(*rte_pktmbuf_mtod_offset(packet, uint8_t *, inner->l4 + 12) >> 4) * 4u;
	packet->ol_flags |= (inner->v6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4) |
			    (tcp ? RTE_MBUF_F_TX_TCP_CKSUM : RTE_MBUF_F_TX_UDP_CKSUM);
	return true;
}

// Is it TCP or UDP, whole and nothing behind it, with lengths that agree?
static bool is_regular(const struct rte_mbuf *packet, const struct layout *layout)
{
	const uint8_t *l4 = rte_pktmbuf_mtod_offset(packet, const uint8_t *, layout->l4);
	uint32_t header;

	if (layout->fragment || layout->end != packet->pkt_len ||
	    layout->l4 + 8u > packet->data_len)
		return false;
	if (layout->protocol == IPPROTO_UDP)
		return read16(l4 + 4) == layout->end - layout->l4;
	if (layout->protocol != IPPROTO_TCP || layout->l4 + 20u > packet->data_len)
		return false;
	header = (l4[12] >> 4) * 4u;
	return header >= 20 && layout->l4 + header <= packet->data_len;
}

static bool size_allowed(enum request request, uint32_t payload, uint32_t size)
{
	uint32_t segments = size ? (payload + size - 1) / size : 0;

	switch (request) {
	case REQUEST_TCP:
		return size >= TCP_SEGMENT_MIN && segments <= TCP_SEGMENTS_MAX;
	case REQUEST_USO:
		return size && segments <= UDP_SEGMENTS_MAX;
	case REQUEST_UFO:
		return size >= UFO_FRAGMENT_MIN;
	default:
		return false;
	}
}

// Adds the segmentation to the flags of a regular packet.
static enum offload_verdict segmentation_accept(struct rte_mbuf *packet,
						const struct layout *layout, enum request request,
						uint16_t size)
{
	uint32_t payload = packet->pkt_len - layout->l4 - packet->l4_len;

	if (layout->protocol != (request == REQUEST_TCP ? IPPROTO_TCP : IPPROTO_UDP) ||
	    !size_allowed(request, payload, size))
		return OFFLOAD_BROKEN;
	// The offset of a fragment counts by eight bytes.
	if (request == REQUEST_UFO) {
		size &= (uint16_t)~7;
		payload += 8;
	}
	if (payload <= size)
		return OFFLOAD_READY;
	packet->tso_segsz = size;
	packet->ol_flags |= request == REQUEST_TCP ? RTE_MBUF_F_TX_TCP_SEG : RTE_MBUF_F_TX_UDP_SEG;
	if (request == REQUEST_UFO)
		packet->ol_flags |= PACKET_UFO;
	if (request == REQUEST_TCP &&
	    *rte_pktmbuf_mtod_offset(packet, uint8_t *, layout->l4 + 13) & RTE_TCP_CWR_FLAG)
		packet->ol_flags |= PACKET_CWR;
	return OFFLOAD_READY;
}

static bool checksum_field(const struct virtio_net_hdr *header, uint8_t *protocol)
{
	*protocol = header->csum_offset == TCP_CHECKSUM ? IPPROTO_TCP : IPPROTO_UDP;
	return header->csum_offset == TCP_CHECKSUM || header->csum_offset == UDP_CHECKSUM;
}

static bool request_read(const struct virtio_net_hdr *header, const struct layout *layout,
			 enum request *request)
{
	switch (header->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_NONE:
		*request = REQUEST_CHECKSUM;
		return true;
	case VIRTIO_NET_HDR_GSO_TCPV4:
		*request = REQUEST_TCP;
		return !layout->v6;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		*request = REQUEST_TCP;
		return layout->v6;
	case GSO_UDP_L4:
		*request = REQUEST_USO;
		return true;
	case VIRTIO_NET_HDR_GSO_UDP:
		*request = REQUEST_UFO;
		return true;
	default:
		return false;
	}
}

enum offload_verdict offload_from_virtio(struct rte_mbuf *packet,
					 const struct virtio_net_hdr *header)
{
	bool segmentation = header->gso_type != VIRTIO_NET_HDR_GSO_NONE, inside, known;
	struct layout outer, inner;
	enum request request;
	uint8_t protocol;

	packet_set_complete(packet);
	if (!(header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		return segmentation ? OFFLOAD_BROKEN : OFFLOAD_READY;
	known = layout_find(packet, &outer);
	inside = known && header->csum_start > outer.l4;
	inner = outer;
	if (!known || !checksum_field(header, &protocol) || header->csum_start < outer.l4 ||
	    outer.end != packet->pkt_len || outer.fragment ||
	    (inside && !layout_find_inner(packet, header->csum_start, protocol, &inner)) ||
	    inner.protocol != protocol || (inside && inner.l3 < outer.l4) ||
	    !is_regular(packet, &inner) || !flags_set(packet, &inner, inside ? &outer : NULL)) {
		packet_set_complete(packet);
		return segmentation ? OFFLOAD_BROKEN
				    : other_complete(packet, known ? &outer : NULL,
						     header->csum_start, header->csum_offset);
	}
	if (!segmentation)
		return OFFLOAD_READY;
	// The type is of the inner packet.
	if (!request_read(header, &inner, &request) || (inside && request == REQUEST_UFO))
		return OFFLOAD_BROKEN;
	if (segmentation_accept(packet, &inner, request, header->gso_size) != OFFLOAD_READY)
		return OFFLOAD_BROKEN;
	return inside && packet->ol_flags & PACKET_SEGMENTATION ? OFFLOAD_CUT : OFFLOAD_READY;
}

bool offload_to_virtio(struct rte_mbuf *packet, struct virtio_net_hdr *header)
{
	uint8_t *data = rte_pktmbuf_mtod(packet, uint8_t *);
	struct layout layout;
	uint16_t sum;

	memset(header, 0, sizeof(*header));
	if (!layout_of_flags(packet, &layout))
		return false;
	header->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	header->csum_start = layout.l4;
	header->csum_offset = layout.protocol == IPPROTO_TCP ? TCP_CHECKSUM : UDP_CHECKSUM;
	sum = layout_pseudo_sum(data, &layout, packet->pkt_len - layout.l4);
	memcpy(data + layout.l4 + header->csum_offset, &sum, sizeof(sum));
	if (!(packet->ol_flags & PACKET_SEGMENTATION))
		return true;
	header->gso_size = packet->tso_segsz;
	header->hdr_len = (uint16_t)(layout.l4 + packet->l4_len);
	if (packet->ol_flags & PACKET_UFO)
		header->gso_type = VIRTIO_NET_HDR_GSO_UDP;
	else if (packet->ol_flags & RTE_MBUF_F_TX_UDP_SEG)
		header->gso_type = GSO_UDP_L4;
	else
		header->gso_type = layout.v6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;
	if (packet->ol_flags & PACKET_CWR)
		header->gso_type |= VIRTIO_NET_HDR_GSO_ECN;
	return true;
}

bool packet_encapsulate(struct rte_mbuf *packet, bool outer_v4, uint16_t outer_l3, uint16_t between)
{
	uint32_t l2 = packet->l2_len + (uint32_t)between;

	// A tunnel of the sender's own: there is no form for two.
	if (packet->ol_flags & PACKET_TUNNELLED) {
		if (packet->ol_flags & PACKET_SEGMENTATION)
			return false;
		return packet_complete_checksum(packet);
	}
	if (l2 > 127)
		return false;
	packet->l2_len = l2 & 127;
	packet->outer_l2_len = RTE_ETHER_HDR_LEN;
	packet->outer_l3_len = outer_l3 & 511;
	packet->ol_flags |= RTE_MBUF_F_TX_TUNNEL_VXLAN |
			    (outer_v4 ? RTE_MBUF_F_TX_OUTER_IPV4 : RTE_MBUF_F_TX_OUTER_IPV6);
	return true;
}

void packet_decapsulate(struct rte_mbuf *packet, uint16_t size)
{
	uint32_t before = packet->outer_l2_len + packet->outer_l3_len + packet->l2_len;

	// What was missing was the outer checksum, which nobody needs any more.
	if (!(packet->ol_flags & PACKET_TUNNELLED) || before < size + (uint32_t)RTE_ETHER_HDR_LEN ||
	    before - size > 127) {
		packet_set_complete(packet);
		return;
	}
	packet->l2_len = (before - size) & 127;
	packet->outer_l2_len = 0;
	packet->outer_l3_len = 0;
	packet->ol_flags &= ~(PACKET_TUNNELLED | RTE_MBUF_F_TX_TUNNEL_MASK);
}
