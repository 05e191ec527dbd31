// Who is charged with which connections: what the table says is what is in it, always.

#include "test.h"

#include "flow_fixture.h"

#define OPENERS 5
#define KEYS	600
#define TABLE	256

// Ports 3, 4 and 5, and two nodes behind port 1.
static flow_ingress opener(uint32_t i)
{
	return i < 3 ? (uint64_t)(i + 3) << 48 | i : UINT64_C(1) << 48 | (uint64_t)i << 32 | i;
}

static struct flow flow_from(uint32_t key, uint32_t from, enum flow_state state)
{
	struct flow flow = fixture_flow(key, key % 5 == 0);

	flow.direction[FLOW_ORIGINAL].ingress = opener(from);
	flow.account.state = state;
	return flow;
}

static void assert_charged(const struct flow_fixture *fixture, uint32_t from, uint32_t connections,
			   uint32_t half_open)
{
	const struct flow_charge *charge = flow_charge_of(&fixture->table->charges, opener(from));

	assert_int_equal(charge->connections, connections);
	assert_int_equal(charge->half_open, half_open);
}

static void test_half_open(void **state)
{
	struct flow_fixture fixture;
	struct flow flow = flow_from(1, 0, FLOW_STATE_SYN_SENT);
	struct flow *live;

	fixture_open(&fixture, TABLE, 1);
	live = flow_table_get(fixture.table, fixture_insert(&fixture, &flow, 1000));
	flow = flow_from(2, 3, FLOW_STATE_ICMP);
	fixture_insert(&fixture, &flow, 1000);
	assert_charged(&fixture, 0, 1, 1);
	assert_charged(&fixture, 3, 1, 0);
	live->account.state = FLOW_STATE_SYN_RECEIVED;
	flow_charge_settle(&fixture.table->charges, &live->account);
	assert_charged(&fixture, 0, 1, 1);
	live->account.state = FLOW_STATE_ESTABLISHED;
	flow_charge_settle(NULL, &live->account);
	assert_charged(&fixture, 0, 1, 1);
	for (unsigned int i = 0; i < 2; i++)
		flow_charge_settle(&fixture.table->charges, &live->account);
	assert_charged(&fixture, 0, 1, 0);
	// Half open once, and then never again.
	live->account.state = FLOW_STATE_PICKED_UP;
	flow_charge_settle(&fixture.table->charges, &live->account);
	assert_charged(&fixture, 0, 1, 0);
	fixture_close(&fixture);
}

// Other MAC addresses of the same port are no other opener.
static void test_move(void **state)
{
	struct flow_fixture fixture;
	struct flow flow = flow_from(1, 0, FLOW_STATE_UNREPLIED);
	flow_reference reference;
	struct flow *live;

	fixture_open(&fixture, TABLE, 1);
	reference = fixture_insert(&fixture, &flow, 1000);
	live = flow_table_get(fixture.table, reference);
	flow_charge_move(&fixture.table->charges, live, opener(0) | 77);
	assert_charged(&fixture, 0, 1, 1);
	flow_charge_move(&fixture.table->charges, live, opener(4));
	assert_charged(&fixture, 0, 0, 0);
	assert_charged(&fixture, 4, 1, 1);
	assert_int_equal(live->direction[FLOW_ORIGINAL].ingress, opener(4));
	live->account.state = FLOW_STATE_REPLIED;
	flow_charge_settle(&fixture.table->charges, &live->account);
	flow_charge_move(&fixture.table->charges, live, opener(1));
	assert_charged(&fixture, 4, 0, 0);
	assert_charged(&fixture, 1, 1, 0);
	fixture_remove(&fixture, reference);
	assert_charged(&fixture, 1, 0, 0);
	fixture_close(&fixture);
}

// Nobody is charged with what found no room.
static void test_full(void **state)
{
	struct flow_fixture fixture;

	fixture_open(&fixture, 4, 1);
	for (uint32_t i = 1; i < 10; i++) {
		struct flow flow = flow_from(i, 1, FLOW_STATE_UNREPLIED);

		fixture_insert(&fixture, &flow, 1000);
	}
	assert_charged(&fixture, 1, 4, 4);
	assert_int_equal(flow_table_room(fixture.table, 0), 0);
	fixture_close(&fixture);
}

// By ageing; with several workers each takes back its own.
static void test_ageing(void **state)
{
	for (uint32_t workers = 1; workers <= 3; workers += 2) {
		struct flow_fixture fixture;
		uint32_t ended = 0, last = 1000 + flow_state_timeout(FLOW_STATE_SYN_SENT);

		fixture_open(&fixture, TABLE, workers);
		for (uint32_t i = 0; i < 100; i++) {
			struct flow flow = flow_from(i, i % OPENERS,
						     i % 2 ? FLOW_STATE_SYN_SENT : FLOW_STATE_ICMP);

			assert_int_not_equal(fixture_insert(&fixture, &flow, 1000), 0);
		}
		for (uint32_t i = 0; i < OPENERS; i++)
			assert_charged(&fixture, i, 20, 10);
		for (uint32_t now = 1001; now <= last + 20; now++)
			for (uint32_t worker = 0; worker < workers; worker++)
				ended += flow_table_age(fixture.table, worker, now, 1000, 1000,
							UINT64_MAX);
		assert_int_equal(ended, 100);
		for (uint32_t i = 0; i < OPENERS; i++)
			assert_charged(&fixture, i, 0, 0);
		fixture_close(&fixture);
	}
}

// Anything in any order, against a model of who has what.
static void test_model(void **state)
{
	struct {
		flow_reference reference;
		uint32_t from;
		bool half_open;
	} model[KEYS] = {0};
	uint64_t seed = random_seed();
	struct random random = {seed};
	struct flow_fixture fixture;

	fixture_open(&fixture, TABLE, 2);
	for (unsigned int step = 0; step < 20000; step++) {
		uint32_t i = random_below(&random, KEYS), from = random_below(&random, OPENERS);
		uint32_t connections[OPENERS] = {0}, half_open[OPENERS] = {0};

		fixture_quiescent(&fixture);
		if (!model[i].reference) {
			bool half = random_below(&random, 2);
			struct flow flow = flow_from(
				i, from, half ? FLOW_STATE_PICKED_UP : FLOW_STATE_CLOSING);

			model[i].reference = fixture_insert(&fixture, &flow, 1000);
			model[i].from = from;
			model[i].half_open = half;
		} else if (random_below(&random, 3) == 0) {
			fixture_remove(&fixture, model[i].reference);
			model[i].reference = 0;
		} else if (random_below(&random, 2)) {
			struct flow *live = flow_table_get(fixture.table, model[i].reference);

			live->account.state = FLOW_STATE_ESTABLISHED;
			flow_charge_settle(&fixture.table->charges, &live->account);
			model[i].half_open = false;
		} else {
			flow_charge_move(&fixture.table->charges,
					 flow_table_get(fixture.table, model[i].reference),
					 opener(from));
			model[i].from = from;
		}
		if (step % 50)
			continue;
		for (uint32_t k = 0; k < KEYS; k++)
			if (model[k].reference) {
				connections[model[k].from]++;
				half_open[model[k].from] += model[k].half_open;
			}
		for (uint32_t k = 0; k < OPENERS; k++) {
			const struct flow_charge *charge =
				flow_charge_of(&fixture.table->charges, opener(k));

			check_case(charge->connections == connections[k] &&
					   charge->half_open == half_open[k],
				   "seed %#lx, step %u, opener %u\n", seed, step, k);
		}
	}
	fixture_close(&fixture);
}

// `burst` at once, then one an interval; idle time gives no more than the burst.
static void test_rate(void **state)
{
	struct flow_charge charge = {0};
	const uint64_t interval = 1000, start = UINT64_C(1) << 60;
	uint32_t taken = 0;

	for (unsigned int i = 0; i < 10; i++)
		taken += flow_charge_take(&charge, start, interval, 4, false);
	assert_int_equal(taken, 4);
	assert_false(flow_charge_take(&charge, start + interval - 1, interval, 4, false));
	assert_true(flow_charge_take(&charge, start + interval, interval, 4, true));
	assert_true(flow_charge_take(&charge, start + interval, interval, 4, false));
	assert_false(flow_charge_take(&charge, start + interval, interval, 4, true));
	taken = 0;
	for (unsigned int i = 0; i < 10; i++)
		taken += flow_charge_take(&charge, start + 100 * interval, interval, 4, false);
	assert_int_equal(taken, 4);
}

// With several workers each knows about as much as all do.
static void test_room(void **state)
{
	for (uint32_t workers = 1; workers <= 3; workers++) {
		struct flow_fixture fixture;

		fixture_open(&fixture, 65536, workers);
		for (uint32_t i = 0; i < 30000; i++) {
			struct flow flow = flow_from(i, 0, FLOW_STATE_ICMP);

			assert_int_not_equal(fixture_insert(&fixture, &flow, 1000), 0);
		}
		for (uint32_t worker = 0; worker < workers; worker++)
			assert_in_range(flow_table_room(fixture.table, worker), 35536 - 1500,
					35536 + 1500);
		if (workers == 1)
			assert_int_equal(flow_table_room(fixture.table, 0), 35536);
		fixture_close(&fixture);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_half_open), cmocka_unit_test(test_move),
		cmocka_unit_test(test_full),	  cmocka_unit_test(test_ageing),
		cmocka_unit_test(test_model),	  cmocka_unit_test(test_rate),
		cmocka_unit_test(test_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
