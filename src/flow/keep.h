// The file in which a table outlives its process. It lies in memory (tmpfs, or huge pages that were
// set aside); beside it are PATH.lock, held by the process that uses it, and PATH.new, a table that
// is not complete yet: it takes the other one's place when all connections were adopted
// (adopt.h). So whenever a process ends, there is one whole table.
//
// What a killed process leaves is whole but for the one connection that it was just writing: that
// one is not FLOW_LIVE, or was judged, accounted or ended halfway. Buckets are of no use.
//
// Control thread only.

#pragma once

#include <limits.h>
#include <stdint.h>

#include "base/error.h"
#include "flow/flow.h"
#include "flow/hash.h"

#define FLOW_KEEP_BOOT 40

// What the memory file starts with. All of it but the groups is constant, and in the checksum.
struct flow_file_header {
	char magic[8];
	uint32_t layout;
	uint32_t flow_size;
	uint32_t max;
	uint32_t rows_max;
	uint64_t size;	   // bytes of the file
	uint64_t flows_at; // where in it connection 0 would be
	uint64_t id;	   // the same for all tables that followed each other
	int64_t clock;	   // CLOCK_BOOTTIME in nanoseconds when the table's was 0
	char boot[FLOW_KEEP_BOOT];
	struct flow_hash_secret secret;
	uint64_t checksum;
	_Atomic uint64_t extents[FLOW_SHARDS]; // flow_extent
};

// A table that an earlier process has left.
struct flow_remains {
	const struct flow_file_header *header; // NULL: there is none
	int fd;
};

struct flow_keep {
	char path[PATH_MAX - 8];
	int lock;
	bool huge_pages;  // the file's
	bool made;	  // the new table is in the file
	char reason[256]; // why connections end with this process; empty: they don't
	char lost[128]; // why those of an earlier process can't be used; empty: they can, or there
			// are none
	struct flow_remains remains;
};

// Takes the path for this process, and looks at what is there. `lock`: of a process that uses it
// and has given that (it is taken over); -1: none. -1: another process uses it. That there can be
// no such file is no error, but a `reason`.
int flow_keep_open(const char *path, int lock, struct flow_keep *keep, struct error *err);
void flow_keep_close(struct flow_keep *keep);

// What was found can't be used.
void flow_keep_forget(struct flow_keep *keep, const char *why);

// A file of this size for the new table; -1, and a reason: none. The caller closes it.
int flow_keep_make(struct flow_keep *keep, size_t size);
// There is no room for it after all.
void flow_keep_fail(struct flow_keep *keep, const char *reason);

// The new table takes the place of the earlier one, which goes.
void flow_keep_commit(struct flow_keep *keep);

// The header of a new table: the earlier one's secret, id and clock, or new ones. False: errno.
bool flow_keep_header(const struct flow_keep *keep, struct flow_file_header *header);

// Seconds of a table's clock.
uint64_t flow_keep_nanoseconds(int64_t clock);
