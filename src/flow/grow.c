// More groups, one by one, as a worker's connections become more (linear hashing). In a round each
// group is split in two, by one more bit of the hash; so between rounds all groups are equally
// full. A split takes about a microsecond, and twelve connections come in between: no packet waits
// for more.

#include "flow/table_private.h"

// Keys a group at which a round begins. It ends when another 24 a group have come: then the groups
// that are split last have 64 on average, and more than 128 once in 10^12 times.
#define GROW_KEYS 40

// A split and what brings its buckets near take turns, one with each sixth new connection.
#define GROW_PAUSE 5

void flow_table_grow_threshold(struct flow_table *table, uint32_t worker)
{
	struct flow_table_worker *own = &table->worker[worker];

	own->grow_at = own->rows < table->rows_max
			       ? (uint64_t)GROW_KEYS * own->rows * flow_own_shards(table, worker)
			       : UINT64_MAX;
}

bool flow_table_turn(struct flow_table *table, struct flow_table_worker *own, bool merge)
{
	if (own->merged == merge) {
		own->turning = false;
		return true;
	}
	if (!own->turning) {
		own->turning = true;
		own->turn_token = rte_rcu_qsbr_start(table->readers);
		return false;
	}
	if (rte_rcu_qsbr_check(table->readers, own->turn_token, false) != 1)
		return false;
	own->turning = false;
	own->merged = merge;
	own->near = false;
	return true;
}

void flow_table_grow_open(struct flow_table *table, uint32_t worker)
{
	struct flow_table_worker *own = &table->worker[worker];

	if (worker >= FLOW_SHARDS)
		return;
	own->rows = flow_rows_first(table);
	own->groups = own->rows * flow_own_shards(table, worker);
	own->grow_shard = worker;
	own->grow_row = own->rows;
	own->grow_pause = GROW_PAUSE;
	atomic_store(&own->rows_used, own->rows);
	for (uint32_t shard = worker; shard < FLOW_SHARDS; shard += table->workers)
		flow_extent_set(table, shard, own->rows, own->rows - 1);
	flow_table_grow_threshold(table, worker);
}

// The slots whose hashes have this bit set.
static uint32_t slots_with(const struct flow_bucket *bucket, uint32_t bit)
{
	uint32_t slots = 0;

	if (bit < FLOW_PLANE_FIRST + FLOW_PLANES)
		return bucket->planes[bit - FLOW_PLANE_FIRST];
	for (unsigned int i = 0; i < FLOW_BUCKET_SLOTS; i++)
		slots |= (bucket->signatures[i] >> (bit - FLOW_PLANE_FIRST - FLOW_PLANES) & 1u)
			 << i;
	return slots;
}

// A key that is not in its own bucket is counted there, and moves without having its own bucket
// said: few groups have any. Counts those of the keys that move, by their own buckets.
static void count_overflow(const struct flow_table *table, const struct flow_bucket *source,
			   const uint8_t *moved, uint8_t *beyond)
{
	for (unsigned int b = 0; b < FLOW_GROUP_BUCKETS; b++)
		for (uint32_t slots = moved[b]; slots; slots &= slots - 1) {
			flow_reference reference = atomic_load_explicit(
				&source[b].references[__builtin_ctz(slots)], memory_order_relaxed);
			const struct flow_key *key =
				&flow_table_get(table, reference)->direction[reference & 1].key;
			uint32_t home = flow_hash_place(flow_hash(&table->secret, key));

			if (home != b)
				beyond[home]++;
		}
}

// Where readers look next is filled first; then they are told; then the keys that have moved leave
// their old places. Who looks there all the same, a moment late, finds nothing, and sees then that
// there is one group more.
static void split(struct flow_table *table, uint32_t shard, uint32_t from, uint32_t to,
		  uint32_t bit)
{
	struct flow_bucket *source = flow_table_group(table, shard, from);
	struct flow_bucket *target = flow_table_group(table, shard, to);
	uint8_t moved[FLOW_GROUP_BUCKETS], beyond[FLOW_GROUP_BUCKETS] = {0}, overflow = 0;

	for (unsigned int b = 0; b < FLOW_GROUP_BUCKETS; b++) {
		moved[b] = (uint8_t)(slots_with(&source[b], bit) & ~bucket_slots(&source[b], 0));
		overflow |= atomic_load_explicit(&source[b].overflow, memory_order_relaxed);
	}
	if (overflow)
		count_overflow(table, source, moved, beyond);
	for (unsigned int b = 0; b < FLOW_GROUP_BUCKETS; b++) {
		memcpy(target[b].signatures, source[b].signatures, sizeof(target[b].signatures));
		memcpy(target[b].due, source[b].due, sizeof(target[b].due));
		memcpy(target[b].planes, source[b].planes, sizeof(target[b].planes));
		target[b].originals = source[b].originals & moved[b];
		atomic_store_explicit(&target[b].overflow, beyond[b], memory_order_relaxed);
		for (uint32_t slots = moved[b]; slots; slots &= slots - 1) {
			unsigned int i = (unsigned int)__builtin_ctz(slots);

			atomic_store_explicit(&target[b].references[i],
					      atomic_load_explicit(&source[b].references[i],
								   memory_order_relaxed),
					      memory_order_release);
		}
	}
	flow_extent_set(table, shard, to + 1, (2u << bit) - 1);
	for (unsigned int b = 0; b < FLOW_GROUP_BUCKETS; b++) {
		for (uint32_t slots = moved[b]; slots; slots &= slots - 1)
			bucket_clear(&source[b], (uint32_t)__builtin_ctz(slots));
		if (beyond[b])
			bucket_overflow_add(&source[b], -beyond[b]);
	}
}

// The row's memory will be used. False: it is being given back just now.
static bool use_row(struct flow_table *table, struct flow_table_worker *own)
{
	if (atomic_load_explicit(&own->rows_used, memory_order_relaxed) <= own->grow_row)
		atomic_store(&own->rows_used, own->grow_row + 1);
	if (own->grow_row >= atomic_load(&table->rows_limit))
		return false;
	flow_memory_use(&table->memory, FLOW_MEMORY_BUCKETS, flow_table_row_end(own->grow_row - 1),
			flow_table_row_end(own->grow_row));
	return true;
}

void flow_table_grow(struct flow_table *table, uint32_t worker)
{
	struct flow_table_worker *own = &table->worker[worker];
	uint32_t from = own->grow_row - own->rows;

	if (own->grow_pause > 0) {
		own->grow_pause--;
		return;
	}
	if (!flow_table_turn(table, own, false))
		return;
	own->grow_begun = true;
	if (!own->near) {
		if (!use_row(table, own))
			return;
		own->near = true;
		own->grow_pause = GROW_PAUSE;
		flow_group_prefetch(table, own->grow_shard, from);
		flow_group_prefetch(table, own->grow_shard, own->grow_row);
		return;
	}
	own->near = false;
	own->grow_pause = GROW_PAUSE;
	split(table, own->grow_shard, from, own->grow_row, (uint32_t)__builtin_ctz(own->rows));
	own->groups++;
	own->grow_shard += table->workers;
	if (own->grow_shard < FLOW_SHARDS)
		return;
	own->grow_shard = worker;
	if (++own->grow_row < own->rows * 2)
		return;
	own->rows *= 2;
	own->grow_begun = false;
	flow_table_grow_threshold(table, worker);
}
