// Cuts IPv4 packets that are too large for their way (RFC 791 section 3.2).

#include <arpa/inet.h>

#include <rte_mbuf.h>

#include "layer/gateway/fragment.h"
#include "packet/header.h"

#define DONT_FRAGMENT  0x4000
#define MORE_FRAGMENTS 0x2000
#define OFFSET_MASK    0x1fff
#define OPTION_COPIED  0x80
#define OPTION_NOP     1
#define HEADER_MAX     60

static uint16_t read16(const uint8_t *data)
{
	uint16_t value;

	memcpy(&value, data, 2);
	return ntohs(value);
}

static void write16(uint8_t *data, uint32_t value)
{
	data[0] = (uint8_t)(value >> 8);
	data[1] = (uint8_t)value;
}

bool gateway_may_fragment(const struct rte_mbuf *mbuf, const struct packet *packet)
{
	const uint8_t *ip = rte_pktmbuf_mtod_offset(mbuf, const uint8_t *, packet->l3_offset);

	return ip_is_v4(&packet->source) && !(read16(ip + 6) & DONT_FRAGMENT);
}

// The header of fragments behind the first: with those options only that say so. Returns its size.
static uint32_t make_later_header(const uint8_t *ip, uint32_t size, uint8_t *header)
{
	uint32_t used = IPV4_HEADER_SIZE;

	memcpy(header, ip, IPV4_HEADER_SIZE);
	// packet_parse has looked at the options' lengths; this trusts none.
	for (uint32_t at = IPV4_HEADER_SIZE; at < size && ip[at];) {
		uint32_t length = ip[at] == OPTION_NOP ? 1 : at + 1 < size ? ip[at + 1] : 0;

		if (!length || at + length > size)
			break;
		if (ip[at] & OPTION_COPIED) {
			memcpy(header + used, ip + at, length);
			used += length;
		}
		at += length;
	}
	while (used & 3)
		header[used++] = 0;
	header[0] = (uint8_t)(0x40 | used / 4);
	return used;
}

// A new chain of `header`, which starts with the Ethernet header, and `size` bytes of `from` at
// `offset`.
static struct rte_mbuf *copy_part(struct rte_mempool *pool, const uint8_t *header,
				  uint32_t header_size, const struct rte_mbuf *from,
				  uint32_t offset, uint32_t size)
{
	struct rte_mbuf *first = rte_pktmbuf_alloc(pool), *last = first;

	if (!first)
		return NULL;
	memcpy(rte_pktmbuf_append(first, (uint16_t)header_size), header, header_size);
	while (size) {
		uint32_t part = RTE_MIN(size, (uint32_t)rte_pktmbuf_tailroom(last));
		const void *data;
		uint8_t *to;

		if (!part) {
			struct rte_mbuf *next = rte_pktmbuf_alloc(pool);

			if (!next) {
				rte_pktmbuf_free(first);
				return NULL;
			}
			last->next = next;
			last = next;
			first->nb_segs++;
			continue;
		}
		to = rte_pktmbuf_mtod_offset(last, uint8_t *, last->data_len);
		data = rte_pktmbuf_read(from, offset, part, to);
		if (!data) {
			rte_pktmbuf_free(first);
			return NULL;
		}
		if (data != to)
			memcpy(to, data, part);
		last->data_len = (uint16_t)(last->data_len + part);
		first->pkt_len += part;
		offset += part;
		size -= part;
	}
	return first;
}

uint32_t gateway_fragment(const struct rte_mbuf *mbuf, const struct packet *packet, uint32_t mtu,
			  struct rte_mempool *pool, struct rte_mbuf **fragments, uint32_t max)
{
	const uint8_t *data = rte_pktmbuf_mtod(mbuf, const uint8_t *);
	const uint8_t *ip = data + packet->l3_offset;
	uint32_t header_size = (ip[0] & 15u) * 4, payload = packet->ip_length - header_size;
	uint32_t place = read16(ip + 6), room, count = 0;
	uint8_t header[ETHERNET_HEADER_SIZE + HEADER_MAX];

	if (packet->l3_offset != ETHERNET_HEADER_SIZE || mtu < header_size + 8)
		return 0;
	room = (mtu - header_size) & ~7u;
	if ((payload + room - 1) / room > max)
		return 0;
	memcpy(header, data, ETHERNET_HEADER_SIZE + header_size);
	for (uint32_t done = 0; done < payload; count++) {
		uint32_t part = payload - done < room ? payload - done : room;
		uint32_t at = (place & OFFSET_MASK) + done / 8;
		uint8_t *own = header + ETHERNET_HEADER_SIZE;
		bool more = done + part < payload || (place & MORE_FRAGMENTS);
		uint32_t own_size = (own[0] & 15u) * 4;
		uint16_t checksum;

		write16(own + 2, own_size + part);
		write16(own + 6, at | (more ? MORE_FRAGMENTS : 0));
		own[10] = own[11] = 0;
		checksum = checksum_finish(checksum_add(0, own, own_size));
		memcpy(own + 10, &checksum, 2);
		fragments[count] = copy_part(pool, header, ETHERNET_HEADER_SIZE + own_size, mbuf,
					     packet->l3_offset + header_size + done, part);
		if (!fragments[count])
			break;
		done += part;
		if (done == part)
			make_later_header(ip, header_size, own);
	}
	if (count && (uint64_t)count * room >= payload)
		return count;
	for (uint32_t i = 0; i < count; i++)
		rte_pktmbuf_free(fragments[i]);
	return 0;
}
