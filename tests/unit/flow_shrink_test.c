// When few of many connections are left, groups are merged, numbers are sorted, and memory goes
// back to the kernel; and all of it can be filled again.

#include "test.h"

#include <sys/mman.h>
#include <unistd.h>

#include "flow_fixture.h"

#define CYCLES_PER_SECOND UINT64_C(2000000000)
#define PATIENCE	  10

static void shrink(struct flow_fixture *fixture, uint32_t now, uint32_t limit)
{
	for (uint32_t idle = 0, i = 0; idle < 4 && i < limit; i++) {
		bool done = false;

		fixture_quiescent(fixture);
		for (uint32_t worker = 0; worker < fixture->table->workers; worker++)
			done |= flow_table_shrink(fixture->table, worker, now) != 0;
		idle = done ? 0 : idle + 1;
	}
}

static void remove_one(struct flow_fixture *fixture, uint32_t i)
{
	struct flow flow = fixture_flow(i, i % 7 == 0);

	fixture_remove(fixture, fixture_find(fixture, &flow.direction[FLOW_ORIGINAL].key));
}

// Those with i % every == 0 below max are there, and no others are.
static void check_all(const struct flow_fixture *fixture, uint32_t max, uint32_t every)
{
	fixture_check(fixture);
	for (uint32_t i = 0; i < max; i++) {
		struct flow flow = fixture_flow(i, i % 7 == 0);
		flow_reference found = fixture_find(fixture, &flow.direction[FLOW_ORIGINAL].key);

		check_case((found != 0) == (i % every == 0), "%u\n", i);
		if (found && i % 7)
			assert_int_equal(fixture_find(fixture, &flow.direction[FLOW_REPLY].key),
					 found | FLOW_REPLY);
	}
}

static uint32_t groups_of(const struct flow_fixture *fixture)
{
	uint32_t groups = 0;

	for (uint32_t worker = 0; worker < fixture->table->workers; worker++)
		groups += fixture->table->worker[worker].groups;
	return groups;
}

// Filled, emptied but for one in `every`, merged step by step, filled again in the middle of it.
static void fill_and_empty(uint32_t max, uint32_t workers, uint32_t every)
{
	struct flow_fixture fixture;
	uint32_t now = 1000, grown, middle;

	fixture_open(&fixture, max + max / 4, workers);
	middle = max / 100;
	for (uint32_t round = 0; round < 3; round++) {
		for (uint32_t i = 0; i < max; i++) {
			struct flow flow = fixture_flow(i, i % 7 == 0);

			if (round > 0 && i % every == 0)
				continue;
			if (i % 64 == 0)
				fixture_quiescent(&fixture);
			check_case(fixture_insert(&fixture, &flow, now), "refused: %u\n", i);
		}
		check_all(&fixture, max, 1);
		grown = groups_of(&fixture);
		shrink(&fixture, now, 1);
		for (uint32_t i = 0; i < max; i++)
			if (i % every)
				remove_one(&fixture, i);
		// Not at once.
		shrink(&fixture, now, UINT32_MAX);
		shrink(&fixture, now + PATIENCE - 1, UINT32_MAX);
		assert_int_equal(groups_of(&fixture), grown);
		now += PATIENCE + 1;
		shrink(&fixture, now, middle * (round + 1));
		assert_true(groups_of(&fixture) < grown);
		check_all(&fixture, max, every);
		if (round < 2)
			continue;
		shrink(&fixture, now, UINT32_MAX);
		check_all(&fixture, max, every);
		assert_true(groups_of(&fixture) < grown / 2);
	}
	fixture_close(&fixture);
}

static void fill(struct flow_fixture *fixture, uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i < to; i++) {
		struct flow flow = fixture_flow(i, i % 7 == 0);

		if (i % 64 == 0)
			fixture_quiescent(fixture);
		check_case(fixture_insert(fixture, &flow, 1000), "refused: %u\n", i);
	}
}

// The first steps of merging, each followed by growing again: what a step leaves is whole, wherever
// many connections interrupt it.
static void test_interrupted(void **state)
{
	enum {
		FULL = 19000, // a round of splits has ended
		FEW = 500,
	};

	for (uint32_t steps = 1; steps < 12; steps++) {
		const struct flow_table_worker *own;
		struct flow_fixture fixture;

		fixture_open(&fixture, 4 * FULL, 1);
		own = &fixture.table->worker[0];
		fill(&fixture, 0, FULL);
		assert_true(own->grow_row == own->rows && own->grow_shard == 0);
		for (uint32_t i = FEW; i < FULL; i++)
			remove_one(&fixture, i);
		shrink(&fixture, 1000, 1);
		shrink(&fixture, 1000 + PATIENCE, steps);
		fill(&fixture, FEW, 3 * FULL);
		check_all(&fixture, 3 * FULL, 1);
		fixture_close(&fixture);
	}
}

static void test_groups(void **state)
{
	fill_and_empty(40000, 1, 50);
	fill_and_empty(150000, 1, 1000);
	fill_and_empty(60000, 3, 20);
}

// Pages of the table's file.
static size_t resident(const struct flow_fixture *fixture)
{
	const struct flow_memory *memory = &fixture->table->memory;
	size_t pages = memory->size / 4096, count = 0;
	unsigned char *there = calloc(pages, 1);

	assert_int_equal(mincore(memory->start, memory->size, there), 0);
	for (size_t i = 0; i < pages; i++)
		count += there[i] & 1;
	free(there);
	return count * 4096;
}

// Of these, in steps of which the memory knows nothing: somebody has looked there. The thread says
// what it has brought in a moment late.
static bool untold(const struct flow_fixture *fixture)
{
	const struct flow_memory *memory = &fixture->table->memory;
	const struct flow_memory_part *part = &memory->parts[FLOW_MEMORY_FLOWS];
	unsigned char there[FLOW_MEMORY_STEP / 4096];

	for (uint32_t i = 0; i < part->step_count; i++) {
		char *at = part->start + i * FLOW_MEMORY_STEP;

		if (atomic_load(&part->steps[i].state) ||
		    at + FLOW_MEMORY_STEP > part->start + part->size)
			continue;
		assert_int_equal(mincore(at, FLOW_MEMORY_STEP, there), 0);
		for (size_t j = 0; j < sizeof(there); j++)
			if (there[j] & 1)
				return true;
	}
	return false;
}

static bool ignore(const struct flow *flow, void *context)
{
	return true;
}

static void list(const struct flow_fixture *fixture)
{
	uint32_t position = 0;

	do
		flow_table_visit(fixture->table, &position, UINT32_MAX, ignore, NULL);
	while (position);
}

// Where a program of another CPU is emulated, memory is not given back.
static bool goes_back(void)
{
	int fd = memfd_create("probe", MFD_CLOEXEC);
	char *page;
	bool gone;

	assert_int_equal(ftruncate(fd, 4096), 0);
	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(page, MAP_FAILED);
	*page = 1;
	gone = madvise(page, 4096, MADV_REMOVE) == 0 && *page == 0;
	munmap(page, 4096);
	close(fd);
	return gone;
}

// Those that live on are the last ones; their memory stays, that of others goes.
static void test_memory(void **state)
{
	enum {
		MAX = 1 << 19,
		LAST = 1000,
	};
	struct flow_fixture fixture;
	uint32_t now = 1000;

	if (!goes_back())
		skip();
	// What was set aside stays so.
	flow_memory_none_reserved = true;
	fixture_open(&fixture, MAX, 1);
	for (unsigned int round = 0; round < 2; round++) {
		size_t few = resident(&fixture), peak;

		for (uint32_t i = round * LAST; i < MAX; i++) {
			struct flow flow = fixture_flow(i, i % 7 == 0);

			fixture_quiescent(&fixture);
			assert_int_not_equal(fixture_insert(&fixture, &flow, now), 0);
		}
		// While the thread makes a huge page of small ones, they are not told.
		for (uint32_t i = 0;
		     (peak = resident(&fixture)) <= (size_t)MAX * sizeof(struct flow); i++) {
			check_case(i < 5000, "%zu of %zu\n", peak, MAX * sizeof(struct flow));
			usleep(1000);
		}
		assert_true(round || few < peak / 3);
		for (uint32_t i = 0; i < MAX - LAST; i++)
			remove_one(&fixture, i);
		now += 100;
		shrink(&fixture, now, UINT32_MAX);
		now += 100;
		// The thread waits until nobody can be reading.
		for (uint32_t i = 0; resident(&fixture) > peak / 4; i++) {
			check_case(i < 5000, "%zu of %zu\n", resident(&fixture), peak);
			shrink(&fixture, now, UINT32_MAX);
			usleep(1000);
		}
		// Looking at what is there brings nothing back.
		list(&fixture);
		for (uint32_t i = 0; untold(&fixture); i++) {
			check_case(i < 5000, "round %u\n", round);
			usleep(1000);
		}
		assert_int_equal(flow_table_count(fixture.table), LAST);
		for (uint32_t i = MAX - LAST; i < MAX; i++) {
			struct flow flow = fixture_flow(i, i % 7 == 0);

			assert_int_not_equal(
				fixture_find(&fixture, &flow.direction[FLOW_ORIGINAL].key), 0);
		}
		// All but those with low numbers come again.
		for (uint32_t i = MAX - LAST; i < MAX; i++)
			remove_one(&fixture, i);
		for (uint32_t i = 0; i < LAST; i++) {
			struct flow flow = fixture_flow(i, i % 7 == 0);

			fixture_quiescent(&fixture);
			assert_int_not_equal(fixture_insert(&fixture, &flow, now), 0);
		}
	}
	fixture_close(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_interrupted),
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
