// One worker opens, removes and ages connections, so that groups are split and merged all the time,
// while others look up connections that live: each must be found each time, by both of its keys.

#include "test.h"

#include <pthread.h>
#include <sched.h>

#include "flow_fixture.h"

enum {
	MAX = 40000,
	STEADY = 2000, // that readers look up; each comes with so many others:
	OTHERS = 15,
	READERS = 2,
	LOOKUPS = 1000, // of each reader at least, in each phase
	ROUNDS = 2,
	TURNS = 100, // a second
};

#define CYCLES_PER_SECOND UINT64_C(2000000000)

#ifdef __SANITIZE_THREAD__
// Several threads may note there which token all readers have passed, in no order: DPDK says so.
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
	return "race:rte_rcu_qsbr_check\n";
}
#endif

struct shared {
	struct flow_fixture fixture;
	_Atomic flow_reference steady[STEADY]; // 0: must not be relied on
	_Atomic uint32_t known;		       // those from here on are 0
	_Atomic uint64_t lookups[READERS];
	_Atomic uint32_t lost;
	_Atomic bool stop;
};

struct reader {
	struct shared *shared;
	uint32_t index;
	struct random random;
	pthread_t thread;
};

// Of the numbers of connections the steady ones are the first.
static struct flow flow_of(uint32_t i)
{
	struct flow flow = fixture_flow(i, i % 5 == 0);

	if (i < STEADY)
		flow.account.state = FLOW_STATE_ESTABLISHED;
	return flow;
}

static void look_up(struct reader *reader)
{
	struct shared *shared = reader->shared;
	uint32_t known = atomic_load(&shared->known), i;
	flow_reference reference;
	struct flow flow;

	if (!known)
		return;
	i = random_below(&reader->random, known);
	reference = atomic_load(&shared->steady[i]);
	if (!reference)
		return;
	flow = flow_of(i);
	for (unsigned int d = 0; d < 2 && (d == 0 || !flow_has(&flow.account, FLOW_ONE_WAY)); d++)
		if (fixture_find(&shared->fixture, &flow.direction[d].key) != (reference | d))
			atomic_fetch_add(&shared->lost, 1);
	atomic_fetch_add(&shared->lookups[reader->index], 1);
}

static void *run_reader(void *argument)
{
	struct reader *reader = argument;
	struct shared *shared = reader->shared;

	while (!atomic_load(&shared->stop)) {
		rte_rcu_qsbr_quiescent(shared->fixture.readers, 1 + reader->index);
		for (uint32_t i = random_below(&reader->random, 64); i > 0; i--)
			look_up(reader);
	}
	rte_rcu_qsbr_thread_offline(shared->fixture.readers, 1 + reader->index);
	return NULL;
}

static void turn(struct shared *shared)
{
	rte_rcu_qsbr_quiescent(shared->fixture.readers, 0);
}

static flow_reference insert(struct shared *shared, uint32_t i, uint32_t now)
{
	struct flow flow = flow_of(i);
	flow_reference reference = flow_table_insert(shared->fixture.table, 0, &flow, now);

	check_case(reference, "refused: %u\n", i);
	return reference;
}

// Until no reader is where it was before.
static void pass(struct shared *shared)
{
	uint64_t token = rte_rcu_qsbr_start(shared->fixture.readers);

	turn(shared);
	while (rte_rcu_qsbr_check(shared->fixture.readers, token, false) != 1)
		sched_yield();
}

// Steady ones among many others, of which some go at once.
static void fill(struct shared *shared, uint32_t now)
{
	uint32_t next = STEADY;

	for (uint32_t i = 0; i < STEADY; i++) {
		if (!atomic_load(&shared->steady[i]))
			atomic_store(&shared->steady[i], insert(shared, i, now));
		if (i >= atomic_load(&shared->known))
			atomic_store(&shared->known, i + 1);
		for (uint32_t j = 0; j < OTHERS; j++) {
			flow_reference reference = insert(shared, next++, now);

			if (j % 4 == 0)
				flow_table_remove(shared->fixture.table, 0, reference);
		}
		turn(shared);
	}
}

// Seconds in which nobody comes. The steady ones stay.
static void age(struct shared *shared, uint32_t from, uint32_t to)
{
	for (uint32_t now = from; now < to; now++) {
		pass(shared);
		for (uint32_t i = 0; i < TURNS; i++) {
			turn(shared);
			flow_table_age(shared->fixture.table, 0, now, CYCLES_PER_SECOND / TURNS,
				       CYCLES_PER_SECOND, CYCLES_PER_SECOND);
			flow_table_shrink(shared->fixture.table, 0, now);
		}
	}
}

// Some of the steady ones go when nobody relies on them any more.
static void end_some(struct shared *shared)
{
	flow_reference ends[STEADY / 3 + 1];
	uint32_t count = 0;

	for (uint32_t i = 0; i < STEADY; i += 3)
		ends[count++] = atomic_exchange(&shared->steady[i], 0);
	pass(shared);
	for (uint32_t i = 0; i < count; i++)
		flow_table_remove(shared->fixture.table, 0, ends[i]);
}

// Whatever the scheduler does, readers have seen each phase.
static void wait_for_lookups(struct shared *shared)
{
	uint64_t before[READERS];

	for (uint32_t r = 0; r < READERS; r++)
		before[r] = atomic_load(&shared->lookups[r]);
	for (uint32_t r = 0; r < READERS; r++)
		while (atomic_load(&shared->lookups[r]) < before[r] + LOOKUPS) {
			turn(shared);
			sched_yield();
		}
}

static void test_readers(void **state)
{
	struct shared *shared = calloc(1, sizeof(*shared));
	static struct reader readers[READERS];
	uint64_t seed = random_seed();
	uint32_t now = 1000, grown;

	fixture_open_others(&shared->fixture, MAX, 1, READERS);
	for (uint32_t r = 0; r < READERS; r++) {
		readers[r] = (struct reader){shared, r, {seed + r}, 0};
		assert_int_equal(pthread_create(&readers[r].thread, NULL, run_reader, &readers[r]),
				 0);
	}
	for (uint32_t round = 0; round < ROUNDS; round++) {
		fill(shared, now);
		grown = shared->fixture.table->worker[0].groups;
		wait_for_lookups(shared);
		age(shared, now + 1, now + 60);
		now += 60;
		assert_int_equal(flow_table_count(shared->fixture.table), STEADY);
		assert_true(shared->fixture.table->worker[0].groups < grown / 2);
		wait_for_lookups(shared);
		end_some(shared);
		assert_int_equal(flow_table_count(shared->fixture.table), STEADY - STEADY / 3 - 1);
	}
	atomic_store(&shared->stop, true);
	for (uint32_t r = 0; r < READERS; r++)
		pthread_join(readers[r].thread, NULL);
	check_case(shared->lost == 0, "seed %#lx: not found %u times\n", seed, shared->lost);
	fixture_close(&shared->fixture);
	free(shared);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_readers)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
