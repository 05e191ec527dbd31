// Mbuf chains that grow.

#pragma once

#include <stdbool.h>
#include <stdint.h>

struct rte_mbuf;
struct rte_mempool;

// Copies `length` bytes behind the chain that begins with `first` and ends with `*last`, into new
// buffers of `pool` where there is no room. False: there are too few; a part is there.
bool chain_append(struct rte_mbuf *first, struct rte_mbuf **last, const void *data, uint32_t length,
		  struct rte_mempool *pool);
