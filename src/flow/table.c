#include "flow/table.h"

#include <linux/memfd.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "flow/state.h"

// Buckets that are searched from a key's own on. With half of the slots in use one in fifty buckets
// overflows.
#define PROBE_BUCKETS 8

// Ageing looks at a connection at least this often in seconds, however long it may be idle.
#define AGE_LOOK 16

// Never used connections that a worker takes at a time.
#define FRESH_STEP 64

// What the memory file starts with.
struct flow_file_header {
	char magic[8];
	uint32_t layout;
	uint32_t max;
	uint32_t shard_buckets;
	uint32_t spare;
	struct flow_hash_secret secret;
};

#define PAGE_HUGE (2u << 20)

static size_t round_up(size_t size, size_t unit)
{
	return (size + unit - 1) / unit * unit;
}

static int map_memory(struct flow_table *table, size_t size, struct error *err)
{
	static const unsigned int kinds[] = {MFD_HUGETLB, 0};

	table->memory_size = round_up(size, PAGE_HUGE);
	for (unsigned int i = 0; i < 2; i++) {
		int fd = memfd_create("sluice-flows", MFD_CLOEXEC | kinds[i]);

		if (fd < 0)
			continue;
		if (ftruncate(fd, (off_t)table->memory_size) == 0)
			table->memory = mmap(NULL, table->memory_size, PROT_READ | PROT_WRITE,
					     MAP_SHARED, fd, 0);
		else
			table->memory = MAP_FAILED;
		close(fd);
		if (table->memory != MAP_FAILED) {
			table->huge = kinds[i] == MFD_HUGETLB;
			if (!table->huge)
				madvise(table->memory, table->memory_size, MADV_HUGEPAGE);
			return 0;
		}
	}
	table->memory = NULL;
	return error_errno(err, "no memory for a table of %u connections (%zu MiB)", table->max,
			   table->memory_size >> 20);
}

int flow_table_open(uint32_t max, uint32_t workers, struct rte_rcu_qsbr *readers,
		    struct flow_table **result, struct error *err)
{
	struct flow_table *table;
	struct flow_file_header *header;
	size_t header_size, buckets_size;
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
	// Two keys a connection, and half of the slots empty.
	table->shard_buckets = max / (FLOW_SHARDS * FLOW_BUCKET_SLOTS / 4) + 2;
	table->fresh_step = FRESH_STEP;
	if (max / workers < FRESH_STEP * 8)
		table->fresh_step = 1;
	header_size = round_up(sizeof(*header), 64);
	buckets_size = (size_t)FLOW_SHARDS * table->shard_buckets * sizeof(struct flow_bucket);
	if (map_memory(table, header_size + buckets_size + ((size_t)max + 1) * sizeof(struct flow),
		       err) < 0) {
		free(table);
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
	header = table->memory;
	memcpy(header->magic, "sluicefl", sizeof(header->magic));
	header->layout = FLOW_TABLE_LAYOUT;
	header->max = max;
	header->shard_buckets = table->shard_buckets;
	header->secret = table->secret;
	table->buckets = (struct flow_bucket *)((char *)table->memory + header_size);
	table->flows = (struct flow *)((char *)table->buckets + buckets_size);
	atomic_store(&table->fresh, 1); // number 0 means none
	for (uint32_t i = 0; i < workers; i++)
		table->worker[i].age_shard = i;
	*result = table;
	return 0;
}

void flow_table_close(struct flow_table *table)
{
	if (table->memory)
		munmap(table->memory, table->memory_size);
	free(table);
}

flow_reference flow_table_find(const struct flow_table *table, const struct flow_key *key,
			       struct flow_hash hash)
{
	const struct flow_bucket *home = flow_table_bucket(table, hash), *bucket = home;
	const struct flow_bucket *first = &table->buckets[hash.shard * table->shard_buckets];

	for (unsigned int probe = 0; probe < PROBE_BUCKETS; probe++) {
		for (uint32_t match = flow_bucket_match(bucket, hash.signature); match;
		     match &= match - 1) {
			flow_reference reference = atomic_load_explicit(
				&bucket->references[__builtin_ctz(match)], memory_order_acquire);

			if (reference && flow_table_matches(table, reference, key))
				return reference;
		}
		if (atomic_load_explicit(&home->overflow, memory_order_relaxed) == 0)
			break;
		if (++bucket == first + table->shard_buckets)
			bucket = first;
	}
	return 0;
}

static bool enter_key(struct flow_table *table, const struct flow_key *key,
		      flow_reference reference, uint8_t due)
{
	struct flow_hash hash = flow_hash(&table->secret, key);
	struct flow_bucket *home = flow_table_bucket(table, hash), *bucket = home;
	struct flow_bucket *first = &table->buckets[hash.shard * table->shard_buckets];

	for (unsigned int probe = 0; probe < PROBE_BUCKETS && probe < table->shard_buckets;
	     probe++) {
		for (unsigned int i = 0; i < FLOW_BUCKET_SLOTS; i++) {
			if (atomic_load_explicit(&bucket->references[i], memory_order_relaxed))
				continue;
			bucket->signatures[i] = hash.signature;
			bucket->due[i] = due;
			if (bucket != home)
				atomic_fetch_add_explicit(&home->overflow, 1, memory_order_relaxed);
			atomic_store_explicit(&bucket->references[i], reference,
					      memory_order_release);
			return true;
		}
		if (++bucket == first + table->shard_buckets)
			bucket = first;
	}
	return false;
}

static void leave_key(struct flow_table *table, const struct flow_key *key,
		      flow_reference reference)
{
	struct flow_hash hash = flow_hash(&table->secret, key);
	struct flow_bucket *home = flow_table_bucket(table, hash), *bucket = home;
	struct flow_bucket *first = &table->buckets[hash.shard * table->shard_buckets];

	for (unsigned int probe = 0; probe < PROBE_BUCKETS; probe++) {
		for (unsigned int i = 0; i < FLOW_BUCKET_SLOTS; i++) {
			if (atomic_load_explicit(&bucket->references[i], memory_order_relaxed) !=
			    reference)
				continue;
			atomic_store_explicit(&bucket->references[i], 0, memory_order_release);
			if (bucket != home)
				atomic_fetch_sub_explicit(&home->overflow, 1, memory_order_relaxed);
			return;
		}
		if (++bucket == first + table->shard_buckets)
			bucket = first;
	}
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

// A number for a new connection: the oldest that was given back, or a fresh one.
static uint32_t take_number(struct flow_table *table, struct flow_table_worker *own)
{
	uint32_t number = own->free_head;

	if (free_is_ready(table, own)) {
		own->free_head = table->flows[number].direction[FLOW_ORIGINAL].free;
		if (!own->free_head)
			own->free_tail = 0;
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
	}
	return own->fresh++;
}

static void give_number(struct flow_table *table, struct flow_table_worker *own, uint32_t number)
{
	struct flow *flow = &table->flows[number];

	set_flags(flow, 0);
	atomic_thread_fence(memory_order_release);
	flow->direction[FLOW_ORIGINAL].free = 0;
	keep_token(flow, rte_rcu_qsbr_start(table->readers));
	if (own->free_tail)
		table->flows[own->free_tail].direction[FLOW_ORIGINAL].free = number;
	else
		own->free_head = number;
	own->free_tail = number;
}

// The network that counts is the one in which the connection was opened.
static uint32_t end_time(const struct flow_table_worker *own, const struct flow *flow)
{
	enum flow_state state = flow_state_get(&flow->account);
	uint32_t timeout = flow_state_timeout(state), last = flow->account.last_seen;

	if (own->times.by_network) {
		uint16_t network = flow->direction[FLOW_ORIGINAL].key.network;
		const uint32_t *times =
			network < own->times.count ? own->times.by_network[network] : NULL;

		if (times)
			timeout = times[state];
	}
	return last + timeout;
}

static uint8_t due_time(const struct flow_table_worker *own, const struct flow *flow, uint32_t now)
{
	uint32_t end = end_time(own, flow);
	uint32_t wait = (int32_t)(end - now) > 0 ? end - now : 1;

	return (uint8_t)(now + (wait < AGE_LOOK ? wait : AGE_LOOK));
}

flow_reference flow_table_insert(struct flow_table *table, uint32_t worker, const struct flow *flow,
				 uint32_t now)
{
	struct flow_table_worker *own = &table->worker[worker];
	uint32_t number = take_number(table, own);
	flow_reference reference = number << 1;
	struct flow *entry;

	if (!number)
		return 0;
	entry = &table->flows[number];
	memcpy(entry, flow, sizeof(*entry));
	entry->account.created = entry->account.last_seen = now;
	set_flags(entry, flow->account.flags | FLOW_LIVE);
	if (!enter_key(table, &entry->direction[FLOW_ORIGINAL].key, reference,
		       due_time(own, entry, now))) {
		give_number(table, own, number);
		return 0;
	}
	if (!flow_has(&entry->account, FLOW_ONE_WAY) &&
	    !enter_key(table, &entry->direction[FLOW_REPLY].key, reference | FLOW_REPLY, 0)) {
		leave_key(table, &entry->direction[FLOW_ORIGINAL].key, reference);
		give_number(table, own, number);
		return 0;
	}
	own->created++;
	return reference;
}

void flow_table_remove(struct flow_table *table, uint32_t worker, flow_reference reference)
{
	struct flow *flow = flow_table_get(table, reference);
	uint32_t number = reference >> 1;

	if (unlikely(flow_has(&flow->account, FLOW_OFFLOADED)))
		table->keeper.end(table->keeper.context, worker, reference);
	leave_key(table, &flow->direction[FLOW_ORIGINAL].key, number << 1);
	if (!flow_has(&flow->account, FLOW_ONE_WAY))
		leave_key(table, &flow->direction[FLOW_REPLY].key, number << 1 | FLOW_REPLY);
	give_number(table, &table->worker[worker], number);
	table->worker[worker].removed++;
}

static uint32_t age_bucket(struct flow_table *table, uint32_t worker, struct flow_bucket *bucket,
			   uint32_t now)
{
	const struct flow_table_worker *own = &table->worker[worker];
	uint32_t ended = 0;

	for (unsigned int i = 0; i < FLOW_BUCKET_SLOTS; i++) {
		flow_reference reference =
			atomic_load_explicit(&bucket->references[i], memory_order_relaxed);
		const struct flow *flow;

		// One look for both directions; those not due yet are not touched.
		if (!reference || (reference & 1) != FLOW_ORIGINAL ||
		    (int8_t)(bucket->due[i] - (uint8_t)now) > 0)
			continue;
		flow = flow_table_get(table, reference);
		if (unlikely(flow_has(&flow->account, FLOW_OFFLOADED)))
			table->keeper.look(table->keeper.context, worker, reference, now);
		if ((int32_t)(end_time(own, flow) - now) > 0) {
			bucket->due[i] = due_time(own, flow, now);
			continue;
		}
		flow_table_remove(table, worker, reference);
		ended++;
	}
	return ended;
}

uint32_t flow_table_age(struct flow_table *table, uint32_t worker, uint32_t now,
			uint64_t cycles_since_last, uint64_t cycles_per_second, uint32_t limit)
{
	struct flow_table_worker *own = &table->worker[worker];
	uint64_t buckets = (uint64_t)table->shard_buckets * FLOW_SHARDS / table->workers;
	uint32_t ended = 0, steps = 0;

	if (own->created == own->removed || own->age_shard >= FLOW_SHARDS)
		return 0;
	// All of the worker's buckets once a second, in steps as time goes by.
	own->age_credit +=
		cycles_since_last < cycles_per_second ? cycles_since_last : cycles_per_second;
	while (own->age_credit * buckets >= cycles_per_second && steps++ < limit) {
		struct flow_bucket *bucket =
			&table->buckets[own->age_shard * table->shard_buckets + own->age_bucket];

		own->age_credit -= cycles_per_second / buckets < own->age_credit
					   ? cycles_per_second / buckets
					   : own->age_credit;
		rte_prefetch0(bucket + 4);
		ended += age_bucket(table, worker, bucket, now);
		if (++own->age_bucket < table->shard_buckets)
			continue;
		own->age_bucket = 0;
		own->age_shard += table->workers;
		if (own->age_shard >= FLOW_SHARDS)
			own->age_shard = worker;
	}
	if (own->age_credit > cycles_per_second)
		own->age_credit = cycles_per_second;
	return ended;
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
