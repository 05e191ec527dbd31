#include "vhost_driver.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define AVAIL (1 << VRING_PACKED_DESC_F_AVAIL)
#define USED  (1 << VRING_PACKED_DESC_F_USED)

#define GUARD 4096

// Room for one indirect table, of which there may be as many as buffers in the ring.
#define TABLE_SIZE (64 * 16)
#define TABLES	   (REGION_0 + (1 << 19))
#define TABLE_MAX  ((BUFFERS - TABLES) / TABLE_SIZE)

static void require(bool condition)
{
	if (!condition)
		abort();
}

static void region_add(struct vhost_driver *driver, uint64_t guest)
{
	struct vhost_region *region = &driver->memory.regions[driver->memory.count++];

	*region = (struct vhost_region){
		.guest = guest, .user = guest + 0x7f0000000000, .size = REGION_SIZE};
	// Whoever goes beyond its ends is seen.
	region->map_size = REGION_SIZE + 2 * GUARD;
	region->map = mmap(NULL, region->map_size, PROT_NONE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	require(region->map != MAP_FAILED);
	region->start = (uint8_t *)region->map + GUARD;
	require(mprotect(region->start, REGION_SIZE, PROT_READ | PROT_WRITE) == 0);
}

void driver_open(struct vhost_driver *driver, uint64_t features, uint16_t size)
{
	uint64_t at = REGION_0;

	memset(driver, 0, sizeof(*driver));
	// The order in memory is not that of addresses.
	region_add(driver, REGION_1);
	region_add(driver, REGION_2);
	region_add(driver, REGION_0);
	driver->size = size;
	driver->packed = features >> VIRTIO_F_RING_PACKED & 1;
	driver->event_index = features >> VIRTIO_RING_F_EVENT_IDX & 1;
	driver->wrap = driver->used_wrap = driver->packed;
	driver->indirect = 0;
	driver->call_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	require(driver->call_fd >= 0);
	driver->setup = (struct vhost_ring_setup){
		.memory = &driver->memory,
		.features = features,
		.size = size,
		.base = driver->packed ? 1 << 15 : 0,
		.call_fd = driver->call_fd,
	};
	driver->setup.descriptors = driver_at(driver, at);
	at += size * 16u;
	driver->setup.driver = driver_at(driver, at);
	at = (at + 6 + 2u * size + 63) & ~UINT64_C(63);
	driver->setup.device = driver_at(driver, at);
	require(at + 6 + 8u * size <= TABLES);
}

void driver_close(struct vhost_driver *driver)
{
	for (uint32_t i = 0; i < driver->memory.count; i++)
		munmap(driver->memory.regions[i].map, driver->memory.regions[i].map_size);
	close(driver->call_fd);
}

void *driver_at(struct vhost_driver *driver, uint64_t guest)
{
	void *place = vhost_memory_at(&driver->memory, guest, 1);

	require(place);
	return place;
}

// Descriptors of a split ring, or of a table for one, from `first` on.
static void split_fill(struct vring_desc *table, uint32_t first, uint32_t mask,
		       const struct part *parts, uint32_t count, uint16_t flags)
{
	for (uint32_t i = 0; i < count; i++) {
		uint16_t next = (uint16_t)((first + i + 1) & mask);

		table[(first + i) & mask] = (struct vring_desc){
			.addr = parts[i].guest,
			.len = parts[i].size,
			.flags = (uint16_t)(flags | (i + 1 < count ? VRING_DESC_F_NEXT : 0)),
			.next = i + 1 < count ? next : 0xffff,
		};
	}
}

static uint16_t split_add(struct vhost_driver *driver, const struct part *parts, uint32_t count,
			  uint16_t flags)
{
	struct vring_avail *avail = driver->setup.driver;
	uint16_t mask = (uint16_t)(driver->size - 1), head = driver->next & mask;

	split_fill(driver->setup.descriptors, head, mask, parts, count, flags);
	avail->ring[driver->avail++ & mask] = head;
	driver->next = (uint16_t)(driver->next + count);
	return head;
}

static uint16_t packed_add(struct vhost_driver *driver, const struct part *parts, uint32_t count,
			   uint16_t flags)
{
	struct vring_packed_desc *ring = driver->setup.descriptors;
	// Any numbers will do; these are not the places.
	uint16_t id = (uint16_t)((driver->next * 7 + 3) % driver->size);

	for (uint32_t i = 0; i < count; i++) {
		struct vring_packed_desc *descriptor = &ring[driver->next];
		uint16_t all = (uint16_t)(flags | (driver->wrap ? AVAIL : USED) |
					  (i + 1 < count ? VRING_DESC_F_NEXT : 0));

		descriptor->addr = parts[i].guest;
		descriptor->len = parts[i].size;
		descriptor->id = id;
		if (!driver->held) {
			driver->held = true;
			driver->held_place = driver->next;
			driver->held_flags = all;
		} else {
			descriptor->flags = all;
		}
		if (++driver->next == driver->size) {
			driver->next = 0;
			driver->wrap = !driver->wrap;
		}
	}
	driver->places[id] = (uint16_t)count;
	return id;
}

uint16_t driver_add(struct vhost_driver *driver, const struct part *parts, uint32_t count,
		    bool write)
{
	uint16_t flags = write ? VRING_DESC_F_WRITE : 0;

	return driver->packed ? packed_add(driver, parts, count, flags)
			      : split_add(driver, parts, count, flags);
}

uint16_t driver_add_table(struct vhost_driver *driver, const struct part *parts, uint32_t count,
			  bool write)
{
	struct part table = {TABLES + driver->indirect * TABLE_SIZE, count * 16};
	uint16_t flags = write ? VRING_DESC_F_WRITE : 0;

	require(table.size <= TABLE_SIZE);
	driver->indirect = (driver->indirect + 1) % TABLE_MAX;
	if (!driver->packed) {
		split_fill(driver_at(driver, table.guest), 0, 0xffff, parts, count, flags);
		return split_add(driver, &table, 1, VRING_DESC_F_INDIRECT);
	}
	for (uint32_t i = 0; i < count; i++)
		((struct vring_packed_desc *)driver_at(driver, table.guest))[i] =
			(struct vring_packed_desc){
				.addr = parts[i].guest, .len = parts[i].size, .flags = flags};
	return packed_add(driver, &table, 1, VRING_DESC_F_INDIRECT);
}

void driver_show(struct vhost_driver *driver)
{
	struct vring_packed_desc *ring = driver->setup.descriptors;
	struct vring_avail *avail = driver->setup.driver;

	if (!driver->packed) {
		__atomic_store_n(&avail->idx, driver->avail, __ATOMIC_RELEASE);
	} else if (driver->held) {
		driver->held = false;
		__atomic_store_n(&ring[driver->held_place].flags, driver->held_flags,
				 __ATOMIC_RELEASE);
	}
}

static bool packed_take(struct vhost_driver *driver, uint16_t *id, uint32_t *size)
{
	struct vring_packed_desc *ring = driver->setup.descriptors;
	uint16_t flags = __atomic_load_n(&ring[driver->used].flags, __ATOMIC_ACQUIRE), place;

	if (!!(flags & AVAIL) != !!(flags & USED) || !!(flags & USED) != driver->used_wrap)
		return false;
	*id = ring[driver->used].id;
	*size = ring[driver->used].len;
	require(*id < driver->size);
	place = (uint16_t)(driver->used + driver->places[*id]);
	if (place >= driver->size) {
		place = (uint16_t)(place - driver->size);
		driver->used_wrap = !driver->used_wrap;
	}
	driver->used = place;
	return true;
}

bool driver_take(struct vhost_driver *driver, uint16_t *id, uint32_t *size)
{
	struct vring_used *used = driver->setup.device;
	const vring_used_elem_t *element = &used->ring[driver->used & (driver->size - 1)];

	if (driver->packed)
		return packed_take(driver, id, size);
	if (__atomic_load_n(&used->idx, __ATOMIC_ACQUIRE) == driver->used)
		return false;
	*id = (uint16_t)element->id;
	*size = element->len;
	driver->used++;
	return true;
}

void driver_want_call(struct vhost_driver *driver, bool wanted)
{
	struct vring_packed_desc_event *event = driver->setup.driver;
	struct vring_avail *avail = driver->setup.driver;

	if (!driver->packed && driver->event_index) {
		// A place that was passed long ago is as good as never.
		avail->ring[driver->size] = (uint16_t)(wanted ? driver->used : driver->used - 1);
	} else if (!driver->packed) {
		avail->flags = wanted ? 0 : VRING_AVAIL_F_NO_INTERRUPT;
	} else if (wanted && driver->event_index) {
		event->off_wrap = (uint16_t)(driver->used | driver->used_wrap << 15);
		event->flags = VRING_PACKED_EVENT_FLAG_DESC;
	} else {
		event->flags =
			wanted ? VRING_PACKED_EVENT_FLAG_ENABLE : VRING_PACKED_EVENT_FLAG_DISABLE;
	}
}

bool driver_kicks(struct vhost_driver *driver, uint16_t count)
{
	struct vring_packed_desc_event *event = driver->setup.device;
	struct vring_used *used = driver->setup.device;
	uint16_t place;

	if (!driver->packed && driver->event_index)
		return vring_need_event(*(uint16_t *)(void *)&used->ring[driver->size],
					driver->avail, (uint16_t)(driver->avail - count));
	if (!driver->packed)
		return !(used->flags & VRING_USED_F_NO_NOTIFY);
	if (event->flags != VRING_PACKED_EVENT_FLAG_DESC)
		return event->flags != VRING_PACKED_EVENT_FLAG_DISABLE;
	place = event->off_wrap & 0x7fff;
	if (event->off_wrap >> 15 != driver->wrap)
		place = (uint16_t)(place - driver->size);
	return vring_need_event(place, driver->next, (uint16_t)(driver->next - count));
}

uint64_t driver_calls(struct vhost_driver *driver)
{
	uint64_t count = 0;

	return read(driver->call_fd, &count, sizeof(count)) < 0 ? 0 : count;
}
