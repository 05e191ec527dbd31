// The table of connections. Each direction of a connection has a slot in a bucket of one cache
// line: a 16-bit signature and the connection's number. The table is one memory file without
// pointers in it; its header says the layout.
//
// Threads: a shard's buckets and the connections in it are written by the worker that owns the
// shard only (flow_table_owner); any registered reader may look up at any time. A removed
// connection is used again only when all readers have passed a quiescent state.

#pragma once

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <rte_branch_prediction.h>
#include <rte_prefetch.h>
#include <rte_rcu_qsbr.h>

#include "base/error.h"
#include "flow/flow.h"
#include "flow/hash.h"

#define FLOW_TABLE_WORKERS_MAX 64
#define FLOW_BUCKET_SLOTS      8
#define FLOW_TABLE_LAYOUT      3

// A connection's number and, in bit 0, a direction. 0: none.
typedef uint32_t flow_reference;

struct flow_bucket {
	uint16_t signatures[FLOW_BUCKET_SLOTS];
	_Atomic flow_reference references[FLOW_BUCKET_SLOTS];
	// Second, modulo 256, at which ageing looks at the connection next.
	uint8_t due[FLOW_BUCKET_SLOTS];
	// Keys that belong here but found no room: they are in the buckets behind.
	_Atomic uint32_t overflow;
	uint32_t spare;
};

_Static_assert(sizeof(struct flow_bucket) == 64, "one cache line to find");

struct flow_table;

// Idle times that a network has of its own: seconds by state, NULL for the usual ones.
struct flow_times {
	const uint32_t *const *by_network;
	uint32_t count;
};

struct flow_table_worker {
	struct flow_times times; // set by the worker for as long as they are valid

	uint64_t created;
	uint64_t removed;
	uint32_t free_head,
		free_tail; // connections that wait for the end of their grace period, oldest first
	uint32_t fresh, fresh_end;	// never used ones
	uint32_t age_shard, age_bucket; // where ageing goes on
	uint64_t age_credit;
	uint32_t age_time;
} __attribute__((aligned(128)));

// Who forwards connections that are FLOW_OFFLOADED.
struct flow_keeper {
	void *context;
	// A connection is about to be removed, or ageing looks at it, on its owner; both may end
	// the offloading. After a look account.last_seen is right.
	void (*end)(void *context, uint32_t worker, flow_reference reference);
	void (*look)(void *context, uint32_t worker, flow_reference reference, uint32_t now);
	// Adds to a copy of its account what the keeper has. Any reader.
	void (*read)(void *context, flow_reference reference, struct flow_account *copy);
};

struct flow_table {
	struct flow_bucket *buckets;
	struct flow *flows;
	struct flow_hash_secret secret;
	uint32_t shard_buckets;
	uint32_t max;
	uint32_t workers;
	struct rte_rcu_qsbr *readers;
	_Atomic uint32_t fresh; // next never used connection
	uint32_t fresh_step;
	void *memory;
	size_t memory_size;
	bool huge;
	struct flow_keeper keeper;
	struct flow_table_worker worker[FLOW_TABLE_WORKERS_MAX];
};

// Makes an empty table for up to `max` connections. Memory is touched as it is used, unless huge
// pages hold it. `readers`: quiescent state of all that look up; must outlive the table.
int flow_table_open(uint32_t max, uint32_t workers, struct rte_rcu_qsbr *readers,
		    struct flow_table **table, struct error *err);
void flow_table_close(struct flow_table *table);

// The worker that may change connections of this hash.
static inline uint32_t flow_table_owner(const struct flow_table *table, struct flow_hash hash)
{
	return hash.shard % table->workers;
}

static inline struct flow *flow_table_get(const struct flow_table *table, flow_reference reference)
{
	return &table->flows[reference >> 1];
}

static inline struct flow_bucket *flow_table_bucket(const struct flow_table *table,
						    struct flow_hash hash)
{
	uint32_t index = (uint32_t)((uint64_t)hash.bucket * table->shard_buckets >> 32);

	return &table->buckets[hash.shard * table->shard_buckets + index];
}

// For memory that will be read and written: another worker has to give it up then, and does so at
// once.
static inline void flow_prefetch_write(const void *address)
{
#ifdef __x86_64__
	// The compiler's own has it as a read where the CPU might be one without this instruction.
	// Those take it for none.
	__asm__ volatile("prefetchw %0" : : "m"(*(const char *)address));
#else
	__builtin_prefetch(address, 1);
#endif
}

// The lookup in steps, so that a burst's memory accesses overlap: flow_table_candidate looks only
// at the bucket (prefetched before by the caller) and prefetches the likely connection;
// flow_table_find is exact. Bit i is set where slot i has the signature.
static inline uint32_t flow_bucket_match(const struct flow_bucket *bucket, uint16_t signature)
{
#ifdef __SSE2__
	__m128i signatures = _mm_load_si128((const __m128i *)(const void *)bucket->signatures);
	__m128i equal = _mm_cmpeq_epi16(signatures, _mm_set1_epi16((short)signature));

	return (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(equal, _mm_setzero_si128()));
#else
	uint32_t match = 0;

	for (unsigned int i = 0; i < FLOW_BUCKET_SLOTS; i++)
		match |= (uint32_t)(bucket->signatures[i] == signature) << i;
	return match;
#endif
}

static inline flow_reference flow_table_candidate(const struct flow_table *table,
						  struct flow_hash hash)
{
	const struct flow_bucket *bucket = flow_table_bucket(table, hash);
	uint32_t match = flow_bucket_match(bucket, hash.signature);

	for (; match; match &= match - 1) {
		flow_reference reference = atomic_load_explicit(
			&bucket->references[__builtin_ctz(match)], memory_order_acquire);

		if (!reference)
			continue;
		rte_prefetch0(&flow_table_get(table, reference)->direction[reference & 1]);
		flow_prefetch_write(&flow_table_get(table, reference)->account);
		return reference;
	}
	return 0;
}

static inline bool flow_table_matches(const struct flow_table *table, flow_reference reference,
				      const struct flow_key *key)
{
	return flow_key_equal(&flow_table_get(table, reference)->direction[reference & 1].key, key);
}

// Any registered reader. The connection stays valid until the reader's next quiescent state.
flow_reference flow_table_find(const struct flow_table *table, const struct flow_key *key,
			       struct flow_hash hash);

// Adds a connection. `flow` has keys, ingress, actions and account filled; its reply key is entered
// unless FLOW_ONE_WAY. Both keys' shards must be the worker's own, and neither key be in the
// table. Returns the reference of the original direction, or 0 where the table is full.
flow_reference flow_table_insert(struct flow_table *table, uint32_t worker, const struct flow *flow,
				 uint32_t now);

// The account with what its keeper has, of an offloaded connection. Any registered reader.
static inline void flow_table_account(const struct flow_table *table, flow_reference reference,
				      struct flow_account *copy)
{
	memcpy(copy, &flow_table_get(table, reference)->account, sizeof(*copy));
	if (unlikely(flow_has(copy, FLOW_OFFLOADED)))
		table->keeper.read(table->keeper.context, reference, copy);
}

// Could the worker add a connection? What it removes makes room only after a while. Other threads
// may ask, too.
bool flow_table_has_room(const struct flow_table *table, uint32_t worker);

// Removes a connection of the worker's own.
void flow_table_remove(struct flow_table *table, uint32_t worker, flow_reference reference);

// Ages the worker's connections: a step of at most `limit` buckets, to be called in every turn of
// its loop; all of the worker's buckets come by once a second. Returns how many connections ended.
uint32_t flow_table_age(struct flow_table *table, uint32_t worker, uint32_t now,
			uint64_t cycles_since_last, uint64_t cycles_per_second, uint32_t limit);

uint64_t flow_table_count(const struct flow_table *table);

// Numbers of connections are from 1 to below this one, which grows.
static inline uint32_t flow_table_end(const struct flow_table *table)
{
	uint32_t end = atomic_load_explicit(&table->fresh, memory_order_relaxed);

	return end < table->max + 1 ? end : table->max + 1;
}

// Copies the connection with this number. False: it has ended, and the copy is what is left of it.
// Any registered reader.
bool flow_table_read(const struct flow_table *table, uint32_t number, struct flow *copy);

// Calls `visit` for copies of connections, from number `*position` on (0 at first), at most `limit`
// of them; false from it ends the round. So that no call takes long, one passes over at most 64
// times as many places that are free. `*position` is 0 again after the last one. Any registered
// reader.
void flow_table_visit(const struct flow_table *table, uint32_t *position, uint32_t limit,
		      bool (*visit)(const struct flow *flow, void *context), void *context);
