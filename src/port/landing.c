#include "port/landing.h"

#include <rte_mbuf.h>

static void part_set(struct port_landing *landing, uint32_t index)
{
	struct rte_mbuf *mbuf = landing->mbufs[index];

	landing->parts[1 + index] =
		(struct iovec){rte_pktmbuf_mtod(mbuf, void *), rte_pktmbuf_tailroom(mbuf)};
}

void landing_head(struct port_landing *landing, void *header, uint32_t size)
{
	landing->parts[0] = (struct iovec){header, size};
}

bool landing_fill(struct port_landing *landing, struct rte_mempool *pool, uint32_t count)
{
	uint32_t first = landing->count;

	if (first >= count)
		return true;
	if (rte_pktmbuf_alloc_bulk(pool, landing->mbufs + first, count - first) != 0)
		return false;
	landing->count = count;
	for (; first < count; first++)
		part_set(landing, first);
	return true;
}

struct rte_mbuf *landing_take(struct port_landing *landing, uint32_t first, uint32_t end,
			      uint32_t length)
{
	struct rte_mbuf *packet = landing->mbufs[first], *mbuf = packet;

	packet->pkt_len = length;
	for (;;) {
		landing->mbufs[first++] = NULL;
		mbuf->data_len = (uint16_t)RTE_MIN(length, (uint32_t)rte_pktmbuf_tailroom(mbuf));
		length -= mbuf->data_len;
		if (length == 0 || first == end)
			break;
		mbuf->next = landing->mbufs[first];
		mbuf = mbuf->next;
		packet->nb_segs++;
	}
	packet->pkt_len -= length;
	return packet;
}

void landing_settle(struct port_landing *landing)
{
	uint32_t i, last = landing->count;

	// From behind: what fills a gap is never one itself.
	for (i = landing->count; i-- > 0;) {
		if (landing->mbufs[i])
			continue;
		landing->mbufs[i] = landing->mbufs[--last];
		if (i < last)
			part_set(landing, i);
	}
	landing->count = last;
}

void landing_free(struct port_landing *landing)
{
	rte_pktmbuf_free_bulk(landing->mbufs, landing->count);
	landing->count = 0;
}
