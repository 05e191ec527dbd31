// Copying small frames, and beginning packets: what costs where there are millions a second.

#pragma once

#include <rte_mbuf.h>

#include "port/vhost_user/ring/packed.h"
#include "port/vhost_user/ring/split.h"

struct copy_16 {
	uint64_t words[2];
} __attribute__((packed, aligned(1), may_alias));

// All is read before anything is written, so that the processor need not wait.
static inline void copy_64(uint8_t *to, const uint8_t *from)
{
	struct copy_16 a = ((const struct copy_16 *)from)[0], b = ((const struct copy_16 *)from)[1],
		       c = ((const struct copy_16 *)from)[2], d = ((const struct copy_16 *)from)[3];

	((struct copy_16 *)to)[0] = a;
	((struct copy_16 *)to)[1] = b;
	((struct copy_16 *)to)[2] = c;
	((struct copy_16 *)to)[3] = d;
}

// Exactly `size` bytes of at most a usual frame: vectors may overlap.
static __rte_always_inline void copy_exactly(uint8_t *to, const uint8_t *from, uint32_t size)
{
	if (likely(size - 32 <= 32)) {
		struct copy_16 a = *(const struct copy_16 *)from,
			       b = *(const struct copy_16 *)(from + 16),
			       c = *(const struct copy_16 *)(from + size - 32),
			       d = *(const struct copy_16 *)(from + size - 16);

		*(struct copy_16 *)to = a;
		*(struct copy_16 *)(to + 16) = b;
		*(struct copy_16 *)(to + size - 32) = c;
		*(struct copy_16 *)(to + size - 16) = d;
		return;
	}
	memcpy(to, from, size);
}

// What rte_pktmbuf_reset does, with a length, for a buffer as pools give them (one segment,
// no next).
static __rte_always_inline void packet_begin(struct rte_mbuf *packet, uint32_t size)
{
	packet->data_off = RTE_PKTMBUF_HEADROOM;
	packet->port = RTE_MBUF_PORT_INVALID;
	packet->ol_flags = 0;
	packet->packet_type = 0;
	packet->pkt_len = size;
	packet->data_len = (uint16_t)size;
	packet->vlan_tci = 0;
	packet->vlan_tci_outer = 0;
	packet->tx_offload = 0;
}

// The guest sees what was given back.
static __rte_always_inline void ring_end(struct vhost_ring *ring, const struct ring_burst *burst,
					 bool packed)
{
	struct ring_place from = {ring->next, ring->wrap};

	if (packed)
		packed_publish(ring, burst);
	else
		split_publish(ring, burst);
	if (unlikely(ring->log))
		ring_log_given(ring, from, burst->given);
}
