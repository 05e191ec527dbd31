// Guests' memory and log: files that a front-end shares.

#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "port/bus_error.h"
#include "port/vhost_user/vhost_user.h"

#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif

// Where a file's pages come from is the kernel's own business: whoever serves them otherwise (FUSE,
// a network) could have a worker wait for as long as he likes.
static bool is_prompt(int fd)
{
	static const uint32_t kinds[] = {TMPFS_MAGIC,	   HUGETLBFS_MAGIC, RAMFS_MAGIC,
					 EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC};
	struct statfs status;

	if (fstatfs(fd, &status) < 0)
		return false;
	for (unsigned int i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if ((uint32_t)status.f_type == kinds[i])
			return true;
	return false;
}

// Maps `size` bytes of the file from `offset` on; `map` and `map_size` are to be unmapped.
static uint8_t *file_map(int fd, uint64_t offset, uint64_t size, void **map, size_t *map_size,
			 struct error *err)
{
	struct stat status;
	uint64_t page, from, to;

	if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) || !is_prompt(fd)) {
		error_set(err, "not a file of memory");
		return NULL;
	}
	// hugetlbfs tells its page size as the block size, and maps whole pages only.
	page = (uint64_t)status.st_blksize < 4096 ? 4096 : (uint64_t)status.st_blksize;
	if (!size || offset + size < offset || offset + size > (uint64_t)status.st_size ||
	    page & (page - 1)) {
		error_set(err, "%llu bytes at %llu of a file of %llu", (unsigned long long)size,
			  (unsigned long long)offset, (unsigned long long)status.st_size);
		return NULL;
	}
	from = offset & ~(page - 1);
	to = (offset + size + page - 1) & ~(page - 1);
	*map_size = to - from;
	*map = mmap(NULL, *map_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd,
		    (off_t)from);
	if (*map == MAP_FAILED) {
		*map = NULL;
		error_errno(err, "memory cannot be mapped");
		return NULL;
	}
	// A workload's memory is not for a dump of ours.
	madvise(*map, *map_size, MADV_DONTDUMP);
	// An earlier mapping in this place is not this one.
	bus_error_hit(*map, *map_size);
	return (uint8_t *)*map + (offset - from);
}

int vhost_region_map(struct vhost_region *region, const struct vhost_message_region *from, int fd,
		     struct error *err)
{
	if (from->guest + from->size < from->guest || from->user + from->size < from->user)
		return error_set(err, "a region that ends before it begins");
	*region = (struct vhost_region){
		.guest = from->guest,
		.user = from->user,
		.size = from->size,
		.offset = from->offset,
		.fd = -1,
	};
	region->start =
		file_map(fd, from->offset, from->size, &region->map, &region->map_size, err);
	if (!region->start)
		return -1;
	region->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return 0;
}

void vhost_region_unmap(struct vhost_region *region)
{
	if (region->map)
		munmap(region->map, region->map_size);
	if (region->map && region->fd >= 0)
		close(region->fd);
	region->map = NULL;
}

void vhost_memory_unmap(struct vhost_memory *memory)
{
	for (uint32_t i = 0; i < memory->count; i++)
		vhost_region_unmap(&memory->regions[i]);
	memory->count = 0;
}

int vhost_log_map(struct vhost_guest *guest, uint64_t size, uint64_t offset, int fd,
		  struct error *err)
{
	uint8_t *bits = file_map(fd, offset, size, &guest->log_map, &guest->log_map_size, err);

	if (!bits)
		return -1;
	guest->log = (struct vhost_log){.bits = bits, .size = size};
	guest->log_offset = offset;
	guest->log_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return 0;
}

void vhost_log_unmap(struct vhost_guest *guest)
{
	if (guest->log_map)
		munmap(guest->log_map, guest->log_map_size);
	if (guest->log_map && guest->log_fd >= 0)
		close(guest->log_fd);
	guest->log_map = NULL;
	guest->log = (struct vhost_log){0};
}
