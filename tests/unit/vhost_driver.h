// A virtio driver's side of one virtqueue, split or packed, in memory that it shares with the
// device in the same process. Whoever uses it may also break every rule.

#pragma once

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>

#include <stdbool.h>
#include <stdint.h>

#include "port/vhost_user/memory.h"
#include "port/vhost_user/ring.h"

// Three regions: the second follows the first in the guest's addresses but not here; the third is
// somewhere else. Rings lie at the beginning of the first.
#define REGION_SIZE (UINT64_C(1) << 22)
#define REGION_0    UINT64_C(0x100000)
#define REGION_1    (REGION_0 + REGION_SIZE)
#define REGION_2    UINT64_C(0x100000000)
#define BUFFERS	    (REGION_0 + (1 << 20)) // guest address behind the rings

#define FEATURE_BIT(bit) (UINT64_C(1) << (bit))

// A piece of a buffer.
struct part {
	uint64_t guest;
	uint32_t size;
};

struct vhost_driver {
	struct vhost_memory memory;
	struct vhost_ring_setup setup;
	uint16_t size;
	bool packed;
	bool event_index;
	// Split: free descriptors are taken in turn. Packed: the place that is written next.
	uint16_t next;
	bool wrap;
	// Split: indices. Packed: the place that is looked at next.
	uint16_t avail;
	uint16_t used;
	bool used_wrap;
	uint16_t places[32768]; // of each buffer id, by packed rings
	uint64_t indirect;	// where the next table goes
	bool held;		// packed: what was added is not shown yet
	uint16_t held_place;	// its first
	uint16_t held_flags;
	int call_fd;
};

// Makes memory and an empty ring. `size` descriptors.
void driver_open(struct vhost_driver *driver, uint64_t features, uint16_t size);
void driver_close(struct vhost_driver *driver);

// Where a guest address is here.
void *driver_at(struct vhost_driver *driver, uint64_t guest);

// Adds a buffer and returns its id. `write`: for the device to write. It is seen after
// driver_show.
uint16_t driver_add(struct vhost_driver *driver, const struct part *parts, uint32_t count,
		    bool write);
uint16_t driver_add_table(struct vhost_driver *driver, const struct part *parts, uint32_t count,
			  bool write);
void driver_show(struct vhost_driver *driver);

// The next buffer that was given back. False: there is none.
bool driver_take(struct vhost_driver *driver, uint16_t *id, uint32_t *size);

// Asks to be called at the next buffer given back, or not to be.
void driver_want_call(struct vhost_driver *driver, bool wanted);

// Would it kick for the buffers shown last, `count` of them?
bool driver_kicks(struct vhost_driver *driver, uint16_t count);

// How often was it called since it was last asked?
uint64_t driver_calls(struct vhost_driver *driver);
