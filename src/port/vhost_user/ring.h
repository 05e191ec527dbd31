// The device's side of one virtqueue in a guest's memory (virtio 1.2, sections 2.7 split and 2.8
// packed virtqueues), for virtio-net: takes frames from a guest's transmit queue, puts frames into
// its receive queue.
//
// A guest can change all of its memory at any time. Whatever decides something is read once, and
// the copy is checked. Rings of a guest that breaks the rules do nothing more until they are opened
// anew.
//
// Threads: one worker at a time uses a ring. Its memory and log are constant meanwhile. Open and
// base are for whoever has made sure that no worker uses it.

#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <linux/virtio_ring.h>

#include "base/error.h"
#include "port/vhost_user/memory.h"

struct rte_mbuf;
struct rte_mempool;

// Descriptors of a ring, and of an indirect table.
#define VHOST_RING_SIZE_MAX 32768
#define VHOST_INDIRECT_MAX  1024

// What a guest has overwritten: one bit a page, for live migration. One for all rings of a guest.
struct vhost_log {
	uint8_t *bits;
	uint64_t size; // in bytes
};
#define VHOST_LOG_PAGE 4096

struct vhost_ring_setup {
	const struct vhost_memory *memory; // outlives the ring
	uint64_t features;		   // as negotiated
	uint16_t size;			   // in descriptors
	// Where the ring's parts are here. Split: descriptor table, available ring, used ring.
	// Packed: descriptor ring, driver's and device's event suppression structures.
	void *descriptors;
	void *driver;
	void *device;
	// As VHOST_USER_SET_VRING_BASE has it: split, the index of the next buffer; packed, its
	// place in bits 0 to 14, and the wrap counter in bit 15. A split ring goes on where its
	// used ring ends, if that is elsewhere: what was not given back is used anew.
	uint32_t base;
	// A non-blocking eventfd to call the guest by, or -1. Stays the caller's.
	int call_fd;
	// NULL: nothing is logged. Outlives the ring.
	const struct vhost_log *log;
};

enum vhost_ring_fault {
	VHOST_RING_SOUND,
	VHOST_RING_CLOSED,
	VHOST_RING_INDEX,      // more is available than the ring has places
	VHOST_RING_DESCRIPTOR, // a descriptor number outside of the ring
	VHOST_RING_ADDRESS,    // a buffer outside of the guest's memory
	VHOST_RING_CHAIN,      // a chain of descriptors without end
	VHOST_RING_DIRECTION,  // a buffer to be read where one is to be written, or the reverse
	VHOST_RING_INDIRECT,   // a table in a table, of no proper size, or not negotiated
};

// What was lost: added to by the worker.
struct vhost_ring_errors {
	uint64_t receive; // frames that are empty, too large, or found no buffer
	uint64_t offload; // frames whose header contradicted them
	uint64_t send; // frames that the guest's buffers can't take, or that contradict their flags
};

struct vhost_ring {
	// Constant.
	union {
		struct vring_desc *table;
		struct vring_packed_desc *packed;
	};
	union {
		struct vring_avail *avail;
		struct vring_packed_desc_event *driver_event;
	};
	union {
		struct vring_used *used;
		struct vring_packed_desc_event *device_event;
	};
	uint16_t size;
	bool is_packed;
	bool mergeable;	  // a frame may go into several buffers
	bool event_index; // calls and kicks are asked for by place
	bool indirect;
	uint8_t header; // bytes of the virtio-net header
	int call_fd;
	// Where the next buffer is: split, a running index; packed, a place.
	uint16_t next;
	bool wrap;	     // packed: the wrap counter there
	bool called;	     // the guest was called, or left alone, since the ring was opened
	uint32_t uncalled;   // places given back for which it may still have to be called
	uint8_t fault;	     // enum vhost_ring_fault; read by any thread
	uint16_t avail_seen; // split: the guest's index when it was last looked at
	// The region that was last used: nearly always the next one, too.
	uint64_t region_guest;
	uint64_t region_size;
	uint8_t *region_start;
	const struct vhost_memory *memory;
	const struct vhost_log *log;
	uint64_t ring_guest;   // guest address of what is logged of the ring: used ring, or
			       // descriptor ring
	uint64_t device_guest; // of the device's part
};

// Returns 0, or -1 and says what is wrong with the setup: the ring's parts must lie wholly in
// regions of the memory. The guest is not asked for kicks.
int vhost_ring_open(struct vhost_ring *ring, const struct vhost_ring_setup *setup,
		    struct error *err);

// For VHOST_USER_GET_VRING_BASE; all buffers before it have been given back.
uint32_t vhost_ring_base(struct vhost_ring *ring);

// Why the ring is broken, in words; NULL if it is not. Any thread.
const char *vhost_ring_broken(const struct vhost_ring *ring);

// Takes up to `count` frames of a transmit queue into buffers of `pool`, as port.h's `receive`
// promises: a chain of buffers for large ones, at most LANDING_FRAME; what the header says held
// against the frame (port/offload.h). Gives the guest's buffers back, and calls it if it wants:
// now, or at the next time or arm if that it wants could not be seen yet. Fewer than `count` say
// nothing about how many there are.
uint16_t vhost_ring_receive(struct vhost_ring *ring, struct rte_mempool *pool,
			    struct rte_mbuf **packets, uint16_t count,
			    struct vhost_ring_errors *errors);

// Copies up to `count` packets into buffers of a receive queue, and calls the guest if it wants.
// Returns how many were taken; all packets stay the caller's. Unfinished ones (port/offload.h) are
// changed: what the guest's driver wants in a checksum field.
uint16_t vhost_ring_send(struct vhost_ring *ring, struct rte_mbuf **packets, uint16_t count,
			 struct vhost_ring_errors *errors);

// Asks the guest for a kick at the next buffer that it makes available. True if there is none yet.
bool vhost_ring_arm(struct vhost_ring *ring);

// No more kicks, please. Some may come all the same.
void vhost_ring_disarm(struct vhost_ring *ring);
