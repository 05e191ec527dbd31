// Captured packets on their way from one worker to the control thread: a ring of bytes with one
// writer and one reader. What the writer adds is staged first, and seen when it is published.

#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CAPTURE_RECORD_ALIGN 32

struct capture_record {
	uint64_t time;	   // time stamp counter
	uint32_t size;	   // of the record with all that belongs to it
	uint32_t length;   // bytes of the packet
	uint32_t captured; // bytes of it that are here
	uint16_t port;	   // number; 0: nothing but room up to the ring's end
	uint16_t reason;   // enum drop_reason, of CAPTURE_DROPPED
	uint8_t point;	   // enum capture_point
	uint8_t unused[7];
	uint8_t bytes[];
};

_Static_assert(sizeof(struct capture_record) == CAPTURE_RECORD_ALIGN, "records lie side by side");

struct capture_ring {
	uint8_t *memory;
	uint64_t size; // a power of two
	// The writer's.
	uint64_t written __attribute__((aligned(64))); // staged up to here
	_Atomic uint64_t published;
	_Atomic uint64_t lost; // packets for which there was no room
	// The reader's.
	_Atomic uint64_t freed __attribute__((aligned(64)));
};

// Room for a packet of which `captured` bytes are kept; NULL: there is none. The size is filled in.
static inline struct capture_record *capture_ring_stage(struct capture_ring *ring,
							uint32_t captured)
{
	uint64_t size = (sizeof(struct capture_record) + captured + CAPTURE_RECORD_ALIGN - 1) &
			~(uint64_t)(CAPTURE_RECORD_ALIGN - 1);
	uint64_t offset = ring->written & (ring->size - 1), room = ring->size - offset;
	uint64_t needed = size <= room ? size : room + size;
	struct capture_record *record = (struct capture_record *)(void *)(ring->memory + offset);

	if (ring->written + needed - atomic_load_explicit(&ring->freed, memory_order_acquire) >
	    ring->size)
		return NULL;
	if (size > room) {
		record->size = (uint32_t)room;
		record->port = 0;
		record = (struct capture_record *)(void *)ring->memory;
	}
	ring->written += needed;
	record->size = (uint32_t)size;
	record->captured = captured;
	return record;
}

// What was staged up to `end` (a value of `written`) is for the reader, the rest is forgotten.
static inline void capture_ring_publish(struct capture_ring *ring, uint64_t end)
{
	ring->written = end;
	atomic_store_explicit(&ring->published, end, memory_order_release);
}

// The first record, which stays where it is until capture_ring_free; NULL: there is none.
static inline const struct capture_record *capture_ring_first(struct capture_ring *ring)
{
	for (;;) {
		uint64_t freed = atomic_load_explicit(&ring->freed, memory_order_relaxed);
		const struct capture_record *record;

		if (freed == atomic_load_explicit(&ring->published, memory_order_acquire))
			return NULL;
		record = (const struct capture_record *)(const void *)(ring->memory +
								       (freed & (ring->size - 1)));
		if (record->port)
			return record;
		atomic_store_explicit(&ring->freed, freed + record->size, memory_order_release);
	}
}

// Of what capture_ring_first has returned.
static inline void capture_ring_free(struct capture_ring *ring, const struct capture_record *record)
{
	atomic_store_explicit(&ring->freed,
			      atomic_load_explicit(&ring->freed, memory_order_relaxed) +
				      record->size,
			      memory_order_release);
}
