#include "port/landing.h"

#include <rte_mbuf.h>

bool landing_fill(struct port_landing *landing, struct rte_mempool *pool, uint32_t count)
{
	if (landing->count >= count)
		return true;
	if (rte_pktmbuf_alloc_bulk(pool, landing->mbufs + landing->count, count - landing->count) !=
	    0)
		return false;
	landing->count = count;
	return true;
}

void landing_parts(const struct port_landing *landing, uint32_t first, uint32_t count,
		   struct iovec *parts)
{
	uint32_t i;

	for (i = 0; i < count; i++)
		parts[i] = (struct iovec){rte_pktmbuf_mtod(landing->mbufs[first + i], void *),
					  rte_pktmbuf_tailroom(landing->mbufs[first + i])};
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
	for (i = landing->count; i-- > 0;)
		if (!landing->mbufs[i])
			landing->mbufs[i] = landing->mbufs[--last];
	landing->count = last;
}

void landing_free(struct port_landing *landing)
{
	rte_pktmbuf_free_bulk(landing->mbufs, landing->count);
	landing->count = 0;
}
