// Buffers that packets of unknown size are received into, up to the largest that a kernel sends. A
// worker's own, lent to the ports whose queues it receives from: ports without packets hold none.

#pragma once

#include <stdbool.h>

#include <stdint.h>
#include <sys/uio.h>

struct rte_mbuf;
struct rte_mempool;

// Frames of 65535 bytes of IP with Ethernet header and tags, in buffers of the usual size (2 KiB;
// smaller ones take smaller packets), and so many such at a time.
#define LANDING_FRAME	33
#define LANDING_FRAMES	4
#define LANDING_BUFFERS (LANDING_FRAME * LANDING_FRAMES)

struct port_landing {
	uint32_t count;
	struct rte_mbuf *mbufs[LANDING_BUFFERS];
	// Where each lies; the first place is for a header before the first buffer.
	struct iovec parts[1 + LANDING_BUFFERS];
};

// Where a header before the first buffer goes.
void landing_head(struct port_landing *landing, void *header, uint32_t size);

// Makes sure of `count` buffers. False: there are not so many.
bool landing_fill(struct port_landing *landing, struct rte_mempool *pool, uint32_t count);

// Makes a packet of the first `length` bytes of the buffers from `first` on, which end before
// `end`. Their places stay empty until landing_settle.
struct rte_mbuf *landing_take(struct port_landing *landing, uint32_t first, uint32_t end,
			      uint32_t length);

// Closes the gaps.
void landing_settle(struct port_landing *landing);

void landing_free(struct port_landing *landing);
