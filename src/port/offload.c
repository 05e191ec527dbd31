// Checksums and segmentation in software.

#include "port/offload.h"

#include <netinet/in.h>
#include <string.h>

#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_tcp.h>
#include <rte_udp.h>

// Missing in bookworm's headers.
#define GSO_UDP_L4 5

static void frame_read(const struct frame *frame, uint32_t offset, uint32_t length, uint8_t *to)
{
	uint32_t part;

	if (offset < frame->head_length) {
		part = RTE_MIN(length, frame->head_length - offset);
		memcpy(to, frame->head + offset, part);
		to += part;
		offset += part;
		length -= part;
	}
	if (length)
		memcpy(to, frame->tail + (offset - frame->head_length), length);
}

struct rte_mbuf *frame_copy(const struct frame *frame, uint32_t offset, uint32_t length,
			    uint16_t reserve, struct rte_mempool *pool)
{
	struct rte_mbuf *first = NULL, *last = NULL, *mbuf;
	uint32_t part;

	do {
		mbuf = rte_pktmbuf_alloc(pool);
		if (!mbuf) {
			rte_pktmbuf_free(first);
			return NULL;
		}
		if (!first) {
			first = mbuf;
		} else {
			last->next = mbuf;
			first->nb_segs++;
		}
		last = mbuf;
		part = RTE_MIN(length, (uint32_t)rte_pktmbuf_tailroom(mbuf) - reserve);
		frame_read(frame, offset, part, rte_pktmbuf_mtod(mbuf, uint8_t *) + reserve);
		mbuf->data_len = (uint16_t)(part + reserve);
		first->pkt_len += part + reserve;
		offset += part;
		length -= part;
		reserve = 0;
	} while (length);
	return first;
}

bool checksum_complete(struct rte_mbuf *packet, uint16_t start, uint16_t offset)
{
	uint32_t field = (uint32_t)start + offset;
	uint16_t sum;

	if (field + 2 > packet->data_len || start >= packet->pkt_len)
		return false;
	if (rte_raw_cksum_mbuf(packet, start, packet->pkt_len - start, &sum) < 0)
		return false;
	sum = (uint16_t)~sum;
	// For UDP zero would mean that there is none; for TCP both stand for the same.
	if (sum == 0)
		sum = 0xffff;
	memcpy(rte_pktmbuf_mtod_offset(packet, uint8_t *, field), &sum, sizeof(sum));
	return true;
}

static uint16_t read16(const uint8_t *bytes)
{
	return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static void write16(uint8_t *bytes, uint32_t value)
{
	bytes[0] = (uint8_t)(value >> 8);
	bytes[1] = (uint8_t)value;
}

// Finds the IP header behind the Ethernet header at `offset`.
static bool level_parse(const struct frame *frame, uint32_t offset, struct segmenter_level *level)
{
	const uint8_t *head = frame->head;
	uint32_t end = frame->head_length, tags;
	uint16_t type;
	uint8_t next;

	offset += 12;
	for (tags = 0;; tags++) {
		if (offset + 2 > end)
			return false;
		type = read16(head + offset);
		offset += 2;
		if ((type != RTE_ETHER_TYPE_VLAN && type != RTE_ETHER_TYPE_QINQ) || tags == 2)
			break;
		offset += 2;
	}
	level->ip = (uint16_t)offset;
	level->v6 = type == RTE_ETHER_TYPE_IPV6;
	if (type == RTE_ETHER_TYPE_IPV4) {
		if (offset + 20 > end || head[offset] >> 4 != 4 || (head[offset] & 15) < 5)
			return false;
		level->protocol = head[offset + 9];
		level->transport = (uint16_t)(offset + (head[offset] & 15) * 4u);
		return true;
	}
	if (!level->v6 || offset + 40 > end || head[offset] >> 4 != 6)
		return false;
	next = head[offset + 6];
	offset += 40;
	while (next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING || next == IPPROTO_DSTOPTS) {
		if (offset + 8 > end)
			return false;
		next = head[offset];
		offset += (head[offset + 1] + 1u) * 8;
	}
	level->protocol = next;
	level->transport = (uint16_t)offset;
	return offset < end;
}

// Can the headers of the tunnel at `level` be repeated for each packet?
static bool tunnel_repeatable(const struct frame *frame, const struct segmenter_level *level)
{
	switch (level->protocol) {
	case IPPROTO_IPIP:
	case IPPROTO_IPV6:
		return true;
	case IPPROTO_UDP:
		return level->transport + 8u <= frame->head_length;
	case IPPROTO_GRE:
		// Not with a checksum or sequence numbers.
		return level->transport + 4u <= frame->head_length &&
		       (read16(frame->head + level->transport) & 0x9000) == 0;
	default:
		return false;
	}
}

// Finds the IP header whose transport header is at `transport`, whatever tunnel it is in: the
// lengths must fit.
static bool inner_find(const struct frame *frame, uint16_t transport, uint8_t protocol,
		       struct segmenter_level *level)
{
	const uint8_t *head = frame->head;
	uint16_t words;

	level->transport = transport;
	level->protocol = protocol;
	for (words = 5; words <= 15 && words * 4 < transport; words++) {
		level->ip = (uint16_t)(transport - words * 4);
		level->v6 = false;
		if (head[level->ip] == (0x40 | words) && head[level->ip + 9] == protocol &&
		    read16(head + level->ip + 2) == frame->length - level->ip)
			return true;
	}
	if (transport <= 40)
		return false;
	level->ip = (uint16_t)(transport - 40);
	level->v6 = true;
	return head[level->ip] >> 4 == 6 && head[level->ip + 6] == protocol &&
	       read16(head + level->ip + 4) == frame->length - transport;
}

bool segmenter_begin(struct segmenter *segmenter, const struct frame *frame,
		     const struct virtio_net_hdr *header)
{
	uint8_t type = header->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN, protocol;
	struct segmenter_level *level = segmenter->levels;
	uint32_t length;

	segmenter->frame = *frame;
	segmenter->index = 0;
	segmenter->segment_size = header->gso_size;
	segmenter->level_count = 1;
	if (type == VIRTIO_NET_HDR_GSO_TCPV4 || type == VIRTIO_NET_HDR_GSO_TCPV6)
		protocol = IPPROTO_TCP;
	else if (type == GSO_UDP_L4)
		protocol = IPPROTO_UDP;
	else
		return false;
	if (!(header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) || header->gso_size == 0 ||
	    header->csum_start + 20u > frame->head_length || !level_parse(frame, 0, level))
		return false;
	if (header->csum_start > level->transport) {
		if (!tunnel_repeatable(frame, level) ||
		    !inner_find(frame, header->csum_start, protocol, ++level))
			return false;
		segmenter->level_count = 2;
	}
	if (header->csum_start != level->transport || level->protocol != protocol)
		return false;
	length = level->transport + 8u;
	if (protocol == IPPROTO_TCP) {
		length = level->transport + (frame->head[level->transport + 12] >> 4) * 4u;
		if (length < level->transport + 20u)
			return false;
	}
	// Headers go into the first mbuf whole; they are far smaller than any.
	if (length > frame->head_length || length > 512 || length >= frame->length)
		return false;
	segmenter->header_length = (uint16_t)length;
	segmenter->offset = length;
	return true;
}

// Writes lengths and checksum of the IP header at `level` for a packet of `length` bytes.
static void ip_fix(uint8_t *data, const struct segmenter_level *level, uint32_t length,
		   uint16_t index)
{
	uint8_t *ip = data + level->ip;
	uint16_t sum;

	if (level->v6) {
		write16(ip + 4, length - level->ip - 40);
		return;
	}
	write16(ip + 2, length - level->ip);
	write16(ip + 4, read16(ip + 4) + (uint32_t)index);
	write16(ip + 10, 0);
	sum = (uint16_t)~rte_raw_cksum(ip, (ip[0] & 15) * 4u);
	memcpy(ip + 10, &sum, sizeof(sum));
}

// Puts the sum of the pseudo header into the transport's checksum field at `field`, and completes
// it.
static void transport_fix(struct rte_mbuf *packet, const struct segmenter_level *level,
			  uint16_t field)
{
	uint8_t *data = rte_pktmbuf_mtod(packet, uint8_t *);
	uint8_t pseudo[40] = {0};
	uint32_t length = packet->pkt_len - level->transport, addresses = level->v6 ? 32 : 8;
	uint16_t sum;

	memcpy(pseudo, data + level->ip + (level->v6 ? 8 : 12), addresses);
	pseudo[addresses + 1] = level->protocol;
	write16(pseudo + addresses + 2, length >> 16);
	write16(pseudo + addresses + 4, length);
	sum = rte_raw_cksum(pseudo, addresses + 6);
	memcpy(data + level->transport + field, &sum, sizeof(sum));
	checksum_complete(packet, level->transport, field);
}

struct rte_mbuf *segmenter_next(struct segmenter *segmenter, struct rte_mempool *pool)
{
	const struct segmenter_level *inner = &segmenter->levels[segmenter->level_count - 1];
	uint32_t begin = segmenter->offset, part, sequence;
	uint16_t index = segmenter->index++, i;
	struct rte_mbuf *packet;
	uint8_t *data, *transport;
	bool last;

	part = RTE_MIN((uint32_t)segmenter->segment_size, segmenter->frame.length - begin);
	segmenter->offset += part;
	last = segmenter_done(segmenter);
	packet = frame_copy(&segmenter->frame, begin, part, segmenter->header_length, pool);
	if (!packet)
		return NULL;
	data = rte_pktmbuf_mtod(packet, uint8_t *);
	memcpy(data, segmenter->frame.head, segmenter->header_length);
	for (i = 0; i < segmenter->level_count; i++)
		ip_fix(data, &segmenter->levels[i], packet->pkt_len, index);
	transport = data + inner->transport;
	if (inner->protocol == IPPROTO_TCP) {
		memcpy(&sequence, transport + 4, sizeof(sequence));
		sequence = htonl(ntohl(sequence) + begin - segmenter->header_length);
		memcpy(transport + 4, &sequence, sizeof(sequence));
		if (!last)
			transport[13] &= (uint8_t) ~(RTE_TCP_FIN_FLAG | RTE_TCP_PSH_FLAG);
		if (index > 0)
			transport[13] &= (uint8_t)~RTE_TCP_CWR_FLAG;
		transport_fix(packet, inner, 16);
	} else {
		write16(transport + 4, packet->pkt_len - inner->transport);
		transport_fix(packet, inner, 6);
	}
	if (segmenter->level_count == 2 && segmenter->levels[0].protocol == IPPROTO_UDP) {
		transport = data + segmenter->levels[0].transport;
		write16(transport + 4, packet->pkt_len - segmenter->levels[0].transport);
		// Zero means that the sender does without; otherwise the inner packet is covered
		// too.
		if (read16(transport + 6) != 0)
			transport_fix(packet, &segmenter->levels[0], 6);
	}
	return packet;
}
