// Workers open, account and end connections at the same time, and somebody lists them. No
// connection is taken for another, no place is lost, and what is accounted too late does no harm.

#include "test.h"

#include <pthread.h>

#include "flow_fixture.h"

enum {
	MAX = 96,
	KEYS = 400,
	WORKERS = 2,
	ROUNDS = 150000,
};

struct shared {
	struct flow_fixture fixture;
	_Atomic uint32_t running;
	_Atomic uint32_t wrong;
};

struct runner {
	struct shared *shared;
	uint32_t index;
	uint64_t random;
	pthread_t thread;
};

static uint32_t draw(struct runner *runner, uint32_t limit)
{
	runner->random ^= runner->random << 13;
	runner->random ^= runner->random >> 7;
	runner->random ^= runner->random << 17;
	return (uint32_t)((runner->random >> 32) * limit >> 32);
}

static struct flow tcp_flow(uint32_t i)
{
	struct packet packet = {.tcp_flags = TCP_SYN, .tcp_end = 1, .tcp_window = 1000};
	struct flow flow = fixture_flow(i, false);

	packet.key.protocol = IPPROTO_TCP;
	flow.account = (struct flow_account){.packets = {0}};
	for (unsigned int d = 0; d < 2; d++) {
		flow.direction[d].key.protocol = IPPROTO_TCP;
		flow.direction[d].rule = (struct flow_rule){77, (uint16_t)i};
	}
	flow_state_open(&flow.account, &packet, false);
	return flow;
}

static void account(struct flow *flow, enum flow_direction_index direction, struct runner *runner)
{
	static const uint8_t flags[] = {TCP_SYN | TCP_ACK, TCP_ACK, TCP_FIN | TCP_ACK, TCP_ACK};
	struct packet packet = {.tcp_flags = flags[draw(runner, 4)],
				.tcp_seq = draw(runner, 3),
				.tcp_ack = draw(runner, 3),
				.tcp_window = UINT16_MAX};

	packet.key.protocol = IPPROTO_TCP;
	packet.tcp_end = packet.tcp_seq + 1;
	flow_account_packet(NULL, &flow->account, direction, &packet, 60, 1);
}

static void step(struct runner *runner)
{
	struct flow_table *table = runner->shared->fixture.table;
	struct flow wanted = tcp_flow(draw(runner, KEYS));
	enum flow_direction_index direction = draw(runner, 2);
	const struct flow_key *key = &wanted.direction[direction].key;
	struct flow_hash hash = flow_hash(&table->secret, key);
	flow_reference reference = flow_table_find(table, key, hash);
	bool own = flow_table_owner(table, hash) == runner->index;
	struct flow *flow = flow_table_get(table, reference);

	if (!reference) {
		if (own)
			flow_table_insert(table, runner->index, &wanted, 1);
		return;
	}
	if ((reference & 1) != direction || flow_table_get(table, reference) == table->flows)
		atomic_fetch_add(&runner->shared->wrong, 1);
	if (own && draw(runner, 2)) {
		flow_table_remove(table, runner->index, reference);
		account(flow, direction, runner);
		return;
	}
	// Meanwhile it may end.
	for (uint32_t i = draw(runner, 200); i > 0; i--)
		__asm__ volatile("" ::: "memory");
	account(flow, direction, runner);
	if (!flow_key_equal(key, &flow->direction[direction].key))
		atomic_fetch_add(&runner->shared->wrong, 1);
}

static void *run_worker(void *argument)
{
	struct runner *runner = argument;
	struct rte_rcu_qsbr *readers = runner->shared->fixture.readers;

	for (uint32_t i = 0; i < ROUNDS; i++) {
		rte_rcu_qsbr_quiescent(readers, runner->index);
		for (uint32_t burst = draw(runner, 8); burst > 0; burst--)
			step(runner);
	}
	rte_rcu_qsbr_thread_offline(readers, runner->index);
	atomic_fetch_sub(&runner->shared->running, 1);
	return NULL;
}

// Whole connections only: both keys and both rules are of one.
static bool look(const struct flow *flow, void *context)
{
	struct shared *shared = context;
	const struct flow_key *key = &flow->direction[FLOW_ORIGINAL].key;
	struct flow_key reverse = flow_key_reverse(key, 2);
	bool whole = flow_key_equal(&reverse, &flow->direction[FLOW_REPLY].key);

	for (unsigned int d = 0; d < 2; d++)
		whole &= flow->direction[d].rule.group == 77 &&
			 ntohs(key->source_port) == 10000 + flow->direction[d].rule.rule;
	if (!whole || flow_state_get(&flow->account) >= FLOW_STATE_COUNT)
		atomic_fetch_add(&shared->wrong, 1);
	return true;
}

static void *run_visitor(void *argument)
{
	struct runner *runner = argument;
	struct shared *shared = runner->shared;

	while (atomic_load(&shared->running)) {
		uint32_t position = 0;

		rte_rcu_qsbr_thread_online(shared->fixture.readers, runner->index);
		do
			flow_table_visit(shared->fixture.table, &position, 16, look, shared);
		while (position);
		rte_rcu_qsbr_thread_offline(shared->fixture.readers, runner->index);
	}
	return NULL;
}

static void test_race(void **state)
{
	struct shared shared = {.running = WORKERS};
	struct runner runners[WORKERS + 1];
	uint32_t again = 0;

	fixture_open_others(&shared.fixture, MAX, WORKERS, 1);
	rte_rcu_qsbr_thread_offline(shared.fixture.readers, WORKERS);
	for (uint32_t i = 0; i <= WORKERS; i++) {
		runners[i] = (struct runner){&shared, i, 0x9e3779b97f4a7c15u * (i + 1), 0};
		assert_int_equal(pthread_create(&runners[i].thread, NULL,
						i < WORKERS ? run_worker : run_visitor,
						&runners[i]),
				 0);
	}
	for (uint32_t i = 0; i <= WORKERS; i++)
		pthread_join(runners[i].thread, NULL);
	assert_int_equal(shared.wrong, 0);
	// What is there can be removed, and every place be taken again.
	for (uint32_t i = 0; i < KEYS; i++) {
		struct flow flow = tcp_flow(i);
		flow_reference reference = fixture_find(&shared.fixture, &flow.direction[0].key);

		assert_int_equal(fixture_find(&shared.fixture, &flow.direction[1].key),
				 reference ? reference | FLOW_REPLY : 0);
		if (reference)
			fixture_remove(&shared.fixture, reference);
	}
	assert_int_equal(flow_table_count(shared.fixture.table), 0);
	for (uint32_t i = 0; i < 100 * MAX; i++) {
		struct flow flow = tcp_flow(i);

		again += fixture_insert(&shared.fixture, &flow, 1) != 0;
	}
	assert_int_equal(again, MAX);
	fixture_close(&shared.fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_race)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
