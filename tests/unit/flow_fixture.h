// A connection table with one reader that tests drive by hand.

#pragma once

#include <netinet/in.h>

#include "flow/state.h"
#include "flow/table.h"

struct flow_fixture {
	struct rte_rcu_qsbr *readers;
	struct flow_table *table;
};

static inline void fixture_open(struct flow_fixture *fixture, uint32_t max, uint32_t workers)
{
	struct error err;

	fixture->readers = aligned_alloc(64, (rte_rcu_qsbr_get_memsize(workers) + 63) / 64 * 64);
	assert_non_null(fixture->readers);
	assert_int_equal(rte_rcu_qsbr_init(fixture->readers, workers), 0);
	for (uint32_t i = 0; i < workers; i++) {
		rte_rcu_qsbr_thread_register(fixture->readers, i);
		rte_rcu_qsbr_thread_online(fixture->readers, i);
	}
	if (flow_table_open(max, workers, fixture->readers, &fixture->table, &err) < 0)
		fail_msg("%s", err.text);
}

static inline void fixture_close(struct flow_fixture *fixture)
{
	flow_table_close(fixture->table);
	free(fixture->readers);
}

// What a worker does at the start of each turn.
static inline void fixture_quiescent(struct flow_fixture *fixture)
{
	for (uint32_t i = 0; i < fixture->table->workers; i++)
		rte_rcu_qsbr_quiescent(fixture->readers, i);
}

// Keys that differ as those of real connections do: few addresses, ports that count up.
static inline struct flow_key fixture_key(uint32_t i)
{
	return (struct flow_key){
		.source = ip_from_v4(htonl(0x0a010000 + i / 50000)),
		.destination = ip_from_v4(htonl(0x0a020001)),
		.source_port = htons((uint16_t)(10000 + i % 50000)),
		.destination_port = htons(80),
		.network = 1,
		.protocol = IPPROTO_UDP,
	};
}

static inline struct flow fixture_flow(uint32_t i, bool one_way)
{
	struct flow flow = {
		.account = {.state = FLOW_STATE_UNREPLIED, .flags = one_way ? FLOW_ONE_WAY : 0}};

	flow.direction[FLOW_ORIGINAL].key = fixture_key(i);
	if (one_way)
		flow.direction[FLOW_ORIGINAL].key.flags = FLOW_KEY_ONE_WAY;
	else
		flow.direction[FLOW_REPLY].key =
			flow_key_reverse(&flow.direction[FLOW_ORIGINAL].key, 2);
	flow.account.packets[0] = i;
	return flow;
}

static inline flow_reference fixture_find(const struct flow_fixture *fixture,
					  const struct flow_key *key)
{
	return flow_table_find(fixture->table, key, flow_hash(&fixture->table->secret, key));
}

static inline flow_reference fixture_insert(struct flow_fixture *fixture, const struct flow *flow,
					    uint32_t now)
{
	struct flow_hash hash =
		flow_hash(&fixture->table->secret, &flow->direction[FLOW_ORIGINAL].key);

	return flow_table_insert(fixture->table, flow_table_owner(fixture->table, hash), flow, now);
}

static inline void fixture_remove(struct flow_fixture *fixture, flow_reference reference)
{
	const struct flow_key *key =
		&flow_table_get(fixture->table, reference)->direction[FLOW_ORIGINAL].key;

	flow_table_remove(fixture->table,
			  flow_table_owner(fixture->table, flow_hash(&fixture->table->secret, key)),
			  reference);
}
