// What was taken for many connections is given back when few have been left for a while: groups are
// merged, in the opposite order in which they were split (grow.c), free numbers are sorted
// (place.c), and the memory of what is not used goes back to the kernel. A turn of a worker's loop
// does a little of it, which is bounded: a merge or the prefetches for one, and some numbers.

#include <unistd.h>

#include "flow/table_private.h"

// Keys a group: few that begin it, and not few any more. Growing begins at more than both.
#define FEW_KEYS   8
#define FEWER_KEYS 16

// For so many seconds there have to be few: memory that comes and goes costs more than it helps.
#define PATIENCE 10

// Of so many the memory is given back together: 1 MiB.
#define ASK_ROWS 16

// Groups that few connections leave: 4 MiB.
#define SPARE_ROWS 64

// The keys of the last group enter the one that it was split from; then readers are told; then it
// is emptied. Who looks there a moment late sees then that there is one group less. False: there is
// no room for all of them.
static bool merge(struct flow_table *table, uint32_t shard, uint32_t from, uint32_t to,
		  uint32_t mask)
{
	struct flow_bucket *source = flow_table_group(table, shard, from);
	struct flow_bucket *target = flow_table_group(table, shard, to);
	unsigned int keys = 0;
	bool overflow = false;

	for (unsigned int b = 0; b < FLOW_GROUP_BUCKETS; b++) {
		keys += 2 * FLOW_BUCKET_SLOTS -
			(unsigned int)__builtin_popcount(bucket_slots(&source[b], 0)) -
			(unsigned int)__builtin_popcount(bucket_slots(&target[b], 0));
		overflow |= atomic_load_explicit(&source[b].overflow, memory_order_relaxed) != 0;
	}
	if (keys > FLOW_GROUP_SLOTS)
		return false;
	for (unsigned int b = 0; b < FLOW_GROUP_BUCKETS; b++) {
		uint32_t slots = ~bucket_slots(&source[b], 0) & 0xff;

		for (; slots; slots &= slots - 1) {
			unsigned int i = (unsigned int)__builtin_ctz(slots);
			flow_reference reference = atomic_load_explicit(&source[b].references[i],
									memory_order_relaxed);
			struct flow_hash hash = {.signature = source[b].signatures[i]};
			uint32_t home = b;

			// What the buckets have of the hash is enough, unless a key is in another
			// one than its own.
			for (unsigned int plane = 0; plane < FLOW_PLANES; plane++)
				hash.bucket |= (uint32_t)(source[b].planes[plane] >> i & 1)
					       << (FLOW_PLANE_FIRST + plane);
			if (unlikely(overflow))
				home = flow_hash_place(flow_hash(&table->secret,
								 &flow_table_get(table, reference)
									  ->direction[reference & 1]
									  .key));
			group_enter(&target[home], hash, reference, source[b].due[i]);
		}
	}
	flow_extent_set(table, shard, from, mask);
	for (unsigned int b = 0; b < FLOW_GROUP_BUCKETS; b++) {
		for (unsigned int i = 0; i < FLOW_BUCKET_SLOTS; i++)
			atomic_store_explicit(&source[b].references[i], 0, memory_order_release);
		source[b].originals = 0;
		atomic_store_explicit(&source[b].overflow, 0, memory_order_relaxed);
	}
	return true;
}

// False: nothing is left to merge, or can't be just now.
static bool merge_next(struct flow_table *table, uint32_t worker)
{
	struct flow_table_worker *own = &table->worker[worker];
	uint32_t row = own->grow_row, shard = own->grow_shard, rows = own->rows;

	if (!flow_table_turn(table, own, true))
		return false;
	if (row == rows && shard == worker) {
		if (rows <= flow_rows_first(table))
			return false;
		// A round begins from its end.
		rows /= 2;
	}
	own->grow_begun = false;
	if (shard != worker) {
		shard -= table->workers;
	} else {
		shard = worker + (flow_own_shards(table, worker) - 1) * table->workers;
		row--;
	}
	own->near = !own->near;
	if (own->near) {
		flow_group_prefetch(table, shard, row);
		flow_group_prefetch(table, shard, row - rows);
		return true;
	}
	if (!merge(table, shard, row, row - rows, rows * 2 - 1))
		return false;
	own->groups--;
	own->rows = rows;
	own->grow_row = row;
	own->grow_shard = shard;
	flow_table_grow_threshold(table, worker);
	if (shard == worker) {
		atomic_store(&own->rows_used, row);
		if (row % ASK_ROWS == 0 || row == flow_rows_first(table))
			flow_memory_ask(&table->memory);
	}
	return true;
}

uint32_t flow_table_shrink(struct flow_table *table, uint32_t worker, uint32_t now)
{
	struct flow_table_worker *own = &table->worker[worker];
	uint32_t most = own->shrinking ? FEWER_KEYS : FEW_KEYS, done = 0;
	bool groups =
		own->grow_row > flow_rows_first(table) && own->keys < (uint64_t)most * own->groups;
	bool places = flow_places_many(table, worker);

	// When many come, no split has to wait.
	if (!groups && own->merged)
		flow_table_turn(table, own, false);
	if (likely(!groups && !places)) {
		own->few = own->shrinking = false;
		return 0;
	}
	if (!own->few) {
		own->few = true;
		own->few_since = now;
	}
	if (now - own->few_since < PATIENCE)
		return 0;
	own->shrinking = true;
	if (groups)
		done += merge_next(table, worker);
	if (places)
		done += flow_places_sort(table, worker);
	return done;
}

// ---- on the thread of the memory

// False: the memory is about to be closed.
static bool wait_for_readers(struct flow_table *table)
{
	uint64_t token = rte_rcu_qsbr_start(table->readers);

	while (rte_rcu_qsbr_check(table->readers, token, false) != 1) {
		if (atomic_load(&table->memory.stop))
			return false;
		usleep(200);
	}
	return true;
}

static uint32_t rows_used(const struct flow_table *table)
{
	uint32_t rows = 0;

	for (uint32_t i = 0; i < table->workers; i++) {
		uint32_t used = atomic_load(&table->worker[i].rows_used);

		if (used > rows)
			rows = used;
	}
	return rows;
}

// Groups that no worker has any more, but for as many again: growing meets no limit while their
// memory goes.
static void release_rows(struct flow_table *table)
{
	uint32_t used = rows_used(table), rows = used > SPARE_ROWS ? 2 * used : used + SPARE_ROWS;
	size_t step = FLOW_MEMORY_STEP, start, end = flow_table_row_end(table->rows_max - 1);

	if (rows >= table->rows_max)
		return;
	start = (flow_table_row_end(rows) + step - 1) / step * step;
	if (!flow_memory_there(&table->memory, FLOW_MEMORY_BUCKETS, start, end))
		return;
	// Who makes groups says so before looking at the limit: one of both sees the other.
	atomic_store(&table->rows_limit, rows);
	if (rows_used(table) <= rows)
		flow_memory_release(&table->memory, FLOW_MEMORY_BUCKETS, start, end);
	atomic_store(&table->rows_limit, table->rows_max);
}

void flow_table_release(void *context)
{
	struct flow_table *table = context;

	// Who still looks where groups and connections were would have memory brought in.
	if (!wait_for_readers(table))
		return;
	release_rows(table);
	for (uint32_t span = flow_places_spans(table) - 1; span > 0; span--)
		flow_places_release(table, span);
}
