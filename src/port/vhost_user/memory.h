// A guest's memory: the regions that a front-end shares, and where they are here.
//
// The protocol's side fills it; it is constant while a worker can see it.

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_branch_prediction.h>

#define VHOST_REGIONS_MAX 32

struct vhost_region {
	uint64_t guest; // guest physical address of its first byte, as in descriptors
	uint64_t user;	// the front-end's own address of it, as in messages
	uint64_t size;
	uint8_t *start; // here
	// What is to be unmapped: all of the file up to the region's end, perhaps more.
	void *map;
	size_t map_size;
	// The file, for who takes our place (hand_over.c), and where in it; -1: it could not be
	// kept.
	int fd;
	uint64_t offset;
};

// Regions don't overlap.
struct vhost_memory {
	uint32_t count;
	struct vhost_region regions[VHOST_REGIONS_MAX];
};

// Is [address, address + size) wholly in [start, start + length)? Never overflows, as long as the
// latter range itself does not.
static inline bool vhost_range_holds(uint64_t start, uint64_t length, uint64_t address,
				     uint64_t size)
{
	uint64_t offset = address - start;

	return offset < length && size <= length - offset;
}

// Where the `size` bytes at a guest physical address are here, or NULL if they are not wholly in
// one region.
void *vhost_memory_at(const struct vhost_memory *memory, uint64_t guest, uint64_t size);

// The same for an address of the front-end's own.
void *vhost_memory_at_user(const struct vhost_memory *memory, uint64_t user, uint64_t size);

// The region with this guest physical address, or NULL.
const struct vhost_region *vhost_memory_region(const struct vhost_memory *memory, uint64_t guest);

// The guest physical address of `size` bytes here. False: they are not wholly in one region.
bool vhost_memory_guest(const struct vhost_memory *memory, const void *start, uint64_t size,
			uint64_t *guest);
