// What the files of the table share; nobody else includes this.

#pragma once

#include "flow/table.h"

// Ageing looks at a connection at least this often in seconds, however long it may be idle.
#define AGE_LOOK 16

// What the memory starts with has a page of its own.
#define FLOW_TABLE_HEADER 4096

// The slots that hold the reference (0: that are free), a bit each. Owner.
static inline uint32_t bucket_slots(const struct flow_bucket *bucket, flow_reference reference)
{
#ifdef __SSE2__
	const __m128i *references = (const __m128i *)(uintptr_t)bucket->references;
	__m128i wanted = _mm_set1_epi32((int)reference);
	__m128i low = _mm_cmpeq_epi32(_mm_load_si128(references), wanted);
	__m128i high = _mm_cmpeq_epi32(_mm_load_si128(references + 1), wanted);
	__m128i both = _mm_packs_epi32(low, high);

	return (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(both, _mm_setzero_si128()));
#else
	uint32_t slots = 0;

	for (unsigned int i = 0; i < FLOW_BUCKET_SLOTS; i++)
		slots |= (uint32_t)(atomic_load_explicit(&bucket->references[i],
							 memory_order_relaxed) == reference)
			 << i;
	return slots;
#endif
}

// Only the owner writes it.
static inline void bucket_overflow_add(struct flow_bucket *home, int difference)
{
	uint8_t overflow = atomic_load_explicit(&home->overflow, memory_order_relaxed);

	atomic_store_explicit(&home->overflow, (uint8_t)(overflow + difference),
			      memory_order_relaxed);
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "a bit for each plane, in their order");

// Each of the hash's bits into its plane, at the slot.
static inline void bucket_set_planes(struct flow_bucket *bucket, uint32_t slot, uint32_t hash)
{
	uint64_t bits = hash >> FLOW_PLANE_FIRST & ((1u << FLOW_PLANES) - 1), planes = 0;
	const uint64_t ones = 0x010101010101;

	memcpy(&planes, bucket->planes, sizeof(bucket->planes));
	// Six copies, seven bits apart: bit i of copy i is bit 0 of byte i.
	planes = (planes & ~(ones << slot)) | (bits * 0x810204081 & ones) << slot;
	memcpy(bucket->planes, &planes, sizeof(bucket->planes));
}

// Enters a key whose bucket is `home`. False: the group is full.
static inline bool group_enter(struct flow_bucket *home, struct flow_hash hash,
			       flow_reference reference, uint8_t due)
{
	for (unsigned int probe = 0; probe < FLOW_GROUP_BUCKETS; probe++) {
		struct flow_bucket *bucket = flow_table_probe(home, probe);
		uint32_t slots = bucket_slots(bucket, 0), slot;

		if (!slots)
			continue;
		slot = (uint32_t)__builtin_ctz(slots);
		bucket->signatures[slot] = hash.signature;
		bucket->due[slot] = due;
		bucket_set_planes(bucket, slot, hash.bucket);
		if ((reference & 1) == FLOW_ORIGINAL)
			bucket->originals |= (uint8_t)(1u << slot);
		if (probe)
			bucket_overflow_add(home, 1);
		atomic_store_explicit(&bucket->references[slot], reference, memory_order_release);
		return true;
	}
	return false;
}

static inline void bucket_clear(struct flow_bucket *bucket, uint32_t slot)
{
	bucket->originals &= (uint8_t) ~(1u << slot);
	atomic_store_explicit(&bucket->references[slot], 0, memory_order_release);
}

static inline void group_leave(struct flow_bucket *home, flow_reference reference)
{
	for (unsigned int probe = 0; probe < FLOW_GROUP_BUCKETS; probe++) {
		struct flow_bucket *bucket = flow_table_probe(home, probe);
		uint32_t slots = bucket_slots(bucket, reference);

		if (!slots)
			continue;
		bucket_clear(bucket, (uint32_t)__builtin_ctz(slots));
		if (probe)
			bucket_overflow_add(home, -1);
		return;
	}
}

// The network that counts is the one in which the connection was opened. Of a connection that ends
// the reply direction is needed, too.
static inline uint16_t flow_network(const struct flow *flow)
{
	return flow->direction[!flow_has(&flow->account, FLOW_NETWORK_APART)].key.network;
}

static inline uint32_t flow_end_time(const struct flow_table_worker *own, const struct flow *flow)
{
	enum flow_state state = flow_state_get(&flow->account);
	uint32_t timeout = flow_state_timeout(state), last = flow->account.last_seen;

	if (own->times.by_network) {
		uint16_t network = flow_network(flow);
		const uint32_t *times =
			network < own->times.count ? own->times.by_network[network] : NULL;

		if (times)
			timeout = times[state];
	}
	return last + timeout;
}

static inline uint8_t flow_due_time(const struct flow_table_worker *own, const struct flow *flow,
				    uint32_t now)
{
	uint32_t end = flow_end_time(own, flow);
	uint32_t wait = (int32_t)(end - now) > 0 ? end - now : 1;

	return (uint8_t)(now + (wait < AGE_LOOK ? wait : AGE_LOOK));
}

// A connection whose keys were taken out, so that nobody finds it any more.
static inline void flow_table_end_flow(struct flow_table *table, uint32_t worker, struct flow *flow)
{
	struct flow_table_worker *own = &table->worker[worker];
	uint8_t flags = atomic_load_explicit(&flow->account.flags, memory_order_relaxed);

	own->removed++;
	own->keys -= flags & FLOW_ONE_WAY ? 1 : 2;
	// Another worker may be giving a half-open one back.
	if (table->charges.alone)
		atomic_store_explicit(&flow->account.flags, 0, memory_order_release);
	else
		flags = atomic_exchange_explicit(&flow->account.flags, 0, memory_order_acq_rel);
	flow_charge_add(&table->charges, flow, flags & FLOW_HALF_OPEN, -1);
	atomic_thread_fence(memory_order_release);
}

static inline void flow_list_add(struct flow_table *table, struct flow_ended *list, uint32_t number)
{
	table->flows[number].direction[FLOW_REPLY].free = list->head;
	list->head = number;
	if (!list->tail)
		list->tail = number;
}

// Places of ended connections may be used again when all readers have been quiet, from now on.
void flow_table_give(struct flow_table *table, uint32_t worker, struct flow_ended list);

static inline void flow_set_flags(struct flow *flow, uint8_t flags)
{
	atomic_store_explicit(&flow->account.flags, flags, memory_order_release);
}

// place.c. False: errno.
bool flow_places_open(struct flow_table *table);
void flow_places_close(struct flow_table *table);
// Takes back a place; nobody has seen what was in it.
void flow_place_return(struct flow_table *table, uint32_t worker, uint32_t number);
// Are many more numbers the worker's than connections are live?
bool flow_places_many(const struct flow_table *table, uint32_t worker);
// Sorts some of the free numbers by their blocks, and gives back blocks that are wholly free.
// Returns how many there were.
uint32_t flow_places_sort(struct flow_table *table, uint32_t worker);

// Gives memory that nobody uses back to the kernel. On the thread of the table's memory.
void flow_table_release(void *context);
void flow_places_release(struct flow_table *table, uint32_t span);
uint32_t flow_places_spans(const struct flow_table *table);

// Bytes of the buckets with the groups up to this number.
static inline size_t flow_table_row_end(uint32_t row)
{
	return FLOW_TABLE_HEADER +
	       (size_t)(row + 1) * FLOW_SHARDS * FLOW_GROUP_BUCKETS * sizeof(struct flow_bucket);
}

static inline uint32_t flow_own_shards(const struct flow_table *table, uint32_t worker)
{
	return (FLOW_SHARDS - worker + table->workers - 1) / table->workers;
}

static inline void flow_extent_set(struct flow_table *table, uint32_t shard, uint32_t groups,
				   uint32_t mask)
{
	atomic_store_explicit(&table->extents[shard], (uint64_t)mask << 32 | groups,
			      memory_order_release);
	// Who sees anything that is written from now on sees the number of groups, too.
	atomic_thread_fence(memory_order_release);
}

static inline void flow_group_prefetch(const struct flow_table *table, uint32_t shard,
				       uint32_t group)
{
	const struct flow_bucket *buckets = flow_table_group(table, shard, group);

	for (unsigned int b = 0; b < FLOW_GROUP_BUCKETS; b++)
		flow_prefetch_write(&buckets[b]);
}

// grow.c
void flow_table_grow_open(struct flow_table *table, uint32_t worker);
void flow_table_grow(struct flow_table *table, uint32_t worker);
void flow_table_grow_threshold(struct flow_table *table, uint32_t worker);
// May groups be split (or merged) now? Between both all readers must have passed: so a reader that
// sees the same number of groups before and after it has looked can be sure that it was so between.
bool flow_table_turn(struct flow_table *table, struct flow_table_worker *own, bool merge);
// A shard begins with so many groups.
static inline uint32_t flow_rows_first(const struct flow_table *table)
{
	return table->rows_max < 4 ? table->rows_max : 4;
}
