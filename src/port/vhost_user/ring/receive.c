// Frames from a guest's transmit queue into packet buffers.
//
// Most buffers are slots: a header and a frame in one piece. Those of a burst are looked up and
// prefetched first, then copied, then given back all at once. Everything else goes through
// receive_chain, one by one.

#include <rte_mbuf.h>

#include "port/chain.h"
#include "port/landing.h"
#include "port/offload.h"
#include "port/vhost_user/ring/copy.h"
#include "port/vhost_user/ring/packed.h"
#include "port/vhost_user/ring/split.h"

static __rte_always_inline void give(struct vhost_ring *ring, struct ring_burst *burst, uint16_t id,
				     uint16_t places, bool packed)
{
	if (packed)
		packed_give(ring, burst, id, 0, places);
	else
		split_give(ring, burst, id, 0);
}

// What the header says of a packet is held against it. False: it is not true.
static bool header_accept(struct rte_mbuf *packet, const struct virtio_net_hdr *header,
			  struct vhost_ring_errors *errors)
{
	// Segments in a tunnel are nothing that a guest may leave: no such feature is offered.
	if (likely(offload_from_virtio(packet, header) == OFFLOAD_READY))
		return true;
	errors->offload++;
	return false;
}

static __rte_noinline bool slot_header_accept(struct rte_mbuf *packet, const uint8_t *from,
					      struct vhost_ring_errors *errors)
{
	struct virtio_net_hdr header;

	guest_copy(&header, from, sizeof(header));
	return header_accept(packet, &header, errors);
}

// A frame that is larger than one buffer, or empty.
static __rte_noinline bool slot_copy_large(const struct ring_slot *slot, struct rte_mbuf *packet,
					   struct vhost_ring_errors *errors)
{
	struct rte_mbuf *last = packet;

	if (likely(slot->size &&
		   slot->size <= (uint32_t)rte_pktmbuf_tailroom(packet) * LANDING_FRAME &&
		   chain_append(packet, &last, slot->data, slot->size, packet->pool)))
		return true;
	errors->receive++;
	return false;
}

// The bytes behind the header. `room`: of a packet buffer.
static __rte_always_inline bool slot_copy(const struct ring_slot *slot, struct rte_mbuf *packet,
					  uint32_t room, struct vhost_ring_errors *errors)
{
	uint8_t *data = (uint8_t *)packet->buf_addr + RTE_PKTMBUF_HEADROOM;

	packet_begin(packet, slot->size);
	if (likely(slot->size - 1 < RING_SLOT_READ)) {
		copy_64(data, slot->data);
		return true;
	}
	if (likely(slot->size - 1 < room)) {
		memcpy(data, slot->data, slot->size);
		return true;
	}
	packet_begin(packet, 0);
	return slot_copy_large(slot, packet, errors);
}

// Makes packets of slots, in the buffers that are in `packets`, and gives the slots back. Returns
// how many there are now; those behind are free again.
static __rte_always_inline uint16_t slots_take(struct vhost_ring *ring, struct ring_burst *burst,
					       const struct ring_slot *slots, uint16_t count,
					       struct rte_mbuf **packets,
					       struct vhost_ring_errors *errors, bool packed)
{
	uint32_t room = packets[0]->buf_len - (uint32_t)RTE_PKTMBUF_HEADROOM;
	uint16_t taken = 0, i;

	for (i = 0; i < count; i++) {
		const struct ring_slot *slot = &slots[i];
		struct rte_mbuf *packet = packets[i];
		// Flags, and what kind of segmentation.
		uint16_t lead = guest_read16_anywhere(slot->header);
		bool fine = slot_copy(slot, packet, room, errors);

		if (unlikely(lead & (VIRTIO_NET_HDR_F_NEEDS_CSUM | 0xff00)) && fine)
			fine = slot_header_accept(packet, slot->header, errors);
		give(ring, burst, slot->id, slot->places, packed);
		if (likely(fine))
			packets[taken++] = packet;
		else
			rte_pktmbuf_free(packet);
	}
	return taken;
}

// Some buffers, as many of `count` as there are.
static uint16_t packets_get(struct rte_mempool *pool, struct rte_mbuf **packets, uint16_t count)
{
	while (unlikely(count && rte_mempool_get_bulk(pool, (void **)packets, count) != 0))
		count /= 2;
	return count;
}

static bool pieces_copy(const struct ring_pieces *pieces, uint32_t header, struct rte_mbuf *packet)
{
	struct rte_mbuf *last = packet;

	for (uint32_t i = 0; i < pieces->count; i++) {
		const struct ring_piece *piece = &pieces->pieces[i];
		uint32_t skip = RTE_MIN(header, piece->size);

		header -= skip;
		if (!chain_append(packet, &last, piece->start + skip, piece->size - skip,
				  packet->pool))
			return false;
	}
	return true;
}

// A buffer of any shape. False: there is none, or nothing to take it into, or the ring is broken.
static __rte_noinline bool receive_chain(struct vhost_ring *ring, struct ring_burst *burst,
					 struct rte_mempool *pool, struct rte_mbuf **packets,
					 uint16_t *taken, struct vhost_ring_errors *errors)
{
	struct ring_place at = burst->at;
	struct virtio_net_hdr header;
	struct ring_pieces pieces;
	struct ring_buffer buffer;
	struct rte_mbuf *packet;

	pieces.count = 0;
	pieces.lost = false;
	if (ring_chain(ring, &at, false, &pieces, &buffer) != RING_READY ||
	    !packets_get(pool, &packet, 1))
		return false;
	packet_begin(packet, 0);
	give(ring, burst, buffer.id, buffer.places, ring->is_packed);
	if (pieces.lost || buffer.size <= ring->header ||
	    buffer.size - ring->header > (uint32_t)rte_pktmbuf_tailroom(packet) * LANDING_FRAME ||
	    !pieces_copy(&pieces, ring->header, packet)) {
		errors->receive++;
		rte_pktmbuf_free(packet);
		return true;
	}
	pieces_read(&pieces, &header, sizeof(header));
	rte_compiler_barrier();
	if ((header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM || header.gso_type) &&
	    !header_accept(packet, &header, errors)) {
		rte_pktmbuf_free(packet);
		return true;
	}
	packets[(*taken)++] = packet;
	return true;
}

static __rte_always_inline bool is_empty(const struct vhost_ring *ring, struct ring_place at,
					 bool packed)
{
	return packed ? packed_is_empty(ring, at) : split_is_empty(ring, at);
}

static __rte_always_inline uint16_t receive(struct vhost_ring *ring, struct rte_mempool *pool,
					    struct rte_mbuf **packets, uint16_t count,
					    struct vhost_ring_errors *errors, bool packed)
{
	struct ring_burst burst = ring_begin(ring);
	struct ring_slot slots[RING_BURST];
	uint16_t taken = 0, left, got, i;

	for (left = RTE_MIN(count, RING_BURST); left; left = (uint16_t)(left - i)) {
		i = packed ? packed_gather(ring, burst.at, slots, left, RING_SLOT_READ, false)
			   : split_gather(ring, burst.at, slots, left, RING_SLOT_READ, false);
		if (likely(i)) {
			got = packets_get(pool, packets + taken, i);
			if (unlikely(!got))
				break;
			taken = (uint16_t)(taken + slots_take(ring, &burst, slots, got,
							      packets + taken, errors, packed));
			if (unlikely(got < i))
				break;
		} else if (is_empty(ring, burst.at, packed) ||
			   !receive_chain(ring, &burst, pool, packets, &taken, errors)) {
			break;
		} else {
			i = 1;
		}
		// The guest's index is not looked at again for what it adds meanwhile.
		if (is_empty(ring, burst.at, packed))
			break;
	}
	if (likely(burst.given)) {
		ring_end(ring, &burst, packed);
		ring_call_soon(ring, burst.given);
	}
	return taken;
}

uint16_t vhost_ring_receive(struct vhost_ring *ring, struct rte_mempool *pool,
			    struct rte_mbuf **packets, uint16_t count,
			    struct vhost_ring_errors *errors)
{
	ring_settle(ring);
	if (unlikely(ring->fault))
		return 0;
	if (ring->is_packed)
		return receive(ring, pool, packets, count, errors, true);
	return receive(ring, pool, packets, count, errors, false);
}
