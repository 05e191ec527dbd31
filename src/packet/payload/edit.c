#include "packet/payload/edit.h"

#include <netinet/in.h>
#include <string.h>

#include <rte_mbuf.h>

#include "packet/header.h"

#define TCP_CHECKSUM 16
#define UDP_LENGTH   4
#define UDP_CHECKSUM 6

#define IP_PACKET_MAX 65535

static uint32_t read16(const uint8_t *at)
{
	return (uint32_t)at[0] << 8 | at[1];
}

static void write16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

bool payload_find(const struct rte_mbuf *packet, uint16_t l3, uint16_t l4,
		  struct payload_place *place)
{
	const uint8_t *data = rte_pktmbuf_mtod(packet, const uint8_t *), *ip = data + l3;
	const uint8_t *transport = data + l4;
	uint32_t end, header, protocol;

	// The protocol is what the IP header says: behind IPv6's extension headers nothing is
	// edited.
	if (l3 + IPV4_HEADER_SIZE > packet->data_len || l4 + UDP_HEADER_SIZE > packet->data_len)
		return false;
	place->v6 = ip[0] >> 4 == 6;
	if (place->v6) {
		if (l4 != l3 + IPV6_HEADER_SIZE)
			return false;
		protocol = ip[6];
		end = l3 + IPV6_HEADER_SIZE + read16(ip + 4);
	} else {
		// No fragments.
		if (l4 != l3 + (ip[0] & 15) * 4 || l4 < l3 + IPV4_HEADER_SIZE ||
		    read16(ip + 6) & 0x3fff)
			return false;
		protocol = ip[9];
		end = l3 + read16(ip + 2);
	}
	place->tcp = protocol == IPPROTO_TCP;
	if (place->tcp && l4 + TCP_HEADER_SIZE > packet->data_len)
		return false;
	header = place->tcp ? (transport[12] >> 4) * 4u : UDP_HEADER_SIZE;
	if ((!place->tcp && protocol != IPPROTO_UDP) ||
	    header < (place->tcp ? TCP_HEADER_SIZE : UDP_HEADER_SIZE) || end > packet->pkt_len ||
	    l4 + header > packet->data_len || l4 + header > end ||
	    (!place->tcp && read16(transport + UDP_LENGTH) != end - l4))
		return false;
	place->l3 = l3;
	place->l4 = l4;
	place->begin = (uint16_t)(l4 + header);
	place->size = end - place->begin;
	return true;
}

const uint8_t *payload_read(const struct rte_mbuf *packet, const struct payload_place *place,
			    uint8_t *buffer)
{
	if (place->size > PAYLOAD_MAX)
		return NULL;
	return rte_pktmbuf_read(packet, place->begin, place->size, buffer);
}

static void packet_shrink(struct rte_mbuf *packet, uint32_t size)
{
	struct rte_mbuf *last = packet;
	uint32_t left = size;

	packet->nb_segs = 1;
	for (; left > last->data_len; last = last->next) {
		left -= last->data_len;
		packet->nb_segs++;
	}
	last->data_len = (uint16_t)left;
	rte_pktmbuf_free(last->next);
	last->next = NULL;
	packet->pkt_len = size;
}

// By what the last buffer has room for, and another one.
static bool packet_grow(struct rte_mbuf *packet, uint32_t missing, struct rte_mempool *pool)
{
	struct rte_mbuf *last = rte_pktmbuf_lastseg(packet), *more;
	uint32_t part = RTE_MIN(missing, (uint32_t)rte_pktmbuf_tailroom(last));

	if (missing > part) {
		more = rte_pktmbuf_alloc(pool);
		if (!more)
			return false;
		if (missing - part > rte_pktmbuf_tailroom(more)) {
			rte_pktmbuf_free(more);
			return false;
		}
		more->data_len = (uint16_t)(missing - part);
		last->next = more;
		packet->nb_segs++;
	}
	last->data_len = (uint16_t)(last->data_len + part);
	packet->pkt_len += missing;
	return true;
}

static void payload_copy(struct rte_mbuf *packet, uint32_t offset, const uint8_t *from,
			 uint32_t size)
{
	struct rte_mbuf *at = packet;
	uint32_t part;

	for (; size; at = at->next) {
		if (offset >= at->data_len) {
			offset -= at->data_len;
			continue;
		}
		part = RTE_MIN(size, at->data_len - offset);
		memcpy(rte_pktmbuf_mtod_offset(at, uint8_t *, offset), from, part);
		from += part;
		size -= part;
		offset = 0;
	}
}

static struct ip_address address_read(const uint8_t *at, bool v6)
{
	struct ip_address address = ip_from_v4(0);

	if (v6)
		memcpy(&address, at, 16);
	else
		memcpy(&address.words[3], at, 4);
	return address;
}

// With the payload as it is to be at `payload`.
static void lengths_write(struct rte_mbuf *packet, const struct payload_place *place,
			  const uint8_t *payload)
{
	uint8_t *data = rte_pktmbuf_mtod(packet, uint8_t *), *ip = data + place->l3;
	uint8_t *transport = data + place->l4;
	uint8_t *field = transport + (place->tcp ? TCP_CHECKSUM : UDP_CHECKSUM);
	uint32_t header = place->begin - place->l4, addresses = place->v6 ? 8 : 12;
	uint32_t length = header + place->size;
	struct ip_address source = address_read(ip + addresses, place->v6);
	struct ip_address destination =
		address_read(ip + addresses + (place->v6 ? 16 : 4), place->v6);
	uint16_t checksum;
	uint64_t sum;

	if (place->v6) {
		write16(ip + 4, length);
	} else {
		write16(ip + 2, place->l4 - place->l3 + length);
		memset(ip + 10, 0, 2);
		checksum = checksum_finish(checksum_add(0, ip, place->l4 - place->l3));
		memcpy(ip + 10, &checksum, 2);
	}
	if (!place->tcp) {
		write16(transport + UDP_LENGTH, length);
		// Over IPv4 a datagram may have none (RFC 768).
		memcpy(&checksum, field, 2);
		if (!checksum && !place->v6)
			return;
	}
	if (packet->ol_flags & RTE_MBUF_F_TX_L4_MASK)
		return;
	memset(field, 0, 2);
	sum = checksum_pseudo(&source, &destination, place->tcp ? IPPROTO_TCP : IPPROTO_UDP,
			      length);
	// Both headers have a whole number of words.
	sum = checksum_add(sum, transport, header);
	checksum = checksum_finish(checksum_add(sum, payload, place->size));
	if (!place->tcp && !checksum)
		checksum = 0xffff;
	memcpy(field, &checksum, 2);
}

bool payload_write(struct rte_mbuf *packet, struct payload_place *place,
		   const struct payload_edits *edits, uint32_t limit, struct rte_mempool *pool)
{
	uint8_t buffer[PAYLOAD_MAX], result[PAYLOAD_MAX + PAYLOAD_TEXT_MAX];
	const uint8_t *payload = payload_read(packet, place, buffer);
	struct rte_mbuf *last;
	uint32_t size;
	int32_t length;

	if (!payload || packet->ol_flags & (RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_UDP_SEG))
		return false;
	// What is another's, too, is not written to.
	for (last = packet; last; last = last->next)
		if (!RTE_MBUF_DIRECT(last) || rte_mbuf_refcnt_read(last) != 1)
			return false;
	length = payload_edits_apply(edits, payload, place->size, result, sizeof(result));
	limit = RTE_MIN(limit, (uint32_t)IP_PACKET_MAX);
	if (length < 0 || place->begin - place->l3 + (uint32_t)length > limit)
		return false;
	size = place->begin + (uint32_t)length;
	if (size <= packet->pkt_len)
		packet_shrink(packet, size);
	else if (!packet_grow(packet, size - packet->pkt_len, pool))
		return false;
	place->size = (uint32_t)length;
	payload_copy(packet, place->begin, result, place->size);
	lengths_write(packet, place, result);
	return true;
}
