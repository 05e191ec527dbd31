// The checksum of SCTP (RFC 9260 appendix A).

#pragma once

#include <stdbool.h>
#include <stdint.h>

struct rte_mbuf;

// Writes the CRC32c of the packet's bytes from `start` to `end` to `field`, inside them and in the
// first segment. False: the packet is shorter.
bool crc32c_complete(struct rte_mbuf *packet, uint32_t start, uint32_t end, uint32_t field);
