// Split virtqueues: buffers that are available, and giving them back (virtio 1.2, section 2.7).

#pragma once

#include "port/vhost_user/ring/place.h"

// A descriptor as it was read, in the guest's form.
struct split_descriptor {
	uint64_t address;
	uint32_t size;
	uint16_t flags;
	uint16_t next;
};

static inline struct split_descriptor split_read(const struct vring_desc *descriptor)
{
	uint64_t address = guest_read64(&descriptor->addr);
	uint64_t rest = guest_read64(&descriptor->len);

	return (struct split_descriptor){address, (uint32_t)rest, (uint16_t)(rest >> 32),
					 (uint16_t)(rest >> 48)};
}

// How many of `wanted` buffers there are from a place on. The guest's index is looked at only where
// what was seen of it is not enough.
static inline uint16_t split_available(struct vhost_ring *ring, uint16_t index, uint16_t wanted)
{
	uint16_t count = (uint16_t)(ring->avail_seen - index);

	if (count < wanted) {
		ring->avail_seen = __atomic_load_n(&ring->avail->idx, __ATOMIC_ACQUIRE);
		if (unlikely((uint16_t)(ring->avail_seen - ring->next) > ring->size)) {
			ring_break(ring, VHOST_RING_INDEX);
			ring->avail_seen = index;
		}
		count = (uint16_t)(ring->avail_seen - index);
	}
	return RTE_MIN(count, wanted);
}

// Is nothing more there, as far as was seen?
static inline bool split_is_empty(const struct vhost_ring *ring, struct ring_place at)
{
	return ring->avail_seen == at.index;
}

// A buffer of two descriptors, the first for the header, in the table or in one of their own.
bool split_slot_pair(struct vhost_ring *ring, struct split_descriptor first, uint16_t direction,
		     struct ring_slot *slot);

// Up to `count` buffers that are slots, with at least `room` bytes behind each one's header, which
// are prefetched. Ends at the first other one.
static __rte_always_inline uint16_t split_gather(struct vhost_ring *ring, struct ring_place at,
						 struct ring_slot *slots, uint16_t count,
						 uint32_t room, bool write)
{
	uint16_t mask = (uint16_t)(ring->size - 1), direction = write ? VRING_DESC_F_WRITE : 0, i;
	uint16_t heads[RING_BURST];

	count = split_available(ring, at.index, count);
	for (i = 0; i < count; i++) {
		heads[i] = guest_read16(&ring->avail->ring[(at.index + i) & mask]);
		// The table is prefetched by what its size allows; slot by slot it is checked.
		__builtin_prefetch(&ring->table[heads[i] & mask]);
	}
	for (i = 0; i < count; i++) {
		struct ring_slot *slot = &slots[i];
		struct split_descriptor descriptor;

		if (unlikely(heads[i] > mask))
			break;
		descriptor = split_read(&ring->table[heads[i]]);
		slot->id = heads[i];
		slot->places = 1;
		if (unlikely(descriptor.flags != direction)) {
			if (!split_slot_pair(ring, descriptor, direction, slot))
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
	}
	return i;
}

// Gives the next buffer of the burst back, with `size` bytes written to it.
static inline void split_give(struct vhost_ring *ring, struct ring_burst *burst, uint16_t id,
			      uint32_t size)
{
	struct vring_used_elem used = {.id = id, .len = size};

	memcpy(&ring->used->ring[burst->at.index++ & (ring->size - 1)], &used, sizeof(used));
	burst->given++;
}

// The guest may see all that was given back.
static inline void split_publish(struct vhost_ring *ring, const struct ring_burst *burst)
{
	__atomic_store_n(&ring->used->idx, burst->at.index, __ATOMIC_RELEASE);
	ring->next = burst->at.index;
}
