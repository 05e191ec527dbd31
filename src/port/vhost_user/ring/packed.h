// Packed virtqueues: buffers that are available, and giving them back (virtio 1.2, section 2.8).

#pragma once

#include "port/vhost_user/ring/place.h"

#define PACKED_AVAIL (1 << VRING_PACKED_DESC_F_AVAIL)
#define PACKED_USED  (1 << VRING_PACKED_DESC_F_USED)
#define PACKED_SHAPE (VRING_DESC_F_NEXT | VRING_DESC_F_WRITE | VRING_DESC_F_INDIRECT)

// A descriptor as it was read, in the guest's form.
struct packed_descriptor {
	uint64_t address;
	uint32_t size;
	uint16_t id;
	uint16_t flags;
};

// All but the address in one, so that they belong together; the address is then the one that goes
// with flags which make it available.
static inline struct packed_descriptor packed_read(const struct vring_packed_desc *descriptor)
{
	uint64_t rest = guest_read64_acquire(&descriptor->len);
	uint64_t address = guest_read64(&descriptor->addr);

	return (struct packed_descriptor){address, (uint32_t)rest, (uint16_t)(rest >> 32),
					  (uint16_t)(rest >> 48)};
}

// Is it for us, where the wrap counter is `wrap`?
static inline bool packed_is_available(uint16_t flags, bool wrap)
{
	return (flags & (PACKED_AVAIL | PACKED_USED)) == (wrap ? PACKED_AVAIL : PACKED_USED);
}

static inline bool packed_is_empty(const struct vhost_ring *ring, struct ring_place at)
{
	return !packed_is_available(guest_read16(&ring->packed[at.index].flags), at.wrap);
}

static inline void packed_advance(const struct vhost_ring *ring, struct ring_place *at,
				  uint16_t places)
{
	uint32_t index = (uint32_t)at->index + places;

	if (index >= ring->size) {
		index -= ring->size;
		at->wrap = !at->wrap;
	}
	at->index = (uint16_t)index;
}

// A buffer of two descriptors, the first for the header, in the ring or in a table of their own.
bool packed_slot_pair(struct vhost_ring *ring, struct ring_place at, struct packed_descriptor first,
		      uint16_t direction, struct ring_slot *slot);

// Up to `count` buffers that are slots, with at least `room` bytes behind each one's header, which
// are prefetched. Ends at the first other one.
static __rte_always_inline uint16_t packed_gather(struct vhost_ring *ring, struct ring_place at,
						  struct ring_slot *slots, uint16_t count,
						  uint32_t room, bool write)
{
	uint16_t direction = write ? VRING_DESC_F_WRITE : 0, i;

	for (i = 0; i < count; i++) {
		struct packed_descriptor descriptor = packed_read(&ring->packed[at.index]);
		struct ring_slot *slot = &slots[i];

		if (!packed_is_available(descriptor.flags, at.wrap))
			break;
		slot->id = descriptor.id;
		slot->places = 1;
		if (unlikely((descriptor.flags & PACKED_SHAPE) != direction)) {
			if (!packed_slot_pair(ring, at, descriptor, direction, slot))
				break;
		} else {
			slot->header = ring_at(ring, descriptor.address,
					       RTE_MAX(descriptor.size, ring->header + room));
			if (unlikely(!slot->header || descriptor.size < ring->header))
				break;
			slot->data = slot->header + ring->header;
			slot->size = descriptor.size - ring->header;
		}
		if (write) {
			prefetch_write(slot->header);
			prefetch_write(slot->data + 48);
		} else {
			__builtin_prefetch(slot->header);
			__builtin_prefetch(slot->data + 48);
		}
		packed_advance(ring, &at, slot->places);
	}
	return i;
}

// Gives the next buffer of the burst back, with `size` bytes written to it. The driver goes by the
// flags of one place after the other, so it sees nothing before the first one's are written.
static inline void packed_give(struct vhost_ring *ring, struct ring_burst *burst, uint16_t id,
			       uint32_t size, uint16_t places)
{
	uint64_t flags =
		(burst->at.wrap ? PACKED_AVAIL | PACKED_USED : 0) | (size ? VRING_DESC_F_WRITE : 0);
	uint64_t rest = size | (uint64_t)id << 32 | flags << 48;

	if (burst->given == 0)
		burst->first = rest;
	else
		guest_write64(&ring->packed[burst->at.index].len, rest);
	burst->given += places;
	packed_advance(ring, &burst->at, places);
}

static inline void packed_publish(struct vhost_ring *ring, const struct ring_burst *burst)
{
	__atomic_store_n((uint64_t *)(void *)&ring->packed[ring->next].len, burst->first,
			 __ATOMIC_RELEASE);
	ring->next = burst->at.index;
	ring->wrap = burst->at.wrap;
}
