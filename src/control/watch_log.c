#include "control/watch_log.h"

#include "model/kind.h"
#include "model/memory.h"
#include "model/object.h"

#define FIRST_CAPACITY 16

void watch_log_open(struct watch_log *log, uint64_t revision)
{
	*log = (struct watch_log){
		.entries = memory_new(FIRST_CAPACITY * sizeof(struct watch_entry)),
		.capacity = FIRST_CAPACITY,
		.first = 1,
		.next = 1,
		.revision = revision,
		.oldest = revision,
	};
}

static struct watch_entry *entry_at(const struct watch_log *log, uint64_t sequence)
{
	return &log->entries[sequence & (log->capacity - 1)];
}

const struct watch_entry *watch_log_at(const struct watch_log *log, uint64_t sequence)
{
	return sequence >= log->first && sequence < log->next ? entry_at(log, sequence) : NULL;
}

static void forget_oldest(struct watch_log *log)
{
	struct watch_entry *entry = entry_at(log, log->first);

	// The status is told anew to who goes on.
	if (entry->type != SLUICE__V1__WATCH_EVENT_TYPE__WATCH_EVENT_TYPE_STATUS &&
	    log->oldest < entry->revision)
		log->oldest = entry->revision;
	log->retired -= entry->retired;
	member_release(entry->member);
	log->first++;
}

void watch_log_close(struct watch_log *log)
{
	while (log->first < log->next)
		forget_oldest(log);
	free(log->entries);
	log->entries = NULL;
}

static void grow(struct watch_log *log)
{
	struct watch_log before = *log;

	log->capacity *= 2;
	log->entries = memory_new(log->capacity * sizeof(*log->entries));
	for (uint64_t i = log->first; i < log->next; i++)
		*entry_at(log, i) = *entry_at(&before, i);
	free(before.entries);
}

void watch_log_add(struct watch_log *log, Sluice__V1__WatchEventType type, struct member *member)
{
	// No set has the name of one that went.
	bool alone = type == SLUICE__V1__WATCH_EVENT_TYPE__WATCH_EVENT_TYPE_DELETED;

	if (log->next - log->first == WATCH_LOG_ENTRIES)
		forget_oldest(log);
	if (log->next - log->first == log->capacity)
		grow(log);
	*member_mark(member) = log->next;
	*entry_at(log, log->next++) = (struct watch_entry){
		.revision = log->revision,
		.member = member,
		.type = type,
		.retired = alone ? (uint32_t)member_size(member) : 0,
	};
	log->retired += entry_at(log, log->next - 1)->retired;
}

// The set has no more of this version: what the log has of it is counted.
static void retire(struct watch_log *log, const struct object_set *before,
		   Sluice__V1__Object__KindCase kind, const char *name)
{
	struct member *member = object_set_hold(before, kind, name);
	uint64_t sequence = *member_mark(member);

	if (sequence >= log->first && sequence < log->next) {
		struct watch_entry *entry = entry_at(log, sequence);

		entry->retired = (uint32_t)member_size(member);
		log->retired += entry->retired;
	}
	member_release(member);
}

static void add_present(struct watch_log *log, const struct object_set *before,
			const struct object_set *now, Sluice__V1__Object__KindCase kind)
{
	size_t count = object_set_count(now, kind);

	for (size_t i = 0; i < count; i++) {
		const Sluice__V1__Object *object, *other;

		if (object_set_same(now, before, kind, i))
			continue;
		object = object_set_at(now, kind, i);
		other = object_set_find(before, kind, object_name(object));
		if (other)
			retire(log, before, kind, object_name(object));
		// Another copy of the same is no change.
		if (other && object_equal(object, other))
			continue;
		watch_log_add(log,
			      other ? SLUICE__V1__WATCH_EVENT_TYPE__WATCH_EVENT_TYPE_CHANGED
				    : SLUICE__V1__WATCH_EVENT_TYPE__WATCH_EVENT_TYPE_CREATED,
			      object_set_hold(now, kind, object_name(object)));
	}
}

static void add_deleted(struct watch_log *log, const struct object_set *before,
			const struct object_set *now, Sluice__V1__Object__KindCase kind)
{
	size_t count = object_set_count(before, kind);

	for (size_t i = 0; i < count; i++) {
		const char *name;

		if (object_set_same(before, now, kind, i))
			continue;
		name = object_name(object_set_at(before, kind, i));
		if (object_set_find(now, kind, name))
			continue;
		retire(log, before, kind, name);
		watch_log_add(log, SLUICE__V1__WATCH_EVENT_TYPE__WATCH_EVENT_TYPE_DELETED,
			      member_new(object_named(kind, name)));
	}
}

void watch_log_add_changes(struct watch_log *log, const struct object_set *before,
			   const struct object_set *now, uint64_t revision)
{
	size_t kinds = 0;

	log->revision = revision;
	for (; kind_at(kinds) != SLUICE__V1__OBJECT__KIND__NOT_SET; kinds++)
		add_present(log, before, now, kind_at(kinds));
	// What refers to others goes before them.
	while (kinds > 0)
		add_deleted(log, before, now, kind_at(--kinds));
	// The last entry stays: what it has is the present version.
	while (log->retired > WATCH_LOG_RETIRED && log->next - log->first > 1)
		forget_oldest(log);
}

bool watch_log_find(const struct watch_log *log, uint64_t revision, uint64_t *sequence)
{
	uint64_t low = log->first, high = log->next;

	if (revision < log->oldest || revision > log->revision)
		return false;
	while (low < high) {
		uint64_t middle = low + (high - low) / 2;

		if (entry_at(log, middle)->revision > revision)
			high = middle;
		else
			low = middle + 1;
	}
	*sequence = low;
	return true;
}
