// The table of connections. Each direction of a connection has a slot in a bucket of one cache
// line: a 16-bit signature and the connection's number. 16 buckets are a group: a key that finds
// no room in its own bucket is in another one of the group. A shard has as many groups as its
// connections need: they are split one by one as these become more. The table is one memory file
// without pointers in it; its header says the layout.
//
// table.c    finding, adding, removing
// place.c    where connections lie: their numbers
// grow.c     more groups
// shrink.c   fewer groups, when few connections are left
// age.c      connections end
// memory.c   where all of it lies
// keep.c     the file in which it outlives the process
// adopt.c    what an earlier process has left
// charge.h   who has opened how many
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
#include "flow/charge.h"
#include "flow/flow.h"
#include "flow/hash.h"
#include "flow/memory.h"

#define FLOW_TABLE_WORKERS_MAX 64
#define FLOW_BUCKET_SLOTS      8
#define FLOW_GROUP_BUCKETS     16
#define FLOW_GROUP_SLOTS       (FLOW_BUCKET_SLOTS * FLOW_GROUP_BUCKETS)
#define FLOW_TABLE_LAYOUT      6

// When groups are split, the next bit of each key's hash decides. What the bucket has of the hash
// is bits 2 to 7, and the signature, which is bits 8 to 23; so no key is read for it.
#define FLOW_PLANE_FIRST 2
#define FLOW_PLANES	 6

// A connection's number and, in bit 0, a direction. 0: none.
typedef uint32_t flow_reference;

struct flow_bucket {
	uint16_t signatures[FLOW_BUCKET_SLOTS];
	_Atomic flow_reference references[FLOW_BUCKET_SLOTS];
	// Second, modulo 256, at which ageing looks at the connection next.
	uint8_t due[FLOW_BUCKET_SLOTS];
	// Keys that belong here but found no room: they are in other buckets of the group.
	_Atomic uint8_t overflow;
	// Bit i: slot i has an original direction, by which ageing looks at its connection.
	uint8_t originals;
	// Bit i of each: a bit of the hash of slot i's key, from FLOW_PLANE_FIRST on.
	uint8_t planes[FLOW_PLANES];
};

_Static_assert(sizeof(struct flow_bucket) == 64, "one cache line to find");

struct flow_table;
struct flow_keep;

// Ended connections whose places may still be read: a list by their numbers, and the grace period
// that ends it.
struct flow_ended {
	uint32_t head, tail;
	uint64_t token;
};

#define FLOW_ENDED_LISTS 16 // a power of two

// Idle times that a network has of its own: seconds by state, NULL for the usual ones.
struct flow_times {
	const uint32_t *const *by_network;
	uint32_t count;
};

struct flow_table_worker {
	struct flow_times times; // set by the worker for as long as they are valid

	uint64_t created;
	uint64_t removed;
	uint32_t shards; // that are its own
	// Places for new connections: the one that was used last first, because it is still in the
	// cache; and those that wait, by the number of the list.
	uint32_t ready;
	uint32_t ended_first, ended_end;
	struct flow_ended ended[FLOW_ENDED_LISTS];
	uint32_t block;	    // that it takes numbers from
	uint32_t blocks;    // that are its own
	uint32_t spare;	    // numbers of its own blocks that can be taken at once
	uint64_t *open;	    // its own blocks with such numbers, a bit each
	uint32_t open_from; // there are none before this word

	uint64_t keys;		       // in its shards
	uint32_t groups;	       // of all of its shards
	uint64_t grow_at;	       // so many keys begin a round of splits; UINT64_MAX: no more
	uint32_t rows;		       // groups of each of its shards before the round
	uint32_t grow_row, grow_shard; // the group that is made next
	uint32_t grow_pause;	       // connections until something is done
	bool grow_begun;	       // a round
	bool near;		       // the groups of the next step were prefetched
	bool merged;		       // the last step was a merge, not a split
	bool turning;		       // until readers have passed `turn_token`
	uint64_t turn_token;
	_Atomic uint32_t rows_used; // of the memory

	bool few;	// connections for what is held for them,
	bool shrinking; // and for long
	uint32_t few_since;

	uint32_t age_row, age_shard; // where ageing goes on
	uint64_t age_credit;
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

// Who is to know when connections end that are FLOW_MAPPED. On the owner; the connection can be
// read still.
struct flow_mapped {
	void *context;
	void (*end)(void *context, const struct flow *flow);
};

// Numbers of connections are given to workers in blocks; who has one gives them out.
struct flow_block {
	_Atomic uint32_t
		used;  // numbers below may be read, those from here on were not used; 0: none
	uint32_t free; // of the numbers that are free the one that is used next
	uint32_t free_count;
	_Atomic uint32_t state;
};

// How many groups a shard has: their count, and above it a mask of as many bits as the largest
// group's number has. In the table's memory.
typedef _Atomic uint64_t flow_extent;

struct flow_table {
	struct flow_bucket *buckets; // group after group; of each number those of all shards
	struct flow *flows;
	flow_extent *extents; // by shard
	struct flow_hash_secret secret;
	uint64_t id;	   // of this one and those that it follows
	int64_t clock;	   // CLOCK_BOOTTIME in nanoseconds when its own was 0
	uint32_t rows_max; // groups of a shard at most
	uint32_t max;
	uint32_t workers;
	struct rte_rcu_qsbr *readers;
	struct flow_charges charges;
	struct flow_block *blocks; // of numbers
	uint32_t block_count;
	uint32_t block_shift;
	_Atomic uint32_t blocks_free; // that any worker may take,
	_Atomic uint32_t block_first; // most likely from this one on
	_Atomic uint32_t end;	      // no number was used from this one on
	_Atomic uint32_t rows_limit;  // groups above are not to be made just now
	struct flow_memory memory;
	struct flow_keeper keeper;
	struct flow_mapped mapped;
	struct flow_table_worker worker[FLOW_TABLE_WORKERS_MAX];
};

// Makes an empty table for up to `max` connections. Memory is touched shortly before it is used.
// `readers`: quiescent state of all that look up; must outlive the table. `keep`: where it outlives
// the process, if it can; NULL: nowhere.
int flow_table_open(uint32_t max, uint32_t workers, struct rte_rcu_qsbr *readers,
		    struct flow_keep *keep, struct flow_table **table, struct error *err);
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

static inline struct flow_bucket *flow_table_group(const struct flow_table *table, uint32_t shard,
						   uint32_t group)
{
	return &table->buckets[((size_t)group * FLOW_SHARDS + shard) * FLOW_GROUP_BUCKETS];
}

static inline uint32_t flow_table_groups(const struct flow_table *table, uint32_t shard)
{
	return (uint32_t)atomic_load_explicit(&table->extents[shard], memory_order_acquire);
}

// The number of the bucket in its group: other bits than those that choose the group.
static inline uint32_t flow_hash_place(struct flow_hash hash)
{
	return hash.bucket >> 28;
}

static inline struct flow_bucket *flow_table_bucket(const struct flow_table *table,
						    struct flow_hash hash)
{
	uint64_t extent = atomic_load_explicit(&table->extents[hash.shard], memory_order_acquire);
	uint32_t mask = (uint32_t)(extent >> 32), group = hash.bucket & mask;

	// Its group was not made yet: it is still part of the one that will be split.
	if (group >= (uint32_t)extent)
		group &= mask >> 1;
	return flow_table_group(table, hash.shard, group) + flow_hash_place(hash);
}

// The `probe`th bucket where a key may be whose own one is `home`: at 1 its neighbour in memory.
static inline struct flow_bucket *flow_table_probe(const struct flow_bucket *home,
						   unsigned int probe)
{
	uintptr_t at = (uintptr_t)home;

	return (struct flow_bucket *)(at ^ probe * sizeof(*home));
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

// Signatures are read while their owner writes them: whoever is misled finds another key behind
// them.
#ifdef __SANITIZE_THREAD__
#define FLOW_ANY_TIME __attribute__((no_sanitize("thread")))
#else
#define FLOW_ANY_TIME
#endif

// The lookup in steps, so that a burst's memory accesses overlap: flow_table_candidate looks only
// at the bucket (prefetched before by the caller) and prefetches the likely connection;
// flow_table_find is exact. Bit i is set where slot i has the signature.
static inline FLOW_ANY_TIME uint32_t flow_bucket_match(const struct flow_bucket *bucket,
						       uint16_t signature)
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

// The first one in the bucket with this signature, which is asked for. 0: none.
static inline flow_reference flow_bucket_candidate(const struct flow_table *table,
						   const struct flow_bucket *bucket,
						   uint16_t signature)
{
	uint32_t match = flow_bucket_match(bucket, signature);

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

// In the other buckets of the group.
flow_reference flow_table_candidate_beyond(const struct flow_table *table,
					   const struct flow_bucket *home, uint16_t signature);

static inline flow_reference flow_table_candidate(const struct flow_table *table,
						  const struct flow_bucket *bucket,
						  uint16_t signature)
{
	flow_reference reference = flow_bucket_candidate(table, bucket, signature);

	if (unlikely(!reference && atomic_load_explicit(&bucket->overflow, memory_order_relaxed)))
		return flow_table_candidate_beyond(table, bucket, signature);
	return reference;
}

static inline bool flow_table_matches(const struct flow_table *table, flow_reference reference,
				      const struct flow_key *key)
{
	return flow_key_equal(&flow_table_get(table, reference)->direction[reference & 1].key, key);
}

// Any registered reader. The connection stays valid until the reader's next quiescent state.
flow_reference flow_table_find(const struct flow_table *table, const struct flow_key *key,
			       struct flow_hash hash);

// Brings near what entering a key with this hash will need, if it is done soon.
static inline void flow_table_expect(const struct flow_table *table, struct flow_hash hash)
{
	flow_prefetch_write(flow_table_bucket(table, hash));
}

// A place for a new connection of the worker's own. The caller fills all of it: keys, ingress,
// actions, rules, account with no flags but FLOW_ONE_WAY and FLOW_MAPPED; nobody else sees it
// before flow_table_enter. NULL: the table is full.
struct flow *flow_table_place(struct flow_table *table, uint32_t worker);

// Enters it; the reply key unless FLOW_ONE_WAY. The hashes are those of its keys (of one way, only
// the first counts); both shards must be the worker's own, and neither key be in the table. Returns
// the reference of the original direction; 0: there is no room for a key, and the place is taken
// back.
flow_reference flow_table_enter(struct flow_table *table, uint32_t worker, struct flow *flow,
				struct flow_hash hash, struct flow_hash reply, uint32_t now);

// Both, of a copy. Returns 0 where the table is full, too.
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

// Brings in the memory that so many connections will need. Before any worker runs.
void flow_table_prepare(struct flow_table *table, uint64_t connections);

// Could the worker add a connection? What it removes makes room only after a while. Other threads
// may ask, too.
bool flow_table_has_room(const struct flow_table *table, uint32_t worker);

// How many more connections there may be, about, as the worker knows it: all workers' shards fill
// alike. With one worker it is exact. Other threads may ask, too.
static inline uint32_t flow_table_room(const struct flow_table *table, uint32_t worker)
{
	const struct flow_table_worker *own = &table->worker[worker];
	uint64_t live = own->created - own->removed;

	if (table->workers > 1)
		live = live * FLOW_SHARDS / own->shards;
	return live < table->max ? (uint32_t)(table->max - live) : 0;
}

// Removes a connection of the worker's own.
void flow_table_remove(struct flow_table *table, uint32_t worker, flow_reference reference);

// Connections that ageing looks at before it looks at the clock.
#define FLOW_AGE_STEP 192

// Ages the worker's connections: some of them in every turn of its loop, until `cycles_limit` have
// passed; all of its groups come by once a second. Returns how many connections ended.
uint32_t flow_table_age(struct flow_table *table, uint32_t worker, uint32_t now,
			uint64_t cycles_since_last, uint64_t cycles_per_second,
			uint64_t cycles_limit);

// When few connections have been left for a while, gives back what was taken for many: a little of
// it in every turn of the worker's loop. Returns how much was done; 0: nothing is left to do now.
uint32_t flow_table_shrink(struct flow_table *table, uint32_t worker, uint32_t now);

uint64_t flow_table_count(const struct flow_table *table);

// Numbers of connections are from 1 to below this one, which grows.
static inline uint32_t flow_table_end(const struct flow_table *table)
{
	return atomic_load_explicit(&table->end, memory_order_relaxed);
}

// False: there is no connection, and looking would make the kernel bring in memory. Any thread.
static inline bool flow_place_used(const struct flow_table *table, uint32_t number)
{
	const struct flow_block *block = &table->blocks[number >> table->block_shift];

	return number < atomic_load_explicit(&block->used, memory_order_acquire);
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
