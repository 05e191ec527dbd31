// Ageing, with a clock of its own: each state's timeout, bounded steps, and that every connection
// is looked at in time.

#include "test.h"

#include "flow_fixture.h"

#define CYCLES_PER_SECOND UINT64_C(2000000000)

// Lets a second pass in `turns` turns of a worker's loop.
static uint32_t pass_second(struct flow_fixture *fixture, uint32_t worker, uint32_t now,
			    uint32_t turns, uint32_t limit)
{
	uint32_t ended = 0;

	for (uint32_t i = 0; i < turns; i++)
		ended += flow_table_age(fixture->table, worker, now, CYCLES_PER_SECOND / turns,
					CYCLES_PER_SECOND, limit);
	return ended;
}

// It lives at least as long as its state says, and little longer. The clock also passes its end.
static void test_timeouts(void **state)
{
	static const uint32_t starts[] = {1000, UINT32_MAX - 20};

	for (unsigned int s = 0; s < 2 * FLOW_STATE_COUNT; s++) {
		uint32_t start = starts[s % 2], timeout = flow_state_timeout(s / 2), age = 0;
		struct flow_fixture fixture;
		struct flow flow = fixture_flow(1, false);

		fixture_open(&fixture, 1000, 1);
		flow.account.state = (uint16_t)(s / 2);
		assert_int_not_equal(fixture_insert(&fixture, &flow, start), 0);
		while (flow_table_count(fixture.table)) {
			age++;
			pass_second(&fixture, 0, start + age, 100, UINT32_MAX);
			check_case(age <= timeout + 2, "%s lives on\n", flow_state_name(s / 2));
		}
		check_case(age >= timeout, "%s ended after %u s\n", flow_state_name(s / 2), age);
		assert_int_equal(fixture_find(&fixture, &flow.direction[FLOW_ORIGINAL].key), 0);
		assert_int_equal(fixture_find(&fixture, &flow.direction[FLOW_REPLY].key), 0);
		fixture_close(&fixture);
	}
}

// A network may have idle times of its own; those of others are as usual.
static void test_network_times(void **state)
{
	uint32_t times[FLOW_STATE_COUNT];
	const uint32_t *by_network[] = {NULL, NULL, times};

	for (unsigned int i = 0; i < FLOW_STATE_COUNT; i++)
		times[i] = i == FLOW_STATE_UNREPLIED ? 3 : 1;
	for (uint16_t network = 1; network < 5; network++) {
		uint32_t wanted = network == 2 ? 3 : 30, age = 0;
		struct flow_fixture fixture;
		struct flow flow = fixture_flow(1, true);

		fixture_open(&fixture, 1000, 1);
		fixture.table->worker[0].times = (struct flow_times){by_network, 3};
		flow.direction[FLOW_ORIGINAL].key.network = network;
		assert_int_not_equal(fixture_insert(&fixture, &flow, 1000), 0);
		while (flow_table_count(fixture.table)) {
			age++;
			pass_second(&fixture, 0, 1000 + age, 100, UINT32_MAX);
		}
		check_case(age >= wanted && age <= wanted + 2, "network %u: %u s\n", network, age);
		// A change holds for live connections: it is noticed within 16 seconds.
		fixture.table->worker[0].times = (struct flow_times){NULL, 0};
		fixture_quiescent(&fixture);
		flow.direction[FLOW_ORIGINAL].key.network = 2;
		assert_int_not_equal(fixture_insert(&fixture, &flow, 2000), 0);
		fixture.table->worker[0].times = (struct flow_times){by_network, 3};
		for (age = 0; flow_table_count(fixture.table); age++)
			pass_second(&fixture, 0, 2000 + age, 100, UINT32_MAX);
		check_case(age <= 18, "live: %u s\n", age);
		fixture_close(&fixture);
	}
}

// Packets keep it; a change of state to a shorter timeout is noticed within 16 seconds.
static void test_activity(void **state)
{
	struct flow_fixture fixture;
	struct flow flow = fixture_flow(1, false);
	flow_reference reference;
	struct flow *live;
	uint32_t now = 1000, end;

	fixture_open(&fixture, 1000, 1);
	reference = fixture_insert(&fixture, &flow, now);
	live = flow_table_get(fixture.table, reference);
	for (; now < 1500; now++) {
		if (now % 29 == 0)
			live->account.last_seen = now;
		assert_int_equal(pass_second(&fixture, 0, now, 10, UINT32_MAX), 0);
	}
	live->account.state = FLOW_STATE_ESTABLISHED;
	live->account.last_seen = now;
	for (end = now + 5000; now < end; now++)
		assert_int_equal(pass_second(&fixture, 0, now, 10, UINT32_MAX), 0);
	live->account.state = FLOW_STATE_CLOSED;
	live->account.last_seen = now;
	for (end = now + 10 + 17; flow_table_count(fixture.table); now++) {
		pass_second(&fixture, 0, now, 10, UINT32_MAX);
		assert_true(now <= end);
	}
	fixture_close(&fixture);
}

// A step without time does as little as is possible, however much has passed.
static void test_bounded(void **state)
{
	enum {
		MAX = 50000
	};
	struct flow_fixture fixture;
	uint32_t turns = 0;

	fixture_open(&fixture, MAX, 1);
	for (uint32_t i = 0; i < MAX; i++) {
		struct flow flow = fixture_flow(i, true);

		assert_int_not_equal(fixture_insert(&fixture, &flow, 1000), 0);
	}
	while (flow_table_count(fixture.table)) {
		uint32_t ended = flow_table_age(fixture.table, 0, 1100, UINT64_MAX / 2,
						CYCLES_PER_SECOND, 0);

		assert_true(ended <= FLOW_AGE_STEP);
		assert_true(turns++ < fixture.table->worker[0].groups);
	}
	// Without connections there is nothing to do.
	assert_int_equal(flow_table_age(fixture.table, 0, 1200, 1, CYCLES_PER_SECOND, 0), 0);
	fixture_close(&fixture);
}

// A worker that was away for long, and whose seconds wrapped around in between, ends them late, but
// ends them, and none that has had a packet.
static void test_away(void **state)
{
	static const uint32_t pauses[] = {17, 100, 127, 128, 129, 200, 255, 256, 257, 511, 70000};

	for (size_t i = 0; i < sizeof(pauses) / sizeof(pauses[0]); i++) {
		struct flow_fixture fixture;
		struct flow idle = fixture_flow(1, false), busy = fixture_flow(2, false);
		uint32_t now = 1000;
		flow_reference live;

		fixture_open(&fixture, 1000, 1);
		assert_int_not_equal(fixture_insert(&fixture, &idle, now), 0);
		live = fixture_insert(&fixture, &busy, now);
		now += pauses[i];
		for (uint32_t end = now + 150; now < end; now++) {
			flow_table_get(fixture.table, live)->account.last_seen = now;
			pass_second(&fixture, 0, now, 10, UINT32_MAX);
		}
		check_case(fixture_find(&fixture, &idle.direction[0].key) == 0,
			   "lives on after %u s\n", pauses[i]);
		assert_int_equal(fixture_find(&fixture, &busy.direction[0].key), live);
		fixture_close(&fixture);
	}
}

// All of them go within two seconds after their time, with any number of workers, turns a second
// and size; none goes before.
static void test_all_in_time(void **state)
{
	static const struct {
		uint32_t max, workers, turns;
	} cases[] = {{10, 1, 3},      {10, 2, 1000},  {1000, 1, 7},	 {1000, 64, 20},
		     {20000, 3, 111}, {20000, 5, 10}, {100000, 1, 1000}, {100000, 7, 33}};

	for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
		struct flow_fixture fixture;
		uint32_t count = 0, now = 1000;

		fixture_open(&fixture, cases[c].max, cases[c].workers);
		for (uint32_t i = 0; i < cases[c].max; i++) {
			struct flow flow = fixture_flow(i, i % 2);

			count += fixture_insert(&fixture, &flow, now) != 0;
		}
		assert_true(count > 0);
		for (; now < 1000 + 30 + 2; now++)
			for (uint32_t worker = 0; worker < cases[c].workers; worker++) {
				uint32_t ended = pass_second(&fixture, worker, now, cases[c].turns,
							     UINT32_MAX);

				check_case(!ended || now >= 1030, "case %zu: ended at %u\n", c,
					   now);
			}
		check_case(flow_table_count(fixture.table) == 0, "case %zu: %lu of %u live on\n", c,
			   flow_table_count(fixture.table), count);
		fixture_close(&fixture);
	}
}

// A worker's ageing ends its own connections only.
static void test_own(void **state)
{
	enum {
		MAX = 10000,
		WORKERS = 4
	};
	struct flow_fixture fixture;
	uint64_t before;
	uint32_t own = 0;

	fixture_open(&fixture, MAX, WORKERS);
	for (uint32_t i = 0; i < MAX / 2; i++) {
		struct flow flow = fixture_flow(i, false);
		struct flow_hash hash = flow_hash(&fixture.table->secret, &flow.direction[0].key);

		assert_int_not_equal(fixture_insert(&fixture, &flow, 1000), 0);
		own += flow_table_owner(fixture.table, hash) == 2;
	}
	before = flow_table_count(fixture.table);
	assert_int_equal(pass_second(&fixture, 2, 1100, 100, UINT32_MAX) +
				 pass_second(&fixture, 2, 1101, 100, UINT32_MAX),
			 own);
	assert_int_equal(flow_table_count(fixture.table), before - own);
	fixture_close(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_timeouts), cmocka_unit_test(test_network_times),
		cmocka_unit_test(test_activity), cmocka_unit_test(test_bounded),
		cmocka_unit_test(test_away),	 cmocka_unit_test(test_all_in_time),
		cmocka_unit_test(test_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
