// The gateway cuts what is too large for its way, where the sender leaves that to it.

#pragma once

#include "packet/packet.h"

struct rte_mbuf;
struct rte_mempool;

// IPv4 without "don't fragment"?
bool gateway_may_fragment(const struct rte_mbuf *mbuf, const struct packet *packet);

// Makes at most `max` fragments of at most `mtu` bytes of IP packet each, frames of new buffers, in
// their order. `mbuf`, whose frame has no tag, stays as it is. Returns how many; 0: more than `max`
// would be needed, or there are no buffers.
uint32_t gateway_fragment(const struct rte_mbuf *mbuf, const struct packet *packet, uint32_t mtu,
			  struct rte_mempool *pool, struct rte_mbuf **fragments, uint32_t max);
