// Packets into a guest's receive queue.
//
// A packet in one buffer that fits into a slot is copied there; slots of a burst are looked up and
// prefetched first. Everything else goes through send_chain, one by one.

#include <rte_mbuf.h>

#include "port/offload.h"
#include "port/vhost_user/ring/copy.h"
#include "port/vhost_user/ring/packed.h"
#include "port/vhost_user/ring/split.h"

// Buffers that one frame may go into.
#define BUFFERS_MAX 256

enum sent {
	SENT,
	REFUSED, // it never will be
	FULL,
};

static __rte_always_inline void give(struct vhost_ring *ring, struct ring_burst *burst, uint16_t id,
				     uint32_t size, uint16_t places, bool packed)
{
	if (packed)
		packed_give(ring, burst, id, size, places);
	else
		split_give(ring, burst, id, size);
}

// A header that says nothing but that the frame is in one buffer.
static __rte_always_inline void header_write(uint8_t *to, bool with_count)
{
	static const struct virtio_net_hdr_mrg_rxbuf header = {.num_buffers = 1};

	memcpy(to, &header, sizeof(header.hdr));
	if (likely(with_count))
		memcpy(to + sizeof(header.hdr), (const uint8_t *)&header + sizeof(header.hdr),
		       sizeof(header.num_buffers));
}

// The header of a packet that leaves something to the guest. False: its flags contradict it.
static __rte_noinline bool header_write_unfinished(uint8_t *to, struct rte_mbuf *packet,
						   uint32_t size)
{
	struct virtio_net_hdr_mrg_rxbuf header = {.num_buffers = 1};

	if (!offload_to_virtio(packet, &header.hdr))
		return false;
	memcpy(to, &header, size);
	return true;
}

// How many of the packets are in one buffer each.
static __rte_always_inline uint16_t count_plain(struct rte_mbuf *const *packets, uint16_t count)
{
	uint16_t i;

	for (i = 0; i < count && packets[i]->nb_segs == 1; i++)
		;
	return i;
}

// Sends packets to slots, as long as they fit. Returns how many.
static __rte_always_inline uint16_t slots_fill(struct vhost_ring *ring, struct ring_burst *burst,
					       const struct ring_slot *slots, uint16_t count,
					       struct rte_mbuf **packets, bool packed)
{
	bool with_count = ring->header == sizeof(struct virtio_net_hdr_mrg_rxbuf);
	uint16_t i;

	for (i = 0; i < count; i++) {
		const struct ring_slot *slot = &slots[i];
		struct rte_mbuf *packet = packets[i];
		uint32_t size = packet->data_len;

		if (unlikely(slot->size < size))
			break;
		if (likely(!(packet->ol_flags & PACKET_UNFINISHED)))
			header_write(slot->header, with_count);
		else if (!header_write_unfinished(slot->header, packet, ring->header))
			break;
		copy_exactly(slot->data, rte_pktmbuf_mtod(packet, const uint8_t *), size);
		give(ring, burst, slot->id, ring->header + size, slot->places, packed);
	}
	return i;
}

static void packet_write(const struct vhost_ring *ring, const struct ring_pieces *pieces,
			 const struct virtio_net_hdr_mrg_rxbuf *header,
			 const struct rte_mbuf *packet)
{
	struct pieces_place place = {0};

	pieces_write(ring, pieces, &place, header, ring->header);
	for (; packet; packet = packet->next)
		pieces_write(ring, pieces, &place, rte_pktmbuf_mtod(packet, const uint8_t *),
			     packet->data_len);
}

// A packet of any kind into buffers of any shape.
static __rte_noinline enum sent send_chain(struct vhost_ring *ring, struct ring_burst *burst,
					   struct rte_mbuf *packet)
{
	struct virtio_net_hdr_mrg_rxbuf header = {.num_buffers = 1};
	uint32_t needed = ring->header + packet->pkt_len, size = 0, part;
	struct ring_buffer buffers[BUFFERS_MAX];
	uint16_t limit = ring->mergeable ? BUFFERS_MAX : 1, count = 0, i;
	struct ring_place at = burst->at;
	struct ring_pieces pieces;

	pieces.count = 0;
	pieces.lost = false;
	while (size < needed && count < limit) {
		if (ring_chain(ring, &at, true, &pieces, &buffers[count]) != RING_READY)
			return FULL;
		// Of the largest ones there are not two.
		size = RTE_MIN(size + buffers[count++].size, UINT32_MAX / 2);
	}
	if (size < needed || pieces.lost ||
	    (packet->ol_flags & PACKET_UNFINISHED && !offload_to_virtio(packet, &header.hdr)))
		return REFUSED;
	header.num_buffers = count;
	packet_write(ring, &pieces, &header, packet);
	for (i = 0; i < count; i++) {
		part = RTE_MIN(needed, buffers[i].size);
		needed -= part;
		give(ring, burst, buffers[i].id, part, buffers[i].places, ring->is_packed);
	}
	return SENT;
}

static __rte_always_inline uint16_t send_burst(struct vhost_ring *ring, struct rte_mbuf **packets,
					       uint16_t count, struct vhost_ring_errors *errors,
					       bool packed)
{
	struct ring_burst burst = ring_begin(ring);
	struct ring_slot slots[RING_BURST];
	// What is written to slots is not noted in the log.
	uint16_t ahead = likely(!ring->log) ? RING_BURST : 0, taken = 0, run, filled;
	enum sent sent;

	while (taken < count) {
		run = RTE_MIN((uint16_t)(count - taken), ahead);
		run = count_plain(packets + taken, run);
		run = packed ? packed_gather(ring, burst.at, slots, run, 0, true)
			     : split_gather(ring, burst.at, slots, run, 0, true);
		filled = slots_fill(ring, &burst, slots, run, packets + taken, packed);
		taken = (uint16_t)(taken + filled);
		if (likely(taken == count))
			break;
		// Where slots are too small, looking at many ahead is of no use.
		if (filled < run)
			ahead = 1;
		sent = send_chain(ring, &burst, packets[taken]);
		if (sent == FULL)
			break;
		if (sent == REFUSED)
			errors->send++;
		taken++;
	}
	if (likely(burst.given)) {
		ring_end(ring, &burst, packed);
		ring_call(ring, burst.given);
	}
	return taken;
}

uint16_t vhost_ring_send(struct vhost_ring *ring, struct rte_mbuf **packets, uint16_t count,
			 struct vhost_ring_errors *errors)
{
	if (unlikely(ring->fault))
		return 0;
	if (ring->is_packed)
		return send_burst(ring, packets, count, errors, true);
	return send_burst(ring, packets, count, errors, false);
}
