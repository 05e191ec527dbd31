#include "flow/table.h"

#include <stdlib.h>
#include <sys/random.h>

#include "flow/table_private.h"

// Never used connections that a worker takes at a time.
#define FRESH_STEP 64

// What the memory file starts with.
struct flow_file_header {
	char magic[8];
	uint32_t layout;
	uint32_t max;
	uint32_t rows_max;
	uint32_t spare;
	struct flow_hash_secret secret;
	flow_extent extents[FLOW_SHARDS];
};

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
		    struct flow_table **result, struct error *err)
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
	table->fresh_step = FRESH_STEP;
	if (max / workers < FRESH_STEP * 8)
		table->fresh_step = 1;
	sizes[FLOW_MEMORY_BUCKETS] = FLOW_TABLE_HEADER + (size_t)table->rows_max * FLOW_SHARDS *
								 FLOW_GROUP_BUCKETS *
								 sizeof(struct flow_bucket);
	sizes[FLOW_MEMORY_FLOWS] = ((size_t)max + 1) * sizeof(struct flow);
	if (!flow_memory_open(&table->memory, sizes)) {
		error_errno(err, "no memory for a table of %u connections (%zu MiB)", max,
			    table->memory.size >> 20);
		flow_table_close(table);
		return -1;
	}
	if (getrandom(&table->secret, sizeof(table->secret), 0) != sizeof(table->secret)) {
		error_errno(err, "no random numbers");
		flow_table_close(table);
		return -1;
	}
	for (unsigned int i = 0; i < sizeof(table->secret.words) / sizeof(table->secret.words[0]);
	     i++)
		table->secret.words[i] |= 1;
	header = (void *)table->memory.parts[FLOW_MEMORY_BUCKETS].start;
	memcpy(header->magic, "sluicefl", sizeof(header->magic));
	header->layout = FLOW_TABLE_LAYOUT;
	header->max = max;
	header->rows_max = table->rows_max;
	header->secret = table->secret;
	table->extents = header->extents;
	table->buckets = (void *)((char *)header + FLOW_TABLE_HEADER);
	table->flows = (void *)table->memory.parts[FLOW_MEMORY_FLOWS].start;
	atomic_store(&table->fresh, 1); // number 0 means none
	for (uint32_t i = 0; i < workers; i++) {
		table->worker[i].age_shard = i;
		flow_table_grow_open(table, i);
	}
	*result = table;
	return 0;
}

void flow_table_close(struct flow_table *table)
{
	flow_memory_close(&table->memory);
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

// An ended connection's place keeps the number of the next one to be used again and the token of
// the grace period that ends its use by other workers, where only its owner writes: others may
// still be accounting.
static void keep_token(struct flow *flow, uint64_t token)
{
	flow->direction[FLOW_REPLY].free = (uint32_t)token;
	flow->account.created = (uint32_t)(token >> 32);
}

static uint64_t kept_token(const struct flow *flow)
{
	return (uint64_t)flow->account.created << 32 | flow->direction[FLOW_REPLY].free;
}

static void set_flags(struct flow *flow, uint8_t flags)
{
	atomic_store_explicit(&flow->account.flags, flags, memory_order_release);
}

// Is the oldest number that was given back read by nobody any more?
static bool free_is_ready(const struct flow_table *table, const struct flow_table_worker *own)
{
	return own->free_head &&
	       rte_rcu_qsbr_check(table->readers, kept_token(&table->flows[own->free_head]),
				  false) == 1;
}

bool flow_table_has_room(const struct flow_table *table, uint32_t worker)
{
	const struct flow_table_worker *own = &table->worker[worker];

	return free_is_ready(table, own) || own->fresh != own->fresh_end ||
	       atomic_load_explicit(&table->fresh, memory_order_relaxed) <= table->max;
}

// It will be written as a whole.
static void expect_place(const struct flow_table *table, uint32_t number)
{
	const struct flow *flow = &table->flows[number];

	flow_prefetch_write(&flow->direction[FLOW_ORIGINAL]);
	flow_prefetch_write(&flow->direction[FLOW_REPLY]);
	flow_prefetch_write(&flow->account);
}

// A number for a new connection: the oldest that was given back, or a fresh one.
static uint32_t take_number(struct flow_table *table, struct flow_table_worker *own)
{
	uint32_t number = own->free_head;

	if (free_is_ready(table, own)) {
		own->free_head = table->flows[number].direction[FLOW_ORIGINAL].free;
		if (!own->free_head)
			own->free_tail = 0;
		else
			expect_place(table, own->free_head);
		return number;
	}
	if (own->fresh == own->fresh_end) {
		uint32_t from = atomic_load_explicit(&table->fresh, memory_order_relaxed);

		if (from > table->max)
			return 0;
		from = atomic_fetch_add_explicit(&table->fresh, table->fresh_step,
						 memory_order_relaxed);
		if (from > table->max)
			return 0;
		own->fresh = from;
		own->fresh_end = from + table->fresh_step;
		if (own->fresh_end > table->max + 1)
			own->fresh_end = table->max + 1;
		flow_memory_use(&table->memory, FLOW_MEMORY_FLOWS,
				(size_t)own->fresh_end * sizeof(struct flow));
	}
	return own->fresh++;
}

void flow_table_give(struct flow_table *table, uint32_t worker, uint32_t number, uint64_t token)
{
	struct flow_table_worker *own = &table->worker[worker];
	struct flow *flow = &table->flows[number];

	flow->direction[FLOW_ORIGINAL].free = 0;
	keep_token(flow, token);
	if (own->free_tail)
		table->flows[own->free_tail].direction[FLOW_ORIGINAL].free = number;
	else
		own->free_head = number;
	own->free_tail = number;
}

// Takes back what was not entered, or not all of it.
static void give_up(struct flow_table *table, uint32_t worker, uint32_t number)
{
	set_flags(&table->flows[number], 0);
	atomic_thread_fence(memory_order_release);
	flow_table_give(table, worker, number, rte_rcu_qsbr_start(table->readers));
}

flow_reference flow_table_insert(struct flow_table *table, uint32_t worker, const struct flow *flow,
				 uint32_t now)
{
	struct flow_table_worker *own = &table->worker[worker];
	uint32_t number = take_number(table, own);
	flow_reference reference = number << 1;
	struct flow_hash hash;
	struct flow *entry;
	bool one_way = flow_has(&flow->account, FLOW_ONE_WAY);

	if (!number)
		return 0;
	entry = &table->flows[number];
	memcpy(entry, flow, sizeof(*entry));
	entry->account.created = entry->account.last_seen = now;
	set_flags(entry, flow->account.flags | FLOW_LIVE);
	hash = flow_hash(&table->secret, &flow->direction[FLOW_ORIGINAL].key);
	if (!group_enter(flow_table_bucket(table, hash), hash, reference,
			 flow_due_time(own, entry, now))) {
		give_up(table, worker, number);
		return 0;
	}
	if (!one_way) {
		struct flow_hash back = flow_hash(&table->secret, &flow->direction[FLOW_REPLY].key);

		if (!group_enter(flow_table_bucket(table, back), back, reference | FLOW_REPLY, 0)) {
			group_leave(flow_table_bucket(table, hash), reference);
			give_up(table, worker, number);
			return 0;
		}
	}
	own->created++;
	own->keys += one_way ? 1 : 2;
	if (unlikely(own->grow_begun || own->keys > own->grow_at))
		flow_table_grow(table, worker);
	return reference;
}

void flow_table_unlink(struct flow_table *table, uint32_t worker, uint32_t number)
{
	struct flow_table_worker *own = &table->worker[worker];
	flow_reference reference = number << 1;
	struct flow *flow = &table->flows[number];
	struct flow_hash hash = flow_hash(&table->secret, &flow->direction[FLOW_ORIGINAL].key);

	if (unlikely(flow_has(&flow->account, FLOW_OFFLOADED)))
		table->keeper.end(table->keeper.context, worker, reference);
	group_leave(flow_table_bucket(table, hash), reference);
	own->keys--;
	if (!flow_has(&flow->account, FLOW_ONE_WAY)) {
		hash = flow_hash(&table->secret, &flow->direction[FLOW_REPLY].key);
		group_leave(flow_table_bucket(table, hash), reference | FLOW_REPLY);
		own->keys--;
	}
	set_flags(flow, 0);
	atomic_thread_fence(memory_order_release);
	own->removed++;
}

void flow_table_remove(struct flow_table *table, uint32_t worker, flow_reference reference)
{
	flow_table_unlink(table, worker, reference >> 1);
	flow_table_give(table, worker, reference >> 1, rte_rcu_qsbr_start(table->readers));
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
	bool live = flow_has(&flow->account, FLOW_LIVE);

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
