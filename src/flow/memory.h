// The table's memory: one file in memory with two parts that are used from their beginnings on. A
// thread of its own brings in what is used next, 2 MiB at a time, because the first touch of a page
// costs thousands of cycles and of a huge page hundreds of thousands. Nothing is lost where it
// comes late: then whoever touches the page waits.

#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

enum flow_memory_part_index {
	FLOW_MEMORY_BUCKETS,
	FLOW_MEMORY_FLOWS,
	FLOW_MEMORY_PARTS,
};

struct flow_memory_part {
	char *start;
	size_t size;
	_Atomic size_t used; // bytes that are in use, in whole steps
	size_t ready;	     // bytes that were brought in
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
};

// Tests and measurements choose: without huge pages of any kind. Before the first table.
extern bool flow_memory_small_pages;

// Zeroed. Of each part the beginning is there. False: errno.
bool flow_memory_open(struct flow_memory *memory, const size_t sizes[FLOW_MEMORY_PARTS]);
void flow_memory_close(struct flow_memory *memory);

void flow_memory_use_more(struct flow_memory *memory, enum flow_memory_part_index part, size_t end);

// The bytes of a part below `end` are used from now on. Any thread.
static inline void flow_memory_use(struct flow_memory *memory, enum flow_memory_part_index part,
				   size_t end)
{
	if (end > atomic_load_explicit(&memory->parts[part].used, memory_order_relaxed))
		flow_memory_use_more(memory, part, end);
}
