// What receiving and sending share: places in a ring, buffers that are one piece of memory (slots),
// and buffers of any other shape (chains).

#pragma once

#include <string.h>

#include <linux/virtio_net.h>

#include <rte_atomic.h>
#include <rte_branch_prediction.h>
#include <rte_common.h>

#include "port/vhost_user/ring.h"

// Frames at a time.
#define RING_BURST 32

// Pieces of memory that one frame may be made of.
#define RING_PIECES 512

// Small frames are copied in whole vectors: so many bytes are read behind a slot's header, whatever
// the frame's size. They are the guest's memory, if not the frame's.
#define RING_SLOT_READ 64

// Where the next buffer is. Split: a running index; packed: a place in the ring, and the wrap
// counter there.
struct ring_place {
	uint16_t index;
	bool wrap;
};

// A buffer whose frame is in one piece, its header before it or elsewhere.
struct ring_slot {
	uint8_t *header;
	uint8_t *data;
	uint32_t size; // of the data
	uint16_t id;
	uint16_t places; // in the ring
};

// A buffer of any shape.
struct ring_buffer {
	uint32_t size; // with the header
	uint16_t id;
	uint16_t places;
};

struct ring_piece {
	uint8_t *start;
	uint64_t guest;
	uint32_t size;
};

struct ring_pieces {
	uint32_t count;
	bool lost; // there were more
	struct ring_piece pieces[RING_PIECES];
};

// A burst under way: buffers are given back as it goes, and the guest sees all of them at its end.
struct ring_burst {
	struct ring_place at; // of the next buffer
	uint32_t given;	      // places
	uint64_t first;	      // packed: what ends the burst, at the ring's own place
};

enum ring_state {
	RING_EMPTY,
	RING_READY,
	RING_BROKEN,
};

static inline struct ring_burst ring_begin(const struct vhost_ring *ring)
{
	return (struct ring_burst){.at = {ring->next, ring->wrap}};
}

// What a guest can change is read once: by these.
static inline uint16_t guest_read16(const uint16_t *field)
{
	return __atomic_load_n(field, __ATOMIC_RELAXED);
}

static inline uint64_t guest_read64(const void *field)
{
	return __atomic_load_n((const uint64_t *)field, __ATOMIC_RELAXED);
}

static inline uint64_t guest_read64_acquire(const void *field)
{
	return __atomic_load_n((const uint64_t *)field, __ATOMIC_ACQUIRE);
}

// At any address.
static inline uint16_t guest_read16_anywhere(const void *address)
{
	const volatile struct {
		uint16_t value;
	} __attribute__((packed)) *field = address;

	return field->value;
}

// The copy is what it is: compilers don't read the guest's memory again instead.
static inline void guest_copy(void *copy, const void *from, size_t size)
{
	memcpy(copy, from, size);
	rte_compiler_barrier();
}

static inline void guest_write64(void *field, uint64_t value)
{
	__atomic_store_n((uint64_t *)field, value, __ATOMIC_RELAXED);
}

static inline void ring_break(struct vhost_ring *ring, enum vhost_ring_fault fault)
{
	__atomic_store_n(&ring->fault, (uint8_t)fault, __ATOMIC_RELAXED);
}

// Makes the region with `guest` the ring's. NULL if [guest, guest + size) is not wholly in one.
uint8_t *ring_at_other(struct vhost_ring *ring, uint64_t guest, uint64_t size);

// Where a range of the guest's memory is here, or NULL if it is not wholly in one region.
static inline uint8_t *ring_at(struct vhost_ring *ring, uint64_t guest, uint64_t size)
{
	if (likely(vhost_range_holds(ring->region_guest, ring->region_size, guest, size)))
		return ring->region_start + (guest - ring->region_guest);
	return ring_at_other(ring, guest, size);
}

// A line that is to be written by us and is in another core's cache.
static inline void prefetch_write(const void *address)
{
#ifdef __x86_64__
	// Without the flag that says that the processor has it, compilers make a mere read of it.
	__asm__ volatile("prefetchw %0" : : "m"(*(const uint8_t *)address));
#else
	__builtin_prefetch(address, 1, 3);
#endif
}

// ---- buffers of any shape (chain.c)

// Adds the memory of the buffer at `at` to `pieces`, and goes on behind it. `write`: the device
// writes it.
enum ring_state ring_chain(struct vhost_ring *ring, struct ring_place *at, bool write,
			   struct ring_pieces *pieces, struct ring_buffer *buffer);

// The first `size` bytes, all of which are there.
void pieces_read(const struct ring_pieces *pieces, void *data, uint32_t size);

// Writes on from a place in the pieces, which goes on with it. The guest's log is kept.
struct pieces_place {
	uint32_t piece;
	uint32_t offset;
};
void pieces_write(const struct vhost_ring *ring, const struct ring_pieces *pieces,
		  struct pieces_place *place, const void *data, uint32_t size);

// ---- (ring.c)

// Notes in the log that the guest's memory was written.
void ring_log(const struct vhost_ring *ring, uint64_t guest, uint64_t size);
void ring_log_given(const struct vhost_ring *ring, struct ring_place from, uint32_t places);

// Calls the guest, if it wants to be for the `places` before the ring's next one.
void ring_call(struct vhost_ring *ring, uint32_t places);

// The same, for a ring that is looked at in each turn: that the guest sees the places before we
// look whether it waits for them takes a fence, which costs most where much was just written. So
// what can be seen without it is enough for now, and the rest follows at the next turn.
void ring_call_soon(struct vhost_ring *ring, uint32_t places);

static inline void ring_settle(struct vhost_ring *ring)
{
	if (ring->uncalled)
		ring_call(ring, 0);
}
