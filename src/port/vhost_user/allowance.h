// A pool that gives buffers of another, up to a number that is set anew for each use: rte_vhost
// makes as long a chain of buffers as a guest's descriptors are, which may be those of many
// megabytes. Buffers go back to their own pool. One thread at a time uses it.

#pragma once

#include <stdbool.h>
#include <stdint.h>

struct rte_mempool;

struct allowance {
	struct rte_mempool *pool; // to be given to the library
	struct rte_mempool *from;
	uint32_t left;
	uint32_t calls;
	// Buffers behind a packet's first were refused: the library has lost the packet.
	bool lost;
};

// The allowance must stay where it is. Control thread. False: no memory.
bool allowance_open(struct allowance *allowance, struct rte_mempool *from);
void allowance_close(struct allowance *allowance);

static inline void allowance_set(struct allowance *allowance, uint32_t count)
{
	allowance->left = count;
	allowance->calls = 0;
	allowance->lost = false;
}
