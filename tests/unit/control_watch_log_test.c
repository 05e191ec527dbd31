// The log of changes that all who watch read.

#include "test.h"

#include <stdio.h>
#include <stdlib.h>

#include "control/watch_log.h"
#include "model/object.h"

#define EVENT(name) SLUICE__V1__WATCH_EVENT_TYPE__WATCH_EVENT_TYPE_##name

// A Vrf, or a Network of that name with so many bytes of text in it.
static void put(struct object_set *set, const char *name, size_t size)
{
	Sluice__V1__Object *object = object_named(
		size ? SLUICE__V1__OBJECT__KIND_NETWORK : SLUICE__V1__OBJECT__KIND_VRF, name);

	if (size) {
		object->network->vrf = calloc(1, size + 1);
		memset(object->network->vrf, 'x', size);
	}
	object_set_put(set, object);
}

static struct object_set *next_set(struct watch_log *log, struct object_set *set,
				   struct object_set *next)
{
	watch_log_add_changes(log, set, next, log->revision + 1);
	object_set_free(set);
	return next;
}

static void expect(const struct watch_log *log, uint64_t sequence, Sluice__V1__WatchEventType type,
		   const char *name, uint64_t revision)
{
	const struct watch_entry *entry = watch_log_at(log, sequence);

	assert_non_null(entry);
	assert_int_equal(entry->type, type);
	assert_string_equal(object_name(member_object(entry->member)), name);
	assert_int_equal(entry->revision, revision);
}

static void test_order(void **state)
{
	struct object_set *set = object_set_new(), *next;
	struct watch_log log;
	uint64_t sequence;

	put(set, "old", 0);
	put(set, "stays", 3);
	watch_log_open(&log, 7);
	next = object_set_copy(set);
	put(next, "stays", 4);
	put(next, "new", 0);
	object_set_remove(next, SLUICE__V1__OBJECT__KIND_VRF, "old");
	set = next_set(&log, set, next);
	expect(&log, 1, EVENT(CREATED), "new", 8);
	expect(&log, 2, EVENT(CHANGED), "stays", 8);
	expect(&log, 3, EVENT(DELETED), "old", 8);
	assert_null(watch_log_at(&log, 4));
	// Another copy of the same is no change.
	next = object_set_copy(set);
	put(next, "new", 0);
	put(next, "third", 0);
	set = next_set(&log, set, next);
	expect(&log, 4, EVENT(CREATED), "third", 9);
	assert_int_equal(log.next, 5);

	assert_false(watch_log_find(&log, 6, &sequence));
	assert_true(watch_log_find(&log, 7, &sequence));
	assert_int_equal(sequence, 1);
	assert_true(watch_log_find(&log, 8, &sequence));
	assert_int_equal(sequence, 4);
	assert_true(watch_log_find(&log, 9, &sequence));
	assert_int_equal(sequence, 5);
	assert_false(watch_log_find(&log, 10, &sequence));
	watch_log_close(&log);
	object_set_free(set);
}

// Entries end with their number; who has not read the oldest can't go on from before them.
static void test_entries_are_bounded(void **state)
{
	struct object_set *set = object_set_new();
	struct watch_log log;
	uint64_t sequence;

	put(set, "v", 0);
	watch_log_open(&log, 0);
	set = next_set(&log, object_set_new(), set);
	for (unsigned int i = 0; i < WATCH_LOG_ENTRIES - 1; i++)
		watch_log_add(&log, EVENT(STATUS),
			      object_set_hold(set, SLUICE__V1__OBJECT__KIND_VRF, "v"));
	assert_non_null(watch_log_at(&log, 1));
	assert_true(watch_log_find(&log, 0, &sequence));
	watch_log_add(&log, EVENT(STATUS), object_set_hold(set, SLUICE__V1__OBJECT__KIND_VRF, "v"));
	assert_null(watch_log_at(&log, 1));
	assert_int_equal(log.next - log.first, WATCH_LOG_ENTRIES);
	assert_false(watch_log_find(&log, 0, &sequence));
	assert_true(watch_log_find(&log, 1, &sequence));
	watch_log_close(&log);
	object_set_free(set);
}

// Former versions end with their size; the present ones cost nothing, for the set has them.
static void test_former_versions_are_bounded(void **state)
{
	struct object_set *set = object_set_new(), *next;
	const size_t size = WATCH_LOG_RETIRED / 4;
	struct watch_log log;
	uint64_t sequence;
	char name[16];

	watch_log_open(&log, 0);
	next = object_set_copy(set);
	for (unsigned int i = 0; i < 16; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		put(next, name, size);
	}
	set = next_set(&log, set, next);
	assert_int_equal(log.retired, 0);
	assert_int_equal(log.first, 1);
	for (unsigned int i = 0; i < 40; i++) {
		next = object_set_copy(set);
		put(next, "n15", size + i + 1);
		set = next_set(&log, set, next);
		assert_in_range(log.retired, 0, WATCH_LOG_RETIRED);
		// What was there is still told in full, unless it is too far back.
		assert_true(watch_log_find(&log, log.revision - 1, &sequence));
		expect(&log, sequence, EVENT(CHANGED), "n15", log.revision);
	}
	assert_false(watch_log_find(&log, 0, &sequence));
	assert_false(watch_log_find(&log, 1, &sequence));
	// One that alone is too large is still told.
	next = object_set_copy(set);
	put(next, "n15", 2 * WATCH_LOG_RETIRED);
	set = next_set(&log, set, next);
	next = object_set_copy(set);
	put(next, "n15", 1);
	set = next_set(&log, set, next);
	expect(&log, log.next - 1, EVENT(CHANGED), "n15", log.revision);
	assert_in_range(log.retired, 0, WATCH_LOG_RETIRED);
	next = object_set_copy(set);
	object_set_remove(next, SLUICE__V1__OBJECT__KIND_NETWORK, "n15");
	set = next_set(&log, set, next);
	expect(&log, log.next - 1, EVENT(DELETED), "n15", log.revision);
	watch_log_close(&log);
	assert_int_equal(log.retired, 0);
	object_set_free(set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_entries_are_bounded),
		cmocka_unit_test(test_former_versions_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
