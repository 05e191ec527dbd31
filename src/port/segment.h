// Segmentation in software: a packet with one of PACKET_SEGMENTATION becomes several complete ones.
//
// TCP: sequence numbers go on, FIN and PSH stay with the last, CWR with the first. UDP (USO): each
// segment is a datagram. UFO: IP fragments of one datagram (RFC 791, RFC 8200 section 4.5). IPv4
// identifications go on by one, also those of outer headers.

#pragma once

#include <stdbool.h>
#include <stdint.h>

struct rte_mbuf;
struct rte_mempool;

struct segmenter {
	struct rte_mbuf *source;   // stays the caller's
	const struct rte_mbuf *at; // segment of the next payload byte
	uint32_t at_offset;
	uint32_t payload;	 // bytes in all
	uint32_t done;		 // of them
	uint32_t identification; // of IPv6 fragments
	uint16_t size;		 // payload bytes of a segment
	uint16_t index;		 // of the next segment
	uint16_t header;	 // bytes before the payload in the source
	uint16_t outer_l3;	 // 0: no tunnel
	uint16_t outer_l4;
	uint16_t l3;
	uint16_t l4;
	uint8_t outer_protocol;
	uint8_t protocol;
	bool outer_v6;
	bool v6;
	bool fragments;
	bool checksum; // of TCP or UDP is made here, not left to the device
};

// False: the flags contradict the packet, or its tunnel can't be repeated. `checksum`: segments are
// to be complete; else each says itself what is missing. `packet` must last until the end and is
// changed.
bool segmenter_begin(struct segmenter *segmenter, struct rte_mbuf *packet, bool checksum);

static inline bool segmenter_done(const struct segmenter *segmenter)
{
	return segmenter->done >= segmenter->payload;
}

// Segments that are still to come.
static inline uint32_t segmenter_left(const struct segmenter *segmenter)
{
	return (segmenter->payload - segmenter->done + segmenter->size - 1) / segmenter->size;
}

// The next segment, or NULL without buffers; it is left out then.
struct rte_mbuf *segmenter_next(struct segmenter *segmenter, struct rte_mempool *pool);
