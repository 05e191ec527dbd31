#include "port/layout.h"

#include <netinet/in.h>
#include <string.h>

#include <rte_ether.h>
#include <rte_ip.h>

#include "port/offload.h"

static bool v4_find(const uint8_t *data, uint32_t end, struct layout *layout)
{
	const uint8_t *ip = data + layout->l3;
	uint32_t size;

	if (layout->l3 + 20u > end || ip[0] >> 4 != 4)
		return false;
	size = (ip[0] & 15u) * 4;
	if (size < 20 || layout->l3 + size > end)
		return false;
	layout->v6 = false;
	layout->l4 = (uint16_t)(layout->l3 + size);
	layout->end = layout->l3 + (uint32_t)read16(ip + 2);
	layout->protocol = ip[9];
	layout->fragment = read16(ip + 6) & 0x3fff;
	return true;
}

static bool v6_find(const uint8_t *data, uint32_t end, struct layout *layout)
{
	const uint8_t *ip = data + layout->l3;
	uint32_t offset = layout->l3 + 40u;
	uint8_t next;

	if (offset > end || ip[0] >> 4 != 6)
		return false;
	layout->v6 = true;
	layout->fragment = false;
	layout->end = offset + read16(ip + 4);
	next = ip[6];
	while (next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING || next == IPPROTO_DSTOPTS ||
	       next == IPPROTO_FRAGMENT) {
		if (offset + 8 > end)
			return false;
		layout->fragment |= next == IPPROTO_FRAGMENT;
		next = data[offset];
		offset += layout->fragment ? 8 : (data[offset + 1] + 1u) * 8;
		// Behind a fragment header there may be payload.
		if (layout->fragment)
			break;
	}
	if (offset > end)
		return false;
	layout->l4 = (uint16_t)offset;
	layout->protocol = next;
	return true;
}

bool layout_find(const struct rte_mbuf *packet, struct layout *layout)
{
	const uint8_t *data = rte_pktmbuf_mtod(packet, const uint8_t *);
	uint32_t offset = 2 * RTE_ETHER_ADDR_LEN, end = packet->data_len, tags;
	uint16_t type;

	for (tags = 0;; tags++) {
		if (offset + 2 > end)
			return false;
		type = read16(data + offset);
		offset += 2;
		if ((type != RTE_ETHER_TYPE_VLAN && type != RTE_ETHER_TYPE_QINQ) || tags == 2)
			break;
		offset += 2;
	}
	layout->l3 = (uint16_t)offset;
	if (type == RTE_ETHER_TYPE_IPV4)
		return v4_find(data, end, layout);
	return type == RTE_ETHER_TYPE_IPV6 && v6_find(data, end, layout);
}

bool layout_find_inner(const struct rte_mbuf *packet, uint16_t l4, uint8_t protocol,
		       struct layout *layout)
{
	const uint8_t *data = rte_pktmbuf_mtod(packet, const uint8_t *);
	uint16_t words;

	if (l4 > packet->data_len)
		return false;
	layout->fragment = false;
	layout->end = packet->pkt_len;
	layout->l4 = l4;
	layout->protocol = protocol;
	for (words = 5; words <= 15 && words * 4 < l4; words++) {
		layout->l3 = (uint16_t)(l4 - words * 4);
		layout->v6 = false;
		if (data[layout->l3] == (0x40 | words) && data[layout->l3 + 9] == protocol &&
		    read16(data + layout->l3 + 2) == packet->pkt_len - layout->l3)
			return true;
	}
	if (l4 <= 40)
		return false;
	layout->l3 = (uint16_t)(l4 - 40);
	layout->v6 = true;
	return data[layout->l3] >> 4 == 6 && data[layout->l3 + 6] == protocol &&
	       read16(data + layout->l3 + 4) == packet->pkt_len - l4;
}

bool layout_of_flags(const struct rte_mbuf *packet, struct layout *layout)
{
	const uint8_t *data = rte_pktmbuf_mtod(packet, const uint8_t *);
	uint32_t l3 = packet->l2_len, l4, minimum;

	if (packet->ol_flags & PACKET_TUNNELLED)
		l3 += packet->outer_l2_len + packet->outer_l3_len;
	l4 = l3 + packet->l3_len;
	layout->v6 = packet->ol_flags & RTE_MBUF_F_TX_IPV6;
	layout->protocol = (packet->ol_flags & RTE_MBUF_F_TX_L4_MASK) == RTE_MBUF_F_TX_TCP_CKSUM
				   ? IPPROTO_TCP
				   : IPPROTO_UDP;
	minimum = layout->protocol == IPPROTO_TCP ? 20 : 8;
	if (packet->l3_len < (layout->v6 ? 40 : 20) || l4 + minimum > packet->data_len ||
	    data[l3] >> 4 != (layout->v6 ? 6 : 4))
		return false;
	layout->l3 = (uint16_t)l3;
	layout->l4 = (uint16_t)l4;
	layout->end = packet->pkt_len;
	layout->fragment = false;
	return true;
}

uint16_t layout_pseudo_sum(const uint8_t *data, const struct layout *layout, uint32_t length)
{
	uint32_t addresses = layout->v6 ? 32 : 8;
	uint8_t pseudo[40] = {0};

	memcpy(pseudo, data + layout->l3 + (layout->v6 ? 8 : 12), addresses);
	pseudo[addresses + 1] = layout->protocol;
	write16(pseudo + addresses + 2, length >> 16);
	write16(pseudo + addresses + 4, length);
	return rte_raw_cksum(pseudo, addresses + 6);
}
