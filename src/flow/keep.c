#include "flow/keep.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <time.h>
#include <unistd.h>

#include "flow/memory.h"
#include "flow/table_private.h"

#define MAGIC "sluicefl"

// 10 ms each.
#define LOCK_STEPS 500

// A new table's clock begins here, so that there is room below.
#define CLOCK_FIRST 1000

static int64_t boot_time(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

uint64_t flow_keep_nanoseconds(int64_t clock)
{
	return (uint64_t)(boot_time() - clock);
}

static void read_boot(char boot[FLOW_KEEP_BOOT])
{
	FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");

	memset(boot, 0, FLOW_KEEP_BOOT);
	if (!file)
		return;
	if (!fgets(boot, FLOW_KEEP_BOOT, file))
		boot[0] = 0;
	fclose(file);
}

// FNV-1a
static uint64_t checksum(const struct flow_file_header *header)
{
	const uint8_t *bytes = (const uint8_t *)header;
	uint64_t sum = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < offsetof(struct flow_file_header, checksum); i++)
		sum = (sum ^ bytes[i]) * UINT64_C(0x100000001b3);
	return sum;
}

// ---- what an earlier process has left

static const char *unfit(const struct flow_file_header *header, uint64_t size)
{
	char boot[FLOW_KEEP_BOOT];

	if (memcmp(header->magic, MAGIC, sizeof(header->magic)) != 0)
		return "it is no connection table";
	if (header->layout != FLOW_TABLE_LAYOUT || header->flow_size != sizeof(struct flow))
		return "it has the layout of another version";
	if (header->checksum != checksum(header))
		return "its header is damaged";
	read_boot(boot);
	if (memcmp(header->boot, boot, sizeof(boot)) != 0 || header->clock > boot_time())
		return "the system was started anew since";
	if (header->size != size ||
	    header->flows_at + ((uint64_t)header->max + 1) * header->flow_size > size)
		return "it is cut short";
	return NULL;
}

static void drop_remains(struct flow_keep *keep)
{
	struct flow_remains *remains = &keep->remains;
	struct stat is;

	if (remains->header && fstat(remains->fd, &is) == 0)
		munmap((void *)(uintptr_t)remains->header, (size_t)is.st_size);
	remains->header = NULL;
	if (remains->fd >= 0)
		close(remains->fd);
	remains->fd = -1;
}

void flow_keep_forget(struct flow_keep *keep, const char *why)
{
	if (!keep->lost[0])
		snprintf(keep->lost, sizeof(keep->lost), "%s", why);
	drop_remains(keep);
}

static void find_remains(struct flow_keep *keep)
{
	struct flow_remains *remains = &keep->remains;
	const char *why;
	struct stat is;
	void *mapped;

	remains->fd = open(keep->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (remains->fd < 0 && errno == ENOENT)
		return;
	if (remains->fd < 0 || fstat(remains->fd, &is) < 0) {
		flow_keep_forget(keep, strerror(errno));
		return;
	}
	if (!S_ISREG(is.st_mode) || (size_t)is.st_size < FLOW_TABLE_HEADER) {
		flow_keep_forget(keep, "it is no connection table");
		return;
	}
	mapped = mmap(NULL, (size_t)is.st_size, PROT_READ, MAP_SHARED, remains->fd, 0);
	if (mapped == MAP_FAILED) {
		flow_keep_forget(keep, strerror(errno));
		return;
	}
	remains->header = mapped;
	why = unfit(remains->header, (uint64_t)is.st_size);
	if (why)
		flow_keep_forget(keep, why);
}

// ---- the file

static void beside(const struct flow_keep *keep, const char *ending, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s%s", keep->path, ending);
}

// Files elsewhere would be written to a disk.
static bool is_in_memory(struct flow_keep *keep)
{
	char directory[PATH_MAX];
	struct statfs is;
	char *slash;

	beside(keep, "", directory);
	slash = strrchr(directory, '/');
	if (slash == directory)
		slash++;
	if (slash)
		*slash = 0;
	if (statfs(slash ? directory : ".", &is) < 0) {
		snprintf(keep->reason, sizeof(keep->reason), "%.180s: %s", keep->path,
			 strerror(errno));
		return false;
	}
	keep->huge_pages = is.f_type == HUGETLBFS_MAGIC;
	if (is.f_type == TMPFS_MAGIC || (keep->huge_pages && is.f_bsize == FLOW_MEMORY_STEP))
		return true;
	snprintf(keep->reason, sizeof(keep->reason), "%.180s is not in memory", keep->path);
	return false;
}

// Who was killed lets go of it when the last of its threads has ended, and who is to end may still
// be at it, while a supervisor that knows of another process only starts the next one.
static bool lock_take(int lock)
{
	static const struct timespec step = {.tv_nsec = 10000000};

	for (unsigned int waited = 0; waited < LOCK_STEPS; waited++) {
		if (flock(lock, LOCK_EX | LOCK_NB) == 0)
			return true;
		nanosleep(&step, NULL);
	}
	return false;
}

int flow_keep_open(const char *path, int given, struct flow_keep *keep, struct error *err)
{
	char lock[PATH_MAX];

	memset(keep, 0, sizeof(*keep));
	keep->lock = given;
	keep->remains.fd = -1;
	snprintf(keep->path, sizeof(keep->path), "%s", path);
	if (!is_in_memory(keep))
		return 0;
	if (given >= 0) {
		find_remains(keep);
		return 0;
	}
	beside(keep, ".lock", lock);
	keep->lock = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (keep->lock < 0) {
		snprintf(keep->reason, sizeof(keep->reason), "%.180s: %s", lock, strerror(errno));
		return 0;
	}
	if (!lock_take(keep->lock)) {
		close(keep->lock);
		keep->lock = -1;
		return error_set(err, "%s is another sluiced's (--flows)", path);
	}
	find_remains(keep);
	return 0;
}

void flow_keep_close(struct flow_keep *keep)
{
	char made[PATH_MAX];

	if (keep->made) {
		beside(keep, ".new", made);
		unlink(made);
	}
	drop_remains(keep);
	if (keep->lock >= 0)
		close(keep->lock);
	keep->lock = -1;
}

void flow_keep_fail(struct flow_keep *keep, const char *reason)
{
	char made[PATH_MAX];

	beside(keep, ".new", made);
	unlink(made);
	keep->made = false;
	snprintf(keep->reason, sizeof(keep->reason), "%s", reason);
}

// Who touches memory of a full file system gets SIGBUS, and that would be in the midst of packets.
// The earlier table's memory is free when the connections have left it.
static bool has_room(const struct flow_keep *keep, int fd, size_t size)
{
	uint64_t available, taken = 0;
	struct statfs room;
	struct stat is;

	if (keep->huge_pages) // are set aside when they are mapped
		return true;
	if (fstatfs(fd, &room) < 0)
		return false;
	if (!room.f_blocks)
		return true;
	if (keep->remains.header && fstat(keep->remains.fd, &is) == 0)
		taken = (uint64_t)is.st_blocks * 512;
	available = (uint64_t)room.f_bavail * (uint64_t)room.f_bsize;
	return available >= taken && available + taken >= size;
}

int flow_keep_make(struct flow_keep *keep, size_t size)
{
	char made[PATH_MAX], reason[256];
	int fd;

	if (keep->lock < 0)
		return -1;
	beside(keep, ".new", made);
	unlink(made);
	fd = open(made, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0 && ftruncate(fd, (off_t)size) == 0 && has_room(keep, fd, size)) {
		keep->made = true;
		return fd;
	}
	snprintf(reason, sizeof(reason), "no room for %zu MiB at %.180s", size >> 20, keep->path);
	if (fd < 0)
		snprintf(reason, sizeof(reason), "%.180s: %s", made, strerror(errno));
	else
		close(fd);
	flow_keep_fail(keep, reason);
	return -1;
}

void flow_keep_commit(struct flow_keep *keep)
{
	char made[PATH_MAX], reason[256];

	if (keep->made) {
		beside(keep, ".new", made);
		if (rename(made, keep->path) < 0) {
			snprintf(reason, sizeof(reason), "%.180s: %s", keep->path, strerror(errno));
			flow_keep_fail(keep, reason);
		}
	}
	// What lies there is out of date from now on.
	if (!keep->made && keep->lock >= 0)
		unlink(keep->path);
	keep->made = false;
	drop_remains(keep);
}

bool flow_keep_header(const struct flow_keep *keep, struct flow_file_header *header)
{
	const struct flow_file_header *earlier = keep ? keep->remains.header : NULL;

	memcpy(header->magic, MAGIC, sizeof(header->magic));
	header->layout = FLOW_TABLE_LAYOUT;
	header->flow_size = sizeof(struct flow);
	read_boot(header->boot);
	if (earlier) {
		header->secret = earlier->secret;
		header->id = earlier->id;
		header->clock = earlier->clock;
	} else {
		header->clock = boot_time() - (int64_t)CLOCK_FIRST * 1000000000;
		if (getrandom(&header->secret, sizeof(header->secret), 0) !=
			    sizeof(header->secret) ||
		    getrandom(&header->id, sizeof(header->id), 0) != sizeof(header->id))
			return false;
		for (unsigned int i = 0;
		     i < sizeof(header->secret.words) / sizeof(header->secret.words[0]); i++)
			header->secret.words[i] |= 1;
	}
	header->checksum = checksum(header);
	return true;
}
