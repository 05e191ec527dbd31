// Connections end when they have been idle. Each of a worker's groups comes by once a second, in
// steps with each turn of its loop; a bucket says by itself which of its connections are to be
// looked at. Those of several groups are looked at together, so that their cache misses overlap.

#include <rte_cycles.h>

#include "flow/table_private.h"

// Groups between two looks at the clock.
#define STEP_GROUPS 8

// Connections of a step. A group is scanned as long as there is room for all that it may have.
struct age_step {
	uint32_t count;
	flow_reference references[FLOW_AGE_STEP];
	uint8_t *due[FLOW_AGE_STEP]; // in the bucket
	bool home[FLOW_AGE_STEP];    // that bucket is its own for certain
	// Of those that end, by the number of that: the place above, and the reply key's bucket.
	uint32_t ended;
	uint32_t places[FLOW_AGE_STEP];
	struct flow_bucket *replies[FLOW_AGE_STEP];
};

// The slots that are due: no later than `now`, modulo 256.
static inline uint32_t due_slots(const struct flow_bucket *bucket, uint8_t now)
{
#ifdef __SSE2__
	__m128i due = _mm_loadl_epi64((const __m128i *)(const void *)bucket->due);
	__m128i wait = _mm_sub_epi8(due, _mm_set1_epi8((char)now));
	__m128i later = _mm_cmpgt_epi8(wait, _mm_setzero_si128());

	return ~(uint32_t)_mm_movemask_epi8(later) & 0xff;
#else
	uint32_t slots = 0;

	for (unsigned int i = 0; i < FLOW_BUCKET_SLOTS; i++)
		slots |= (uint32_t)((int8_t)(bucket->due[i] - now) <= 0) << i;
	return slots;
#endif
}

static void scan_bucket(const struct flow_table *table, struct flow_bucket *bucket, uint8_t now,
			struct age_step *step)
{
	uint32_t slots = bucket->originals & due_slots(bucket, now);

	for (; slots; slots &= slots - 1) {
		unsigned int i = (unsigned int)__builtin_ctz(slots);
		flow_reference reference =
			atomic_load_explicit(&bucket->references[i], memory_order_relaxed);
		const struct flow *flow = flow_table_get(table, reference);

		rte_prefetch0(&flow->account);
		rte_prefetch0(&flow->direction[FLOW_REPLY]);
		step->references[step->count] = reference;
		step->due[step->count++] = &bucket->due[i];
	}
}

static void scan_group(struct flow_table *table, uint32_t worker, uint8_t now,
		       struct age_step *step)
{
	struct flow_table_worker *own = &table->worker[worker];
	uint32_t shard = own->age_shard, row = own->age_row;
	struct flow_bucket *group = flow_table_group(table, shard, row);
	uint32_t first = step->count;
	uint8_t overflow = 0;

	own->age_shard += table->workers;
	if (own->age_shard >= FLOW_SHARDS) {
		own->age_shard = worker;
		// In a round of splits some shards have a row more than others.
		if (++own->age_row >= own->grow_row + (own->grow_shard != worker))
			own->age_row = 0;
	}
	if (row >= flow_table_groups(table, shard))
		return;
	for (unsigned int b = 0; b < FLOW_GROUP_BUCKETS; b++) {
		// The next group, where this worker has all shards.
		rte_prefetch0(&group[b + FLOW_GROUP_BUCKETS]);
		overflow |= atomic_load_explicit(&group[b].overflow, memory_order_relaxed);
		if (group[b].originals)
			scan_bucket(table, &group[b], now, step);
	}
	for (uint32_t i = first; i < step->count; i++)
		step->home[i] = !overflow;
}

// Says of those that go on when to look at them again; the others end.
static void look(struct flow_table *table, uint32_t worker, uint32_t now, struct age_step *step)
{
	const struct flow_table_worker *own = &table->worker[worker];

	for (uint32_t i = 0; i < step->count; i++) {
		flow_reference reference = step->references[i];
		struct flow *flow = flow_table_get(table, reference);

		if (unlikely(flow_has(&flow->account, FLOW_OFFLOADED)))
			table->keeper.look(table->keeper.context, worker, reference, now);
		if ((int32_t)(flow_end_time(own, flow) - now) > 0) {
			*step->due[i] = flow_due_time(own, flow, now);
			continue;
		}
		step->replies[step->ended] = NULL;
		rte_prefetch0(&flow->direction[FLOW_ORIGINAL]);
		if (!flow_has(&flow->account, FLOW_ONE_WAY)) {
			struct flow_hash hash =
				flow_hash(&table->secret, &flow->direction[FLOW_REPLY].key);

			step->replies[step->ended] = flow_table_bucket(table, hash);
			flow_prefetch_write(step->replies[step->ended]);
		}
		step->places[step->ended++] = i;
	}
}

// The original direction's key, which the scan has found.
static void leave_found(struct flow_table *table, uint8_t *due, bool home, flow_reference reference)
{
	struct flow_bucket *bucket =
		(void *)((uintptr_t)due & ~(uintptr_t)(sizeof(struct flow_bucket) - 1));

	if (likely(home)) {
		bucket_clear(bucket, (uint32_t)(due - bucket->due));
	} else {
		const struct flow_key *key =
			&flow_table_get(table, reference)->direction[FLOW_ORIGINAL].key;

		group_leave(flow_table_bucket(table, flow_hash(&table->secret, key)), reference);
	}
}

static void end(struct flow_table *table, uint32_t worker, const struct age_step *step)
{
	struct flow_ended list = {.head = 0};

	for (uint32_t i = 0; i < step->ended; i++) {
		uint32_t place = step->places[i];
		flow_reference reference = step->references[place];
		struct flow *flow = flow_table_get(table, reference);

		if (unlikely(flow_has(&flow->account, FLOW_OFFLOADED)))
			table->keeper.end(table->keeper.context, worker, reference);
		if (unlikely(flow_has(&flow->account, FLOW_MAPPED)))
			table->mapped.end(table->mapped.context, flow);
		leave_found(table, step->due[place], step->home[place], reference);
		if (step->replies[i])
			group_leave(step->replies[i], reference | FLOW_REPLY);
		flow_table_end_flow(table, worker, flow);
		flow_list_add(table, &list, reference >> 1);
	}
	if (step->ended)
		flow_table_give(table, worker, list);
}

uint32_t flow_table_age(struct flow_table *table, uint32_t worker, uint32_t now,
			uint64_t cycles_since_last, uint64_t cycles_per_second,
			uint64_t cycles_limit)
{
	struct flow_table_worker *own = &table->worker[worker];
	uint64_t start = rte_rdtsc();
	uint32_t ended = 0;

	if (!own->keys)
		return 0;
	// A group for each part of a second, by their number.
	if (cycles_since_last > cycles_per_second)
		cycles_since_last = cycles_per_second;
	own->age_credit += cycles_since_last * own->groups;
	if (own->age_credit > cycles_per_second * own->groups)
		own->age_credit = cycles_per_second * own->groups;
	while (own->age_credit >= cycles_per_second) {
		struct age_step step;

		step.count = step.ended = 0;
		for (unsigned int i = 0;
		     i < STEP_GROUPS && step.count <= FLOW_AGE_STEP - FLOW_GROUP_SLOTS &&
		     own->age_credit >= cycles_per_second;
		     i++) {
			own->age_credit -= cycles_per_second;
			scan_group(table, worker, (uint8_t)now, &step);
		}
		look(table, worker, now, &step);
		end(table, worker, &step);
		ended += step.ended;
		if (rte_rdtsc() - start >= cycles_limit)
			break;
	}
	return ended;
}
