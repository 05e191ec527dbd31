#include "flow/memory.h"

#include <errno.h>
#include <linux/memfd.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "flow/keep.h"

#define STEP FLOW_MEMORY_STEP

// How many steps are brought in before they are used: as many as are used, so that little stays
// little, up to this, which is 80 ms of two million new connections a second.
#define AHEAD_MAX 16

// Linux 6.1; Debian's headers are older.
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

bool flow_memory_none_reserved, flow_memory_small_pages;

static size_t round_up(size_t size)
{
	return (size + STEP - 1) & ~(STEP - 1);
}

// Huge pages need an aligned address, which the kernel gives only to those that were set aside.
static char *map_aligned(int fd, size_t size)
{
	char *room = mmap(NULL, size + STEP, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			  -1, 0);
	char *start, *end;
	void *mapped;

	if (room == MAP_FAILED)
		return NULL;
	start = room + (-(uintptr_t)room & (STEP - 1));
	end = start + size;
	mapped = mmap(start, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
	if (mapped == MAP_FAILED) {
		int error = errno;

		munmap(room, size + STEP);
		errno = error;
		return NULL;
	}
	if (start > room)
		munmap(room, (size_t)(start - room));
	if (room + size + STEP > end)
		munmap(end, (size_t)(room + size + STEP - end));
	return start;
}

// In a file that outlives the process.
static bool map_kept(struct flow_memory *memory, struct flow_keep *keep)
{
	int fd = flow_keep_make(keep, memory->size);

	if (fd < 0)
		return false;
	memory->start = map_aligned(fd, memory->size);
	memory->reserved = keep->huge_pages;
	close(fd);
	if (!memory->start)
		flow_keep_fail(keep, "no memory, or no huge pages, for the connection table");
	return memory->start;
}

static bool map(struct flow_memory *memory, struct flow_keep *keep)
{
	if (keep && map_kept(memory, keep))
		return true;
	for (unsigned int reserved = !flow_memory_none_reserved && !flow_memory_small_pages;;
	     reserved--) {
		int fd = memfd_create("sluice-flows", MFD_CLOEXEC | (reserved ? MFD_HUGETLB : 0));

		if (fd >= 0) {
			if (ftruncate(fd, (off_t)memory->size) == 0)
				memory->start = map_aligned(fd, memory->size);
			close(fd);
		}
		memory->reserved = reserved != 0;
		if (memory->start || !reserved)
			return memory->start != NULL;
	}
}

// A huge page in one step where the kernel can: the first page makes the file's memory there be,
// and the rest is put beside it. No setting of the system's for huge pages in such files is needed.
// Not where this comes late: who uses the pages already would wait for the end.
static void bring_in(const struct flow_memory *memory, char *at, size_t size, bool late)
{
	if (!memory->reserved && !flow_memory_small_pages && size == STEP && !late) {
		// Reading, because a worker may just have begun to write there.
		(void)*(volatile char *)at;
		if (madvise(at, size, MADV_COLLAPSE) == 0)
			return;
	}
	// Where even that fails, pages come as they are touched.
	madvise(at, size, MADV_POPULATE_WRITE);
}

static void bring_step(const struct flow_memory *memory, struct flow_memory_part *part,
		       uint32_t step, bool late)
{
	size_t at = step * STEP;

	bring_in(memory, part->start + at, part->size - at < STEP ? part->size - at : STEP, late);
	atomic_fetch_or(&part->steps[step].state, FLOW_MEMORY_THERE);
}

// The next step of a part: one that is used already, or the lowest one. False: enough is there.
static bool bring_next(struct flow_memory *memory, struct flow_memory_part *part)
{
	uint32_t used = 0, ahead = 0, lowest = part->step_count;

	for (uint32_t i = 0; i < part->step_count; i++) {
		uint8_t step = atomic_load_explicit(&part->steps[i].state, memory_order_relaxed);

		if (step == FLOW_MEMORY_USED) {
			bring_step(memory, part, i, true);
			return true;
		}
		if (step & FLOW_MEMORY_USED)
			used++;
		else if (step & FLOW_MEMORY_THERE)
			ahead++;
		else if (lowest == part->step_count)
			lowest = i;
		if (ahead >= AHEAD_MAX)
			return false;
	}
	if (ahead >= (used ? used : 1) || lowest == part->step_count)
		return false;
	bring_step(memory, part, lowest, false);
	return true;
}

static void *memory_main(void *argument)
{
	struct flow_memory *memory = argument;
	uint64_t kicks;

	while (read(memory->event_fd, &kicks, sizeof(kicks)) > 0 || errno == EINTR) {
		bool more = true;

		while (more && !atomic_load(&memory->stop)) {
			more = false;
			for (unsigned int i = 0; i < FLOW_MEMORY_PARTS; i++)
				more |= bring_next(memory, &memory->parts[i]);
		}
		if (atomic_load(&memory->stop))
			break;
		if (atomic_exchange(&memory->tidy_asked, false))
			memory->tidy(memory->context);
	}
	return NULL;
}

// It can only fail when the counter is full, and then the thread looks anyway.
static void kick(const struct flow_memory *memory)
{
	uint64_t one = 1;

	if (memory->started && write(memory->event_fd, &one, sizeof(one)) < 0)
		return;
}

void flow_memory_prepare(struct flow_memory *memory, enum flow_memory_part_index index, size_t size)
{
	struct flow_memory_part *part = &memory->parts[index];

	for (uint32_t i = 0; i < part->step_count && i * STEP < size; i++)
		if (!atomic_load_explicit(&part->steps[i].state, memory_order_relaxed))
			bring_step(memory, part, i, false);
}

void flow_memory_use_more(struct flow_memory *memory, enum flow_memory_part_index part,
			  uint32_t step)
{
	atomic_fetch_or(&memory->parts[part].steps[step].state, FLOW_MEMORY_USED);
	kick(memory);
}

void flow_memory_ask(struct flow_memory *memory)
{
	if (memory->started && !atomic_exchange(&memory->tidy_asked, true))
		kick(memory);
}

bool flow_memory_there(const struct flow_memory *memory, enum flow_memory_part_index index,
		       size_t from, size_t to)
{
	const struct flow_memory_part *part = &memory->parts[index];

	// What was set aside stays so.
	for (size_t i = from / STEP; !memory->reserved && i < part->step_count && i * STEP < to;
	     i++)
		if (atomic_load_explicit(&part->steps[i].state, memory_order_relaxed))
			return true;
	return false;
}

void flow_memory_release(struct flow_memory *memory, enum flow_memory_part_index index, size_t from,
			 size_t to)
{
	struct flow_memory_part *part = &memory->parts[index];

	for (size_t i = from / STEP; i < part->step_count && i * STEP < to; i++) {
		size_t at = i * STEP, size = part->size - at < STEP ? part->size - at : STEP;

		if (memory->reserved ||
		    !atomic_load_explicit(&part->steps[i].state, memory_order_relaxed))
			continue;
		// Where it fails the memory stays, as it is.
		if (madvise(part->start + at, size, MADV_REMOVE) == 0)
			atomic_store(&part->steps[i].state, 0);
	}
}

bool flow_memory_open(struct flow_memory *memory, const size_t sizes[FLOW_MEMORY_PARTS],
		      struct flow_keep *keep)
{
	size_t at = 0;

	memory->event_fd = -1;
	for (unsigned int i = 0; i < FLOW_MEMORY_PARTS; i++)
		memory->size += round_up(sizes[i]);
	if (!map(memory, keep))
		return false;
	for (unsigned int i = 0; i < FLOW_MEMORY_PARTS; i++) {
		struct flow_memory_part *part = &memory->parts[i];

		part->start = memory->start + at;
		part->size = sizes[i];
		at += round_up(sizes[i]);
		// What is small is not worth a huge page.
		if (memory->reserved)
			part->size = round_up(sizes[i]);
		part->step_count = (uint32_t)(round_up(part->size) / STEP);
		part->steps = calloc(part->step_count, sizeof(part->steps[0]));
		if (!part->steps)
			return false;
		if (part->size >= STEP)
			bring_next(memory, part);
		else
			atomic_store(&part->steps[0].state, FLOW_MEMORY_THERE);
	}
	if (memory->size <= FLOW_MEMORY_PARTS * STEP)
		return true;
	memory->event_fd = eventfd(0, EFD_CLOEXEC);
	// Without the thread memory comes as it is touched.
	if (memory->event_fd >= 0 &&
	    pthread_create(&memory->thread, NULL, memory_main, memory) == 0) {
		pthread_setname_np(memory->thread, "sluice-memory");
		memory->started = true;
	}
	return true;
}

void flow_memory_close(struct flow_memory *memory)
{
	uint64_t one = 1;

	if (memory->started) {
		atomic_store(&memory->stop, true);
		while (write(memory->event_fd, &one, sizeof(one)) < 0 && errno == EINTR)
			;
		pthread_join(memory->thread, NULL);
	}
	if (memory->event_fd >= 0)
		close(memory->event_fd);
	if (memory->start)
		munmap(memory->start, memory->size);
	for (unsigned int i = 0; i < FLOW_MEMORY_PARTS; i++)
		free(memory->parts[i].steps);
}
