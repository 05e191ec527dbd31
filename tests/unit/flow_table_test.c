// The connection table: filling, finding, removing, and when a place is used again.

#include "test.h"

#include "flow_fixture.h"

// Both keys lead to the connection, by the exact lookup and (unless something has the same
// signature) by the quick one.
static void check_found(const struct flow_fixture *fixture, const struct flow *flow,
			flow_reference reference)
{
	const struct flow_key *key = &flow->direction[FLOW_ORIGINAL].key;

	assert_int_equal(fixture_find(fixture, key), reference);
	if (!flow_has(&flow->account, FLOW_ONE_WAY))
		assert_int_equal(fixture_find(fixture, &flow->direction[FLOW_REPLY].key),
				 reference | FLOW_REPLY);
	assert_int_equal(flow_table_get(fixture->table, reference)->account.packets[0],
			 flow->account.packets[0]);
}

static void fill(uint32_t max, uint32_t workers, bool one_way)
{
	flow_reference *references = calloc(max, sizeof(*references));
	struct flow_fixture fixture;
	struct flow flow;

	fixture_open(&fixture, max, workers);
	for (uint32_t i = 0; i < max; i++) {
		flow = fixture_flow(i, one_way);
		references[i] = fixture_insert(&fixture, &flow, 1000);
		check_case(references[i], "refused at %u of %u\n", i, max);
		assert_int_equal(references[i] & 1, FLOW_ORIGINAL);
	}
	assert_int_equal(flow_table_count(fixture.table), max);
	// One more is refused, and leaves nothing behind.
	flow = fixture_flow(max, one_way);
	assert_int_equal(fixture_insert(&fixture, &flow, 1000), 0);
	assert_int_equal(fixture_find(&fixture, &flow.direction[FLOW_ORIGINAL].key), 0);
	assert_int_equal(flow_table_count(fixture.table), max);
	for (uint32_t i = 0; i < max; i++) {
		flow = fixture_flow(i, one_way);
		check_found(&fixture, &flow, references[i]);
	}
	// Half of them go. Their places are free when nobody can be reading them, not before.
	for (uint32_t i = 0; i < max; i += 2)
		fixture_remove(&fixture, references[i]);
	assert_int_equal(flow_table_count(fixture.table), max / 2);
	for (uint32_t i = 0; i < max; i++) {
		flow = fixture_flow(i, one_way);
		if (i % 2)
			check_found(&fixture, &flow, references[i]);
		else
			assert_int_equal(fixture_find(&fixture, &flow.direction[0].key), 0);
	}
	flow = fixture_flow(max, one_way);
	assert_int_equal(fixture_insert(&fixture, &flow, 1000), 0);
	fixture_quiescent(&fixture);
	for (uint32_t i = 0; i < max; i += 2) {
		flow = fixture_flow(i, one_way);
		references[i] = fixture_insert(&fixture, &flow, 1000);
		check_case(references[i], "not taken again: %u of %u\n", i, max);
	}
	for (uint32_t i = 0; i < max; i++) {
		flow = fixture_flow(i, one_way);
		check_found(&fixture, &flow, references[i]);
	}
	fixture_close(&fixture);
	free(references);
}

static void test_fill(void **state)
{
	static const uint32_t sizes[] = {2, 64, 1000, 65536, 200000};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		fill(sizes[i], 1, false);
		fill(sizes[i], 1, true);
	}
}

static void test_limits(void **state)
{
	struct flow_fixture fixture;
	struct flow flow = fixture_flow(0, false);
	struct flow_table *table;
	struct error err;

	fixture_open(&fixture, 1, 1);
	assert_int_not_equal(fixture_insert(&fixture, &flow, 1), 0);
	flow = fixture_flow(1, false);
	assert_int_equal(fixture_insert(&fixture, &flow, 1), 0);
	assert_int_equal(flow_table_open(0, 1, fixture.readers, NULL, &table, &err), -1);
	assert_int_equal(flow_table_open((1u << 30) + 1, 1, fixture.readers, NULL, &table, &err),
			 -1);
	fixture_close(&fixture);
}

// Several workers have nearly all places between them: each keeps those that it gave back.
static void test_workers(void **state)
{
	enum {
		MAX = 20000,
		WORKERS = 3
	};
	struct flow_fixture fixture;
	uint32_t taken = 0;

	fixture_open(&fixture, MAX, WORKERS);
	for (uint32_t i = 0; i < MAX; i++) {
		struct flow flow = fixture_flow(i, false);

		taken += fixture_insert(&fixture, &flow, 1) != 0;
	}
	assert_true(taken >= MAX - WORKERS * 64);
	assert_int_equal(flow_table_count(fixture.table), taken);
	fixture_close(&fixture);
}

// The quick lookup finds the connection, or another one in the group with the same signature.
static void check_candidate(const struct flow_fixture *fixture, const struct flow_key *key,
			    flow_reference reference)
{
	const struct flow_table *table = fixture->table;
	struct flow_hash hash = flow_hash(&table->secret, key);
	flow_reference candidate =
		flow_table_candidate(table, flow_table_bucket(table, hash), hash.signature);
	const struct flow *flow = flow_table_get(table, candidate);

	assert_int_not_equal(candidate, 0);
	if (candidate != reference)
		assert_int_equal(
			flow_hash(&table->secret, &flow->direction[candidate & 1].key).signature,
			hash.signature);
}

// More keys in one bucket than it has places: those behind hold the rest, up to a point; then the
// connection is refused although the table isn't full.
static void test_overflow(void **state)
{
	enum {
		MAX = 100000,
		TRIES = 20000000
	};
	struct flow_fixture fixture;
	flow_reference references[192];
	uint32_t numbers[192], count = 0;
	struct flow_bucket *bucket = NULL;

	fixture_open(&fixture, MAX, 1);
	for (uint32_t i = 0; i < TRIES && count < 192; i++) {
		struct flow flow = fixture_flow(i, true);
		struct flow_hash hash = flow_hash(&fixture.table->secret, &flow.direction[0].key);

		if (!bucket)
			bucket = flow_table_bucket(fixture.table, hash);
		if (flow_table_bucket(fixture.table, hash) != bucket)
			continue;
		references[count] = fixture_insert(&fixture, &flow, 1000);
		if (!references[count])
			break;
		numbers[count++] = i;
	}
	assert_int_equal(count, FLOW_GROUP_SLOTS);
	assert_int_equal(bucket->overflow, count - FLOW_BUCKET_SLOTS);
	for (uint32_t i = 0; i < count; i++) {
		struct flow flow = fixture_flow(numbers[i], true);

		check_found(&fixture, &flow, references[i]);
		check_candidate(&fixture, &flow.direction[FLOW_ORIGINAL].key, references[i]);
	}
	// They go in another order than they came; nobody else gets lost on the way.
	for (uint32_t i = 0; i < count; i++) {
		uint32_t gone = i * 37 % count;

		fixture_remove(&fixture, references[gone]);
		references[gone] = 0;
		for (uint32_t j = 0; j < count; j++) {
			struct flow flow = fixture_flow(numbers[j], true);

			assert_int_equal(fixture_find(&fixture, &flow.direction[0].key),
					 references[j]);
		}
	}
	assert_int_equal(bucket->overflow, 0);
	fixture_close(&fixture);
}

// Removed, but still readable by whoever found it before.
static void test_grace_period(void **state)
{
	struct flow_fixture fixture;
	flow_reference first, second;
	struct flow flow = fixture_flow(1, false);

	fixture_open(&fixture, 1, 1);
	first = fixture_insert(&fixture, &flow, 1000);
	fixture_remove(&fixture, first);
	assert_true(flow_key_equal(&flow_table_get(fixture.table, first)->direction[0].key,
				   &flow.direction[0].key));
	flow = fixture_flow(2, false);
	assert_int_equal(fixture_insert(&fixture, &flow, 1000), 0);
	fixture_quiescent(&fixture);
	second = fixture_insert(&fixture, &flow, 1000);
	assert_int_equal(second, first);
	check_found(&fixture, &flow, second);
	// A reader that is offline is not waited for.
	fixture_remove(&fixture, second);
	rte_rcu_qsbr_thread_offline(fixture.readers, 0);
	flow = fixture_flow(3, false);
	assert_int_not_equal(fixture_insert(&fixture, &flow, 1000), 0);
	fixture_close(&fixture);
}

struct visits {
	uint32_t *seen;
	uint32_t count;
	uint32_t stop_after;
};

static bool visit(const struct flow *flow, void *context)
{
	struct visits *visits = context;

	visits->seen[flow->account.packets[0]]++;
	return ++visits->count != visits->stop_after;
}

static void test_visit(void **state)
{
	enum {
		MAX = 1000
	};
	static const uint32_t limits[] = {1, 7, MAX, 5 * MAX};
	flow_reference references[MAX];
	struct flow_fixture fixture;
	uint32_t position = 0;
	uint32_t seen[MAX];
	struct visits visits = {.seen = seen};

	fixture_open(&fixture, MAX, 1);
	flow_table_visit(fixture.table, &position, 10, visit, &visits);
	assert_int_equal(position, 0);
	for (uint32_t i = 0; i < MAX; i++) {
		struct flow flow = fixture_flow(i, false);

		references[i] = fixture_insert(&fixture, &flow, 1000);
	}
	for (uint32_t i = 0; i < MAX; i += 3)
		fixture_remove(&fixture, references[i]);
	for (size_t l = 0; l < sizeof(limits) / sizeof(limits[0]); l++)
		for (uint32_t stop = 0; stop < 3; stop++) {
			memset(seen, 0, sizeof(seen));
			do {
				visits.count = 0;
				visits.stop_after = stop;
				flow_table_visit(fixture.table, &position, limits[l], visit,
						 &visits);
				assert_true(visits.count <= limits[l]);
			} while (position);
			for (uint32_t i = 0; i < MAX; i++)
				assert_int_equal(seen[i], i % 3 != 0);
		}
	// No call passes over many free places.
	for (uint32_t i = 0; i < MAX - 2; i++)
		if (i % 3)
			fixture_remove(&fixture, references[i]);
	memset(seen, 0, sizeof(seen));
	do {
		uint32_t before = position ? position : 1;

		visits.stop_after = 0;
		flow_table_visit(fixture.table, &position, 1, visit, &visits);
		if (position)
			assert_in_range(position - before, 1, 64);
	} while (position);
	for (uint32_t i = 0; i < MAX; i++)
		assert_int_equal(seen[i], i == MAX - 2);
	fixture_close(&fixture);
}

// Connections come and go while the groups are split: all that live are found by the quick lookup
// or the exact one after each split, nothing else is, and what is counted as overflow is there.
static void grow(uint32_t max, uint32_t workers)
{
	struct flow_fixture fixture;
	uint32_t gone = 0, check = 1000;

	fixture_open(&fixture, max, workers);
	for (uint32_t i = 0; i < max; i++) {
		struct flow flow = fixture_flow(i, i % 7 == 0);

		check_case(fixture_insert(&fixture, &flow, 1000), "refused: %u of %u\n", i, max);
		// One in four goes again.
		if (i % 4 == 3) {
			flow = fixture_flow(gone, gone % 7 == 0);
			fixture_remove(&fixture,
				       fixture_find(&fixture, &flow.direction[FLOW_ORIGINAL].key));
			gone++;
		}
		if (i % 512 == 0)
			fixture_quiescent(&fixture);
		if (i != check && i != max - 1)
			continue;
		// Also in the middle of rounds.
		check += check / 3;
		fixture_check(&fixture);
		for (uint32_t j = 0; j <= i; j++) {
			flow_reference found;

			flow = fixture_flow(j, j % 7 == 0);
			found = fixture_find(&fixture, &flow.direction[FLOW_ORIGINAL].key);
			check_case((found != 0) == (j >= gone), "%u of %u\n", j, i);
			if (found)
				check_found(&fixture, &flow, found);
		}
	}
	for (uint32_t worker = 0; worker < workers; worker++)
		assert_true(fixture.table->worker[worker].rows > 4);
	fixture_close(&fixture);
}

static void test_grow(void **state)
{
	grow(30000, 1);
	grow(150000, 1);
	grow(150000, 2);
	grow(60000, 7);
}

// Random operations beside an array that knows the truth.
static void test_model(void **state)
{
	enum {
		MAX = 3000,
		KEYS = 4000,
		STEPS = 100000
	};
	uint64_t seed = random_seed();
	struct random random = {seed};
	flow_reference *model = calloc(KEYS, sizeof(*model));
	struct flow_fixture fixture;
	uint32_t live = 0, waiting = 0;

	fixture_open(&fixture, MAX, 1);
	for (unsigned int step = 0; step < STEPS; step++) {
		uint32_t i = random_below(&random, KEYS), what = random_below(&random, 100);
		struct flow flow = fixture_flow(i, i % 5 == 0);

		if (what == 0) {
			fixture_quiescent(&fixture);
			waiting = 0;
		} else if (what < 55 && !model[i]) {
			model[i] = fixture_insert(&fixture, &flow, 1000);
			// Places that wait for the end of their grace period may be used later.
			check_case(model[i] || live + waiting == MAX,
				   "seed %#lx, step %u: refused with %u of %u\n", seed, step, live,
				   MAX);
			live += model[i] != 0;
		} else if (what < 80 && model[i]) {
			fixture_remove(&fixture, model[i]);
			model[i] = 0;
			live--;
			waiting++;
		}
		i = random_below(&random, KEYS);
		flow = fixture_flow(i, i % 5 == 0);
		check_case(fixture_find(&fixture, &flow.direction[FLOW_ORIGINAL].key) == model[i],
			   "seed %#lx, step %u, key %u\n", seed, step, i);
		if (i % 5)
			check_case(fixture_find(&fixture, &flow.direction[FLOW_REPLY].key) ==
					   (model[i] ? (model[i] | FLOW_REPLY) : 0),
				   "seed %#lx, step %u, reply key %u\n", seed, step, i);
		check_case(flow_table_count(fixture.table) == live, "seed %#lx, step %u\n", seed,
			   step);
	}
	fixture_close(&fixture);
	free(model);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fill),	     cmocka_unit_test(test_limits),
		cmocka_unit_test(test_workers),	     cmocka_unit_test(test_overflow),
		cmocka_unit_test(test_grace_period), cmocka_unit_test(test_visit),
		cmocka_unit_test(test_grow),	     cmocka_unit_test(test_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
