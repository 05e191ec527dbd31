// What a sender leaves unfinished in packets that it expects a network card to finish: checksums,
// and segmentation of large TCP and UDP sends.

#pragma once

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

// A packet with one of these is cut into segments of `tso_segsz` bytes of payload where it leaves
// for something that can't do so itself. l2_len, l3_len and l4_len are those of its headers.
#define PACKET_SEGMENTATION (RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_UDP_SEG)

// Bytes of the largest frame that the packet becomes on a wire. This, not pkt_len, is held against
// an MTU.
static inline uint32_t packet_wire_size(const struct rte_mbuf *packet)
{
	uint32_t size;

	if (likely(!(packet->ol_flags & PACKET_SEGMENTATION)))
		return packet->pkt_len;
	size = packet->l2_len + packet->l3_len + packet->l4_len + (uint32_t)packet->tso_segsz;
	return RTE_MIN(size, packet->pkt_len);
}

// A frame as it was read: the first part lies in one buffer, the rest, if any, in another.
struct frame {
	const uint8_t *head;
	const uint8_t *tail;
	uint32_t head_length;
	uint32_t length; // of both
};

// Copies `length` bytes of `frame` from `offset` into new mbufs of `pool`, behind `reserve` bytes
// left unwritten at their beginning. NULL without mbufs.
struct rte_mbuf *frame_copy(const struct frame *frame, uint32_t offset, uint32_t length,
			    uint16_t reserve, struct rte_mempool *pool);

// Fills in the checksum that covers everything behind `start`; the field at `start + offset` holds
// the sum of the pseudo header. False: these are outside the packet's first segment.
bool checksum_complete(struct rte_mbuf *packet, uint16_t start, uint16_t offset);

// An IP level of a large frame: one for plain TCP, two for TCP in VXLAN, GRE or the like.
struct segmenter_level {
	uint16_t ip;	    // offset of the IP header
	uint16_t transport; // offset of the UDP or TCP header
	bool v6;
	uint8_t protocol;
};

// Cuts one large frame into packets.
struct segmenter {
	struct frame frame;
	struct segmenter_level levels[2];
	uint16_t level_count;
	uint16_t header_length;
	uint16_t segment_size; // payload bytes
	uint16_t index;	       // of the next packet
	uint32_t offset;       // of the next payload byte
};

// False: the header contradicts the frame, or asks for what is not understood. `frame`'s buffers
// must last until all packets were taken.
bool segmenter_begin(struct segmenter *segmenter, const struct frame *frame,
		     const struct virtio_net_hdr *header);

static inline bool segmenter_done(const struct segmenter *segmenter)
{
	return segmenter->offset >= segmenter->frame.length;
}

// The next packet, complete, or NULL without mbufs; it is left out then.
struct rte_mbuf *segmenter_next(struct segmenter *segmenter, struct rte_mempool *pool);
