// What has changed, in the order of time, for those who watch: a ring with the latest versions of
// objects and those before them, up to a size. Who is further behind begins anew.
//
// Sequence numbers count entries from 1 on; each reader has the number of the next entry that it
// wants.

#pragma once

#include <stdint.h>

#include "model/set.h"

#define WATCH_LOG_ENTRIES 65536

// Bytes of memory of objects that nobody but the log still has.
#define WATCH_LOG_RETIRED (2u << 20)

struct watch_entry {
	uint64_t revision;
	struct member *member;
	uint32_t retired; // its bytes, where the set has another version since
	Sluice__V1__WatchEventType type;
};

struct watch_log {
	struct watch_entry *entries; // a ring of `capacity`, a power of two
	uint32_t capacity;
	uint64_t first;	   // sequence number of the oldest
	uint64_t next;	   // of the one that comes next
	uint64_t retired;  // bytes
	uint64_t revision; // up to which it tells
	uint64_t oldest;   // who knows this revision or a later one can go on
};

void watch_log_open(struct watch_log *log, uint64_t revision);
void watch_log_close(struct watch_log *log);

// Takes `member` over.
void watch_log_add(struct watch_log *log, Sluice__V1__WatchEventType type, struct member *member);

// Adds what is different in the set `now`, which is of this revision.
void watch_log_add_changes(struct watch_log *log, const struct object_set *before,
			   const struct object_set *now, uint64_t revision);

// Where who knows `revision` goes on. False: it is not kept, or there is no such revision.
bool watch_log_find(const struct watch_log *log, uint64_t revision, uint64_t *sequence);

// NULL: it is not there any more, or not yet.
const struct watch_entry *watch_log_at(const struct watch_log *log, uint64_t sequence);
