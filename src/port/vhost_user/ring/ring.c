// A ring's beginning and end, and who wakes whom.

#include <linux/virtio_config.h>

#include "port/vhost_user/ring/call.h"
#include "port/vhost_user/ring/packed.h"
#include "port/vhost_user/ring/split.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "rings are little-endian");

#define FEATURE(features, bit) ((features) >> (bit)&1)

// Bytes of a used element's ring before its elements.
#define USED_HEAD offsetof(struct vring_used, ring)

static int part_check(const struct vhost_ring_setup *setup, const char *what, const void *part,
		      size_t size, size_t alignment, uint64_t *guest, struct error *err)
{
	if ((uintptr_t)part % alignment)
		return error_set(err, "%s is not aligned to %zu bytes", what, alignment);
	if (!vhost_memory_guest(setup->memory, part, size, guest))
		return error_set(err, "%s is not in the guest's memory", what);
	return 0;
}

static int open_split(struct vhost_ring *ring, const struct vhost_ring_setup *setup,
		      struct error *err)
{
	size_t size = setup->size;
	uint64_t guest;

	if (size & (size - 1))
		return error_set(err, "a split virtqueue of %zu descriptors: no power of two",
				 size);
	if (part_check(setup, "descriptor table", setup->descriptors,
		       size * sizeof(struct vring_desc), 16, &guest, err) < 0 ||
	    part_check(setup, "available ring", setup->driver,
		       sizeof(struct vring_avail) + (size + ring->event_index) * 2, 2, &guest,
		       err) < 0 ||
	    part_check(setup, "used ring", setup->device,
		       USED_HEAD + size * sizeof(struct vring_used_elem) + ring->event_index * 2u,
		       4, &ring->ring_guest, err) < 0)
		return -1;
	ring->device_guest = ring->ring_guest;
	ring->table = setup->descriptors;
	ring->avail = setup->driver;
	ring->used = setup->device;
	ring->next = guest_read16(&ring->used->idx);
	ring->avail_seen = ring->next;
	return 0;
}

static int open_packed(struct vhost_ring *ring, const struct vhost_ring_setup *setup,
		       struct error *err)
{
	uint64_t guest;

	if (part_check(setup, "descriptor ring", setup->descriptors,
		       setup->size * sizeof(struct vring_packed_desc), 16, &ring->ring_guest,
		       err) < 0 ||
	    part_check(setup, "driver's event structure", setup->driver,
		       sizeof(struct vring_packed_desc_event), 4, &guest, err) < 0 ||
	    part_check(setup, "device's event structure", setup->device,
		       sizeof(struct vring_packed_desc_event), 4, &ring->device_guest, err) < 0)
		return -1;
	ring->packed = setup->descriptors;
	ring->driver_event = setup->driver;
	ring->device_event = setup->device;
	ring->next = setup->base & 0x7fff;
	ring->wrap = setup->base >> VRING_PACKED_EVENT_F_WRAP_CTR & 1;
	if (ring->next >= setup->size)
		return error_set(err, "it is to begin at descriptor %u of %u", ring->next,
				 setup->size);
	return 0;
}

int vhost_ring_open(struct vhost_ring *ring, const struct vhost_ring_setup *setup,
		    struct error *err)
{
	bool modern = FEATURE(setup->features, VIRTIO_F_VERSION_1);

	memset(ring, 0, sizeof(*ring));
	ring->fault = VHOST_RING_CLOSED;
	if (setup->size == 0 || setup->size > VHOST_RING_SIZE_MAX)
		return error_set(err, "a virtqueue of %u descriptors", setup->size);
	ring->size = setup->size;
	ring->is_packed = FEATURE(setup->features, VIRTIO_F_RING_PACKED);
	ring->mergeable = FEATURE(setup->features, VIRTIO_NET_F_MRG_RXBUF);
	ring->event_index = FEATURE(setup->features, VIRTIO_RING_F_EVENT_IDX);
	ring->indirect = FEATURE(setup->features, VIRTIO_RING_F_INDIRECT_DESC);
	ring->header = modern || ring->mergeable ? sizeof(struct virtio_net_hdr_mrg_rxbuf)
						 : sizeof(struct virtio_net_hdr);
	ring->call_fd = setup->call_fd;
	ring->memory = setup->memory;
	ring->log = setup->log;
	if ((ring->is_packed ? open_packed(ring, setup, err) : open_split(ring, setup, err)) < 0)
		return -1;
	ring->fault = VHOST_RING_SOUND;
	vhost_ring_disarm(ring);
	return 0;
}

uint32_t vhost_ring_base(struct vhost_ring *ring)
{
	ring_settle(ring);
	if (!ring->is_packed)
		return ring->next;
	// The same for what was taken and what was given back.
	return (ring->next | (uint32_t)ring->wrap << VRING_PACKED_EVENT_F_WRAP_CTR) * 0x10001;
}

const char *vhost_ring_broken(const struct vhost_ring *ring)
{
	switch ((enum vhost_ring_fault)__atomic_load_n(&ring->fault, __ATOMIC_RELAXED)) {
	case VHOST_RING_INDEX:
		return "more buffers are available than the ring has places";
	case VHOST_RING_DESCRIPTOR:
		return "a descriptor is outside of the ring";
	case VHOST_RING_ADDRESS:
		return "a buffer is outside of the guest's memory";
	case VHOST_RING_CHAIN:
		return "a chain of descriptors does not end";
	case VHOST_RING_DIRECTION:
		return "a buffer is for the other direction";
	case VHOST_RING_INDIRECT:
		return "a table of descriptors is not allowed there";
	default:
		return NULL;
	}
}

// ---- the log of what was written

void ring_log(const struct vhost_ring *ring, uint64_t guest, uint64_t size)
{
	uint64_t page = guest / VHOST_LOG_PAGE, last = (guest + size - 1) / VHOST_LOG_PAGE;

	// The front-end reads and clears it at the same time.
	for (; size && page <= last && page / 8 < ring->log->size; page++)
		__atomic_fetch_or(&ring->log->bits[page / 8], (uint8_t)(1 << (page % 8)),
				  __ATOMIC_RELAXED);
}

void ring_log_given(const struct vhost_ring *ring, struct ring_place from, uint32_t places)
{
	uint64_t each =
		ring->is_packed ? sizeof(struct vring_packed_desc) : sizeof(struct vring_used_elem);
	uint32_t first = ring->is_packed ? from.index : from.index & (ring->size - 1u);
	uint32_t before = RTE_MIN(places, ring->size - first);
	uint64_t start = ring->ring_guest + (ring->is_packed ? 0 : USED_HEAD);

	ring_log(ring, start + first * each, before * each);
	ring_log(ring, start, RTE_MIN(places - before, ring->size) * each);
	if (!ring->is_packed)
		ring_log(ring, ring->ring_guest, USED_HEAD);
}

// ---- calls and kicks

static bool split_wants_call(const struct vhost_ring *ring, uint32_t places)
{
	uint16_t event;

	if (!ring->event_index)
		return !(guest_read16(&ring->avail->flags) & VRING_AVAIL_F_NO_INTERRUPT);
	// Behind the ring's end.
	event = guest_read16(&ring->avail->ring[ring->size]);
	return (uint16_t)(ring->next - event - 1) < places;
}

static bool packed_wants_call(const struct vhost_ring *ring, uint32_t places)
{
	uint16_t flags = __atomic_load_n(&ring->driver_event->flags, __ATOMIC_ACQUIRE) & 3;
	uint16_t place = guest_read16(&ring->driver_event->off_wrap);
	uint16_t event = place & 0x7fff;

	if (!ring->event_index || flags != VRING_PACKED_EVENT_FLAG_DESC)
		return flags != VRING_PACKED_EVENT_FLAG_DISABLE;
	if (place >> VRING_PACKED_EVENT_F_WRAP_CTR != ring->wrap)
		event = (uint16_t)(event - ring->size);
	return (uint16_t)(ring->next - event - 1) < places;
}

// Calls it, if it can be seen to want so.
static void call(struct vhost_ring *ring)
{
	if (ring->called && !(ring->is_packed ? packed_wants_call(ring, ring->uncalled)
					      : split_wants_call(ring, ring->uncalled)))
		return;
	ring->called = true;
	ring->uncalled = 0;
	ring_signal(ring->call_fd);
}

void ring_call(struct vhost_ring *ring, uint32_t places)
{
	if (ring->call_fd < 0)
		return;
	ring->uncalled += places;
	// It sees the buffers before we look whether it waits for them.
	rte_atomic_thread_fence(__ATOMIC_SEQ_CST);
	call(ring);
	ring->uncalled = 0;
}

void ring_call_soon(struct vhost_ring *ring, uint32_t places)
{
	if (ring->call_fd < 0)
		return;
	ring->uncalled += places;
	call(ring);
}

static uint16_t *split_avail_event(struct vhost_ring *ring)
{
	return (uint16_t *)(void *)&ring->used->ring[ring->size];
}

bool vhost_ring_arm(struct vhost_ring *ring)
{
	ring_settle(ring);
	if (unlikely(ring->fault))
		return true;
	if (!ring->is_packed && ring->event_index) {
		__atomic_store_n(split_avail_event(ring), ring->next, __ATOMIC_RELAXED);
	} else if (!ring->is_packed) {
		__atomic_store_n(&ring->used->flags, 0, __ATOMIC_RELAXED);
	} else if (ring->event_index) {
		__atomic_store_n(
			&ring->device_event->off_wrap,
			(uint16_t)(ring->next | ring->wrap << VRING_PACKED_EVENT_F_WRAP_CTR),
			__ATOMIC_RELAXED);
		__atomic_store_n(&ring->device_event->flags, VRING_PACKED_EVENT_FLAG_DESC,
				 __ATOMIC_RELEASE);
	} else {
		__atomic_store_n(&ring->device_event->flags, VRING_PACKED_EVENT_FLAG_ENABLE,
				 __ATOMIC_RELAXED);
	}
	if (unlikely(ring->log))
		ring_log(ring, ring->device_guest,
			 ring->is_packed ? sizeof(*ring->device_event)
					 : USED_HEAD + ring->size * sizeof(*ring->used->ring) + 2u);
	// The guest sees it before we look for the last time.
	rte_atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (ring->is_packed)
		return !packed_is_available(packed_read(&ring->packed[ring->next]).flags,
					    ring->wrap);
	return split_available(ring, ring->next, 1) == 0;
}

void vhost_ring_disarm(struct vhost_ring *ring)
{
	if (unlikely(ring->fault))
		return;
	// With places (event_index) a split ring's guest goes on to kick once in 65 536 buffers.
	if (ring->is_packed)
		__atomic_store_n(&ring->device_event->flags, VRING_PACKED_EVENT_FLAG_DISABLE,
				 __ATOMIC_RELAXED);
	else if (!ring->event_index)
		__atomic_store_n(&ring->used->flags, VRING_USED_F_NO_NOTIFY, __ATOMIC_RELAXED);
	if (unlikely(ring->log))
		ring_log(ring, ring->device_guest,
			 ring->is_packed ? sizeof(*ring->device_event) : USED_HEAD);
}
