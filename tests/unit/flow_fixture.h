// A connection table with one reader that tests drive by hand.

#pragma once

#include <netinet/in.h>

#include "flow/state.h"
#include "flow/table.h"

struct flow_fixture {
	struct rte_rcu_qsbr *readers;
	struct flow_table *table;
};

static inline void fixture_open_with(struct flow_fixture *fixture, uint32_t max, uint32_t workers,
				     uint32_t others, struct flow_keep *keep)
{
	uint32_t readers = workers + others;
	struct error err;

	fixture->readers = aligned_alloc(64, (rte_rcu_qsbr_get_memsize(readers) + 63) / 64 * 64);
	assert_non_null(fixture->readers);
	assert_int_equal(rte_rcu_qsbr_init(fixture->readers, readers), 0);
	for (uint32_t i = 0; i < readers; i++) {
		rte_rcu_qsbr_thread_register(fixture->readers, i);
		rte_rcu_qsbr_thread_online(fixture->readers, i);
	}
	if (flow_table_open(max, workers, fixture->readers, keep, &fixture->table, &err) < 0)
		fail_msg("%s", err.text);
}

// With `others`: readers beside the workers.
static inline void fixture_open_others(struct flow_fixture *fixture, uint32_t max, uint32_t workers,
				       uint32_t others)
{
	fixture_open_with(fixture, max, workers, others, NULL);
}

static inline void fixture_open_kept(struct flow_fixture *fixture, uint32_t max, uint32_t workers,
				     struct flow_keep *keep)
{
	fixture_open_with(fixture, max, workers, 0, keep);
}

static inline void fixture_open(struct flow_fixture *fixture, uint32_t max, uint32_t workers)
{
	fixture_open_others(fixture, max, workers, 0);
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

// Each key is where its hash says, and what is counted is there.
static inline void fixture_check(const struct flow_fixture *fixture)
{
	const struct flow_table *table = fixture->table;
	uint32_t *expected = calloc((size_t)table->rows_max * FLOW_SHARDS * FLOW_GROUP_BUCKETS,
				    sizeof(*expected));
	uint32_t keys = 0;

	for (uint32_t shard = 0; shard < FLOW_SHARDS; shard++)
		for (uint32_t g = 0; g < flow_table_groups(table, shard); g++)
			for (uint32_t s = 0; s < FLOW_GROUP_SLOTS; s++) {
				const struct flow_bucket *bucket =
					flow_table_group(table, shard, g) + s / FLOW_BUCKET_SLOTS;
				flow_reference reference =
					bucket->references[s % FLOW_BUCKET_SLOTS];
				const struct flow_bucket *home;
				struct flow_hash hash;

				assert_int_equal(bucket->originals >> s % FLOW_BUCKET_SLOTS & 1,
						 reference && !(reference & 1));
				if (!reference)
					continue;
				keys++;
				hash = flow_hash(&table->secret, &flow_table_get(table, reference)
									  ->direction[reference & 1]
									  .key);
				assert_int_equal(hash.shard, shard);
				home = flow_table_bucket(table, hash);
				assert_ptr_equal(home - flow_hash_place(hash),
						 flow_table_group(table, shard, g));
				if (home != bucket)
					expected[home - table->buckets]++;
			}
	for (size_t b = 0; b < (size_t)table->rows_max * FLOW_SHARDS * FLOW_GROUP_BUCKETS; b++)
		assert_int_equal(table->buckets[b].overflow, expected[b]);
	for (uint32_t worker = 0; worker < table->workers; worker++)
		keys -= (uint32_t)table->worker[worker].keys;
	assert_int_equal(keys, 0);
	free(expected);
}
