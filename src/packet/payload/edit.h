// A TCP segment's or UDP datagram's payload: finding it, and putting edits into its packet. Nothing
// here is for usual packets.

#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "packet/payload/edits.h"

struct rte_mbuf;
struct rte_mempool;

// Where the payload of an IP packet with TCP or UDP is: both headers begin at these offsets of the
// frame, and the payload ends where the IP packet does (behind it may be padding).
struct payload_place {
	uint16_t l3;
	uint16_t l4;
	uint16_t begin;
	uint32_t size;
	bool v6;
	bool tcp;
};

// False: it is no whole TCP or UDP packet, its lengths contradict each other, or its headers are
// not in the first buffer.
bool payload_find(const struct rte_mbuf *packet, uint16_t l3, uint16_t l4,
		  struct payload_place *place);

// The payload in one piece: in the packet, or copied to `buffer`, which has room for PAYLOAD_MAX.
// NULL: it is longer.
const uint8_t *payload_read(const struct rte_mbuf *packet, const struct payload_place *place,
			    uint8_t *buffer);

// Puts the edits into the packet, with lengths and checksums (one that is left to whoever sends
// stays so), and takes padding away. Buffers come from `pool` where the last one has no room.
// False: it can't be done, and the packet is as it was: it is one to be cut into segments, or
// becomes larger than `limit` bytes of IP packet, an edit is not inside the payload, or there are
// no buffers.
bool payload_write(struct rte_mbuf *packet, struct payload_place *place,
		   const struct payload_edits *edits, uint32_t limit, struct rte_mempool *pool);
