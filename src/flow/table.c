#include "flow/table.h"

#include <stdlib.h>

#include "base/pages.h"
#include "flow/keep.h"
#include "flow/table_private.h"

_Static_assert(sizeof(struct flow_file_header) <= FLOW_TABLE_HEADER, "one page");

// Groups of a shard, for all keys: a power of two, and at most half of the slots are used.
static uint32_t rows_for(uint32_t max)
{
	uint32_t rows = 1;

	while ((uint64_t)rows * FLOW_SHARDS * FLOW_GROUP_SLOTS < (uint64_t)max * 2 * 2)
		rows *= 2;
	return rows;
}

int flow_table_open(uint32_t max, uint32_t workers, struct rte_rcu_qsbr *readers,
		    struct flow_keep *keep, struct flow_table **result, struct error *err)
{
	struct flow_table *table;
	struct flow_file_header *header;
	size_t sizes[FLOW_MEMORY_PARTS];
	void *memory = NULL;

	if (max < 1 || max > (1u << 30))
		return error_set(err, "connections: %u is not between 1 and %u", max, 1u << 30);
	if (posix_memalign(&memory, 128, sizeof(*table)) != 0)
		return error_set(err, "no memory for the connection table");
	table = memory;
	memset(table, 0, sizeof(*table));
	table->max = max;
	table->workers = workers;
	table->readers = readers;
	table->rows_max = rows_for(max);
	table->memory.event_fd = -1;
	atomic_store(&table->rows_limit, table->rows_max);
	table->memory.tidy = flow_table_release;
	table->memory.context = table;
	table->charges.alone = workers == 1;
	table->charges.list = pages_get(FLOW_CHARGES * sizeof(*table->charges.list));
	if (!table->charges.list || !flow_places_open(table)) {
		flow_table_close(table);
		return error_set(err, "no memory for the connection table");
	}
	sizes[FLOW_MEMORY_BUCKETS] = flow_table_row_end(table->rows_max - 1);
	sizes[FLOW_MEMORY_FLOWS] = ((size_t)max + 1) * sizeof(struct flow);
	if (!flow_memory_open(&table->memory, sizes, keep)) {
		error_errno(err, "no memory for a table of %u connections (%zu MiB)", max,
			    table->memory.size >> 20);
		flow_table_close(table);
		return -1;
	}
	header = (void *)table->memory.parts[FLOW_MEMORY_BUCKETS].start;
	header->max = max;
	header->rows_max = table->rows_max;
	header->size = table->memory.size;
	header->flows_at =
		(uint64_t)(table->memory.parts[FLOW_MEMORY_FLOWS].start - table->memory.start);
	if (!flow_keep_header(keep, header)) {
		error_errno(err, "no random numbers");
		flow_table_close(table);
		return -1;
	}
	table->secret = header->secret;
	table->id = header->id;
	table->clock = header->clock;
	table->extents = header->extents;
	table->buckets = (void *)((char *)header + FLOW_TABLE_HEADER);
	table->flows = (void *)table->memory.parts[FLOW_MEMORY_FLOWS].start;
	for (uint32_t i = 0; i < workers; i++) {
		table->worker[i].age_shard = i;
		table->worker[i].shards = flow_own_shards(table, i);
		flow_table_grow_open(table, i);
	}
	*result = table;
	return 0;
}

// Keys are about this many a group while a table grows.
#define KEYS_OF_GROUP 32

void flow_table_prepare(struct flow_table *table, uint64_t connections)
{
	uint64_t rows = connections * 2 / (FLOW_SHARDS * KEYS_OF_GROUP) + 1;
	// Each worker begins a block.
	uint64_t places = connections + ((uint64_t)table->workers << table->block_shift);

	if (rows > table->rows_max)
		rows = table->rows_max;
	if (places > table->max)
		places = table->max;
	flow_memory_prepare(&table->memory, FLOW_MEMORY_BUCKETS,
			    flow_table_row_end((uint32_t)rows - 1));
	flow_memory_prepare(&table->memory, FLOW_MEMORY_FLOWS,
			    (size_t)(places + 1) * sizeof(struct flow));
}

void flow_table_close(struct flow_table *table)
{
	flow_memory_close(&table->memory);
	flow_places_close(table);
	pages_free(table->charges.list, FLOW_CHARGES * sizeof(*table->charges.list));
	free(table);
}

flow_reference flow_table_candidate_beyond(const struct flow_table *table,
					   const struct flow_bucket *home, uint16_t signature)
{
	flow_reference reference = 0;

	for (unsigned int probe = 1; !reference && probe < FLOW_GROUP_BUCKETS; probe++)
		reference = flow_bucket_candidate(table, flow_table_probe(home, probe), signature);
	return reference;
}

static flow_reference find_in(const struct flow_table *table, const struct flow_bucket *home,
			      const struct flow_key *key, uint16_t signature)
{
	for (unsigned int probe = 0; probe < FLOW_GROUP_BUCKETS; probe++) {
		const struct flow_bucket *bucket = flow_table_probe(home, probe);

		for (uint32_t match = flow_bucket_match(bucket, signature); match;
		     match &= match - 1) {
			flow_reference reference = atomic_load_explicit(
				&bucket->references[__builtin_ctz(match)], memory_order_acquire);

			if (reference && flow_table_matches(table, reference, key))
				return reference;
		}
		if (atomic_load_explicit(&home->overflow, memory_order_relaxed) == 0)
			break;
	}
	return 0;
}

flow_reference flow_table_find(const struct flow_table *table, const struct flow_key *key,
			       struct flow_hash hash)
{
	const struct flow_bucket *home = flow_table_bucket(table, hash), *before;
	flow_reference reference;

	do {
		reference = find_in(table, home, key, hash.signature);
		if (reference)
			return reference;
		// Its group may have been split, and the key have left before this came by.
		atomic_thread_fence(memory_order_acquire);
		before = home;
		home = flow_table_bucket(table, hash);
	} while (unlikely(home != before));
	return 0;
}

static void give_one(struct flow_table *table, uint32_t worker, uint32_t number)
{
	struct flow_ended list = {.head = 0};

	flow_list_add(table, &list, number);
	flow_table_give(table, worker, list);
}

// ---- connections

flow_reference flow_table_enter(struct flow_table *table, uint32_t worker, struct flow *flow,
				struct flow_hash hash, struct flow_hash reply, uint32_t now)
{
	struct flow_table_worker *own = &table->worker[worker];
	uint32_t number = (uint32_t)(flow - table->flows);
	flow_reference reference = number << 1;
	const struct flow_direction *direction = flow->direction;
	bool one_way = flow_has(&flow->account, FLOW_ONE_WAY);
	bool apart = one_way || direction[0].key.network != direction[1].key.network;
	bool half_open = flow_state_is_half_open(flow_state_get(&flow->account));

	flow->account.created = flow->account.last_seen = now;
	flow_set_flags(flow, FLOW_LIVE | (flow->account.flags & (FLOW_ONE_WAY | FLOW_MAPPED)) |
				     (apart ? FLOW_NETWORK_APART : 0) |
				     (half_open ? FLOW_HALF_OPEN : 0));
	flow_charge_add(&table->charges, flow, half_open, 1);
	if (unlikely(!group_enter(flow_table_bucket(table, hash), hash, reference,
				  flow_due_time(own, flow, now)))) {
		flow_charge_add(&table->charges, flow, half_open, -1);
		flow_place_return(table, worker, number);
		return 0;
	}
	if (!one_way && unlikely(!group_enter(flow_table_bucket(table, reply), reply,
					      reference | FLOW_REPLY, 0))) {
		group_leave(flow_table_bucket(table, hash), reference);
		flow_charge_add(&table->charges, flow, half_open, -1);
		flow_set_flags(flow, 0);
		atomic_thread_fence(memory_order_release);
		give_one(table, worker, number);
		return 0;
	}
	own->created++;
	own->keys += one_way ? 1 : 2;
	if (unlikely(own->grow_begun || own->keys > own->grow_at))
		flow_table_grow(table, worker);
	return reference;
}

flow_reference flow_table_insert(struct flow_table *table, uint32_t worker, const struct flow *flow,
				 uint32_t now)
{
	struct flow *place = flow_table_place(table, worker);

	if (!place)
		return 0;
	memcpy(place, flow, sizeof(*place));
	return flow_table_enter(table, worker, place,
				flow_hash(&table->secret, &flow->direction[FLOW_ORIGINAL].key),
				flow_hash(&table->secret, &flow->direction[FLOW_REPLY].key), now);
}

void flow_table_remove(struct flow_table *table, uint32_t worker, flow_reference reference)
{
	struct flow *flow = flow_table_get(table, reference);
	struct flow_hash hash = flow_hash(&table->secret, &flow->direction[FLOW_ORIGINAL].key);

	reference &= ~1u;
	if (unlikely(flow_has(&flow->account, FLOW_OFFLOADED)))
		table->keeper.end(table->keeper.context, worker, reference);
	if (unlikely(flow_has(&flow->account, FLOW_MAPPED)))
		table->mapped.end(table->mapped.context, flow);
	group_leave(flow_table_bucket(table, hash), reference);
	if (!flow_has(&flow->account, FLOW_ONE_WAY)) {
		hash = flow_hash(&table->secret, &flow->direction[FLOW_REPLY].key);
		group_leave(flow_table_bucket(table, hash), reference | FLOW_REPLY);
	}
	flow_table_end_flow(table, worker, flow);
	// Who has found it before, as for the next packet of a burst, has to look again.
	for (unsigned int i = 0; i < 2; i++)
		atomic_store_explicit(&flow->direction[i].generation, 0, memory_order_release);
	give_one(table, worker, reference >> 1);
}

uint64_t flow_table_count(const struct flow_table *table)
{
	uint64_t created = 0, removed = 0;

	for (uint32_t i = 0; i < table->workers; i++) {
		removed += table->worker[i].removed;
		created += table->worker[i].created;
	}
	return created > removed ? created - removed : 0;
}

bool flow_table_read(const struct flow_table *table, uint32_t number, struct flow *copy)
{
	const struct flow *flow = &table->flows[number];
	bool live;

	if (!flow_place_used(table, number))
		return false;
	live = flow_has(&flow->account, FLOW_LIVE);
	atomic_thread_fence(memory_order_acquire);
	*copy = *flow;
	if (!live)
		return false;
	flow_table_account(table, number << 1, &copy->account);
	// It may have ended meanwhile, and the copy be of something else.
	atomic_thread_fence(memory_order_acquire);
	return flow_has(&flow->account, FLOW_LIVE);
}

void flow_table_visit(const struct flow_table *table, uint32_t *position, uint32_t limit,
		      bool (*visit)(const struct flow *flow, void *context), void *context)
{
	uint32_t end = flow_table_end(table);
	uint32_t number = *position ? *position : 1;
	uint64_t places = (uint64_t)limit * 64;

	for (; number < end && limit > 0 && places > 0; number++) {
		struct flow copy;

		places--;
		if (!flow_table_read(table, number, &copy))
			continue;
		limit--;
		if (!visit(&copy, context)) {
			number++;
			break;
		}
	}
	*position = number < end ? number : 0;
}
