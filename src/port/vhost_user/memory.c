#include "port/vhost_user/memory.h"

void *vhost_memory_at(const struct vhost_memory *memory, uint64_t guest, uint64_t size)
{
	for (uint32_t i = 0; i < memory->count; i++) {
		const struct vhost_region *region = &memory->regions[i];

		if (vhost_range_holds(region->guest, region->size, guest, size))
			return region->start + (guest - region->guest);
	}
	return NULL;
}

void *vhost_memory_at_user(const struct vhost_memory *memory, uint64_t user, uint64_t size)
{
	for (uint32_t i = 0; i < memory->count; i++) {
		const struct vhost_region *region = &memory->regions[i];

		if (vhost_range_holds(region->user, region->size, user, size))
			return region->start + (user - region->user);
	}
	return NULL;
}

const struct vhost_region *vhost_memory_region(const struct vhost_memory *memory, uint64_t guest)
{
	for (uint32_t i = 0; i < memory->count; i++) {
		const struct vhost_region *region = &memory->regions[i];

		if (vhost_range_holds(region->guest, region->size, guest, 1))
			return region;
	}
	return NULL;
}

bool vhost_memory_guest(const struct vhost_memory *memory, const void *start, uint64_t size,
			uint64_t *guest)
{
	for (uint32_t i = 0; i < memory->count; i++) {
		const struct vhost_region *region = &memory->regions[i];

		if (!vhost_range_holds((uintptr_t)region->start, region->size, (uintptr_t)start,
				       size))
			continue;
		*guest = region->guest + (uint64_t)((const uint8_t *)start - region->start);
		return true;
	}
	return false;
}
