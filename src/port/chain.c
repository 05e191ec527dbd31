#include "port/chain.h"

#include <string.h>

#include <rte_mbuf.h>

bool chain_append(struct rte_mbuf *first, struct rte_mbuf **last, const void *data, uint32_t length,
		  struct rte_mempool *pool)
{
	const uint8_t *bytes = data;
	struct rte_mbuf *mbuf = *last;
	uint32_t part;

	while (length) {
		if (rte_pktmbuf_tailroom(mbuf) == 0) {
			mbuf->next = rte_pktmbuf_alloc(pool);
			if (!mbuf->next)
				return false;
			mbuf = mbuf->next;
			*last = mbuf;
			first->nb_segs++;
		}
		part = RTE_MIN(length, (uint32_t)rte_pktmbuf_tailroom(mbuf));
		memcpy(rte_pktmbuf_mtod_offset(mbuf, void *, mbuf->data_len), bytes, part);
		mbuf->data_len = (uint16_t)(mbuf->data_len + part);
		first->pkt_len += part;
		bytes += part;
		length -= part;
	}
	return true;
}
