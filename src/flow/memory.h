// The table's memory: one file in memory with two parts, of which the lowest that is free is used
// first. A thread of its own brings in what is used next, 2 MiB at a time, because the first touch
// of a page costs thousands of cycles and of a huge page hundreds of thousands. Nothing is lost
// where it comes late: then whoever touches the page waits. What is not used any more goes back to
// the kernel on that thread, too.

#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

// One huge page.
#define FLOW_MEMORY_STEP ((size_t)2 << 20)

// Bits of a step's state.
#define FLOW_MEMORY_USED  1 // set by workers
#define FLOW_MEMORY_THERE 2

enum flow_memory_part_index {
	FLOW_MEMORY_BUCKETS,
	FLOW_MEMORY_FLOWS,
	FLOW_MEMORY_PARTS,
};

struct flow_memory_step {
	_Atomic uint8_t state;
};

struct flow_memory_part {
	char *start;
	size_t size;
	uint32_t step_count;
	struct flow_memory_step *steps;
};

struct flow_memory {
	char *start;
	size_t size;
	bool reserved; // huge pages that were set aside
	struct flow_memory_part parts[FLOW_MEMORY_PARTS];
	pthread_t thread;
	bool started;
	_Atomic bool stop;
	int event_fd;
	// Is called on the thread when it was asked to: may call flow_memory_release. Set before
	// the memory is opened.
	void (*tidy)(void *context);
	void *context;
	_Atomic bool tidy_asked;
};

// Tests and measurements choose: without huge pages that were set aside, or of any kind. Before the
// first table.
extern bool flow_memory_none_reserved;
extern bool flow_memory_small_pages;

// Zeroed. `keep`: whose file it is to be in; NULL: one that goes with the process. Of each part the
// beginning is there. False: errno.
struct flow_keep;
bool flow_memory_open(struct flow_memory *memory, const size_t sizes[FLOW_MEMORY_PARTS],
		      struct flow_keep *keep);
void flow_memory_close(struct flow_memory *memory);

// Brings in a beginning of the part at once, on this thread.
void flow_memory_prepare(struct flow_memory *memory, enum flow_memory_part_index part, size_t size);

void flow_memory_use_more(struct flow_memory *memory, enum flow_memory_part_index part,
			  uint32_t step);

// These bytes of a part are used from now on. Any thread.
static inline void flow_memory_use(struct flow_memory *memory, enum flow_memory_part_index part,
				   size_t from, size_t to)
{
	for (size_t step = from / FLOW_MEMORY_STEP; step * FLOW_MEMORY_STEP < to; step++)
		if (!(atomic_load_explicit(&memory->parts[part].steps[step].state,
					   memory_order_relaxed) &
		      FLOW_MEMORY_USED))
			flow_memory_use_more(memory, part, (uint32_t)step);
}

// Has the thread call `tidy`. Any thread; no system call if it was asked before.
void flow_memory_ask(struct flow_memory *memory);

// On the thread, of whole steps. Is anything there that could be released?
bool flow_memory_there(const struct flow_memory *memory, enum flow_memory_part_index part,
		       size_t from, size_t to);
// Nobody may use it meanwhile. It is zero afterwards.
void flow_memory_release(struct flow_memory *memory, enum flow_memory_part_index part, size_t from,
			 size_t to);
