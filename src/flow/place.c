// Where connections lie. A worker has blocks of numbers of its own. A number that was given back
// waits until no reader can have it; those that waited last are taken first, because they are still
// in the cache. Where many more are free than are in use (shrink.c), they are sorted by block
// instead: then numbers come from the lowest block that has any, and blocks that are wholly free go
// back, with their memory.

#include <stdlib.h>

#include "flow/table_private.h"

// A span of numbers has whole steps of memory: 6 MiB. No block is larger.
#define SPAN_SHIFT 15
_Static_assert((sizeof(struct flow) << SPAN_SHIFT) % FLOW_MEMORY_STEP == 0, "whole steps");

// Numbers in blocks that others have are lost to a worker whose own are used up.
#define BLOCKS_OF_WORKER 64

// What is said to the memory at a time.
#define USE_STEP 64

// Workers need numbers while a span's memory goes: 131 072 are left to them.
#define SPANS_LEFT 4

// Numbers sorted in a turn: each is a cache miss.
#define SORT_STEP 16

// flow_block.state
enum {
	BLOCK_FREE,
	BLOCK_TAKEN, // a worker's
	BLOCK_HELD,  // its memory is being given back
};

bool flow_places_open(struct flow_table *table)
{
	uint32_t words;

	while (table->block_shift < SPAN_SHIFT && (uint64_t)BLOCKS_OF_WORKER * table->workers
								  << (table->block_shift + 1) <=
							  table->max)
		table->block_shift++;
	table->block_count = (table->max >> table->block_shift) + 1;
	table->blocks = calloc(table->block_count, sizeof(table->blocks[0]));
	if (!table->blocks)
		return false;
	words = table->block_count / 64 + 1;
	for (uint32_t i = 0; i < table->workers; i++) {
		table->worker[i].open = calloc(words, sizeof(uint64_t));
		if (!table->worker[i].open)
			return false;
		table->worker[i].open_from = words;
	}
	atomic_store(&table->end, 1);
	atomic_store(&table->blocks_free, table->block_count);
	// Number 0 means none, and may be all that the first block has.
	if (table->block_shift == 0) {
		atomic_store(&table->blocks[0].state, BLOCK_TAKEN);
		atomic_store(&table->blocks_free, table->block_count - 1);
	}
	return true;
}

void flow_places_close(struct flow_table *table)
{
	for (uint32_t i = 0; i < FLOW_TABLE_WORKERS_MAX; i++)
		free(table->worker[i].open);
	free(table->blocks);
}

static uint32_t block_first(const struct flow_table *table, uint32_t index)
{
	return index ? index << table->block_shift : 1;
}

static uint32_t block_end(const struct flow_table *table, uint32_t index)
{
	uint64_t end = (uint64_t)(index + 1) << table->block_shift;

	return end <= table->max ? (uint32_t)end : table->max + 1;
}

static void open_set(struct flow_table_worker *own, uint32_t index)
{
	own->open[index / 64] |= UINT64_C(1) << index % 64;
	if (index / 64 < own->open_from)
		own->open_from = index / 64;
}

static void open_clear(struct flow_table_worker *own, uint32_t index)
{
	own->open[index / 64] &= ~(UINT64_C(1) << index % 64);
}

static bool open_has(const struct flow_table_worker *own, uint32_t index)
{
	return own->open[index / 64] >> index % 64 & 1;
}

// The lowest one; there is one.
static uint32_t open_lowest(struct flow_table_worker *own)
{
	while (!own->open[own->open_from])
		own->open_from++;
	return own->open_from * 64 + (uint32_t)__builtin_ctzll(own->open[own->open_from]);
}

// ---- numbers that wait

// Has the oldest list's grace period ended?
static bool ended_is_ready(const struct flow_table *table, const struct flow_table_worker *own)
{
	return own->ended_first != own->ended_end &&
	       rte_rcu_qsbr_check(table->readers,
				  own->ended[own->ended_first % FLOW_ENDED_LISTS].token,
				  false) == 1;
}

static void take_back(struct flow_table *table, struct flow_table_worker *own)
{
	while (ended_is_ready(table, own)) {
		const struct flow_ended *list = &own->ended[own->ended_first++ % FLOW_ENDED_LISTS];

		table->flows[list->tail].direction[FLOW_REPLY].free = own->ready;
		own->ready = list->head;
	}
}

void flow_table_give(struct flow_table *table, uint32_t worker, struct flow_ended list)
{
	struct flow_table_worker *own = &table->worker[worker];
	struct flow_ended *last;

	take_back(table, own);
	list.token = rte_rcu_qsbr_start(table->readers);
	// Readers are slow: the newest list waits for longer.
	if (own->ended_end - own->ended_first == FLOW_ENDED_LISTS) {
		last = &own->ended[(own->ended_end - 1) % FLOW_ENDED_LISTS];
		table->flows[list.tail].direction[FLOW_REPLY].free = last->head;
		list.tail = last->tail;
	} else {
		last = &own->ended[own->ended_end++ % FLOW_ENDED_LISTS];
	}
	*last = list;
}

bool flow_table_has_room(const struct flow_table *table, uint32_t worker)
{
	const struct flow_table_worker *own = &table->worker[worker];

	return own->ready || own->spare || ended_is_ready(table, own) ||
	       atomic_load_explicit(&table->blocks_free, memory_order_relaxed);
}

void flow_place_return(struct flow_table *table, uint32_t worker, uint32_t number)
{
	struct flow_table_worker *own = &table->worker[worker];

	flow_set_flags(&table->flows[number], 0);
	table->flows[number].direction[FLOW_REPLY].free = own->ready;
	own->ready = number;
}

// It will be written as a whole.
static void expect_place(const struct flow_table *table, uint32_t number)
{
	const struct flow *flow = &table->flows[number];

	flow_prefetch_write(&flow->direction[FLOW_REPLY]);
	flow_prefetch_write(&flow->account);
	flow_prefetch_write(&flow->direction[FLOW_ORIGINAL]);
}

// ---- numbers that can be taken at once

static bool block_claim(struct flow_table *table, struct flow_table_worker *own)
{
	uint32_t from = atomic_load_explicit(&table->block_first, memory_order_relaxed);

	if (!atomic_load_explicit(&table->blocks_free, memory_order_relaxed))
		return false;
	for (uint32_t i = 0; i < table->block_count; i++) {
		uint32_t index = (from + i) % table->block_count, state = BLOCK_FREE;
		struct flow_block *block = &table->blocks[index];

		if (!atomic_compare_exchange_strong(&block->state, &state, BLOCK_TAKEN))
			continue;
		atomic_fetch_sub(&table->blocks_free, 1);
		// A hint: another one may have come before this one meanwhile.
		atomic_store_explicit(&table->block_first, index + 1, memory_order_relaxed);
		block->free = block->free_count = 0;
		atomic_store(&block->used, block_first(table, index));
		own->blocks++;
		own->spare += block_end(table, index) - block_first(table, index);
		open_set(own, index);
		return true;
	}
	return false;
}

static void block_give_back(struct flow_table *table, struct flow_table_worker *own, uint32_t index)
{
	struct flow_block *block = &table->blocks[index];

	open_clear(own, index);
	own->spare -= block_end(table, index) - block_first(table, index);
	own->blocks--;
	atomic_store(&block->used, 0);
	atomic_store(&block->state, BLOCK_FREE);
	atomic_fetch_add(&table->blocks_free, 1);
	if (index < atomic_load_explicit(&table->block_first, memory_order_relaxed))
		atomic_store_explicit(&table->block_first, index, memory_order_relaxed);
	flow_memory_ask(&table->memory);
}

// These numbers are used from now on.
static void use(struct flow_table *table, uint32_t from)
{
	uint32_t end = atomic_load_explicit(&table->end, memory_order_relaxed);
	uint32_t to = (from / USE_STEP + 1) * USE_STEP;

	if (to > table->max)
		to = table->max + 1;
	while (end < to &&
	       !atomic_compare_exchange_weak_explicit(&table->end, &end, to, memory_order_relaxed,
						      memory_order_relaxed))
		;
	flow_memory_use(&table->memory, FLOW_MEMORY_FLOWS, (size_t)from * sizeof(struct flow),
			(size_t)to * sizeof(struct flow));
}

// That comes next, most likely.
static uint32_t spare_next(const struct flow_table *table, const struct flow_table_worker *own)
{
	const struct flow_block *block = &table->blocks[own->block];

	return block->free ? block->free : atomic_load_explicit(&block->used, memory_order_relaxed);
}

static uint32_t spare_take(struct flow_table *table, struct flow_table_worker *own)
{
	struct flow_block *block;
	uint32_t number;

	if (!own->spare && !block_claim(table, own))
		return 0;
	if (!open_has(own, own->block))
		own->block = open_lowest(own);
	block = &table->blocks[own->block];
	number = block->free;
	if (number) {
		block->free = table->flows[number].direction[FLOW_REPLY].free;
		block->free_count--;
	} else {
		number = atomic_load_explicit(&block->used, memory_order_relaxed);
		if (number % USE_STEP == 0 || number == block_first(table, own->block))
			use(table, number);
		atomic_store_explicit(&block->used, number + 1, memory_order_release);
	}
	own->spare--;
	if (spare_next(table, own) == block_end(table, own->block))
		open_clear(own, own->block);
	return number;
}

struct flow *flow_table_place(struct flow_table *table, uint32_t worker)
{
	struct flow_table_worker *own = &table->worker[worker];
	uint32_t number = own->ready;

	if (unlikely(!number)) {
		take_back(table, own);
		number = own->ready;
	}
	if (number)
		own->ready = table->flows[number].direction[FLOW_REPLY].free;
	else
		number = spare_take(table, own);
	expect_place(table, own->ready ? own->ready : spare_next(table, own));
	return number ? &table->flows[number] : NULL;
}

// ---- giving back

bool flow_places_many(const struct flow_table *table, uint32_t worker)
{
	const struct flow_table_worker *own = &table->worker[worker];
	uint64_t held = (uint64_t)own->blocks << table->block_shift;

	return own->blocks > 2 && held >= 4 * (own->created - own->removed);
}

uint32_t flow_places_sort(struct flow_table *table, uint32_t worker)
{
	struct flow_table_worker *own = &table->worker[worker];
	uint32_t count = 0;

	if (!own->ready)
		take_back(table, own);
	for (; count < SORT_STEP && own->ready; count++) {
		uint32_t number = own->ready, index = number >> table->block_shift;
		struct flow_block *block = &table->blocks[index];

		own->ready = table->flows[number].direction[FLOW_REPLY].free;
		flow_prefetch_write(&table->flows[own->ready].direction[FLOW_REPLY]);
		table->flows[number].direction[FLOW_REPLY].free = block->free;
		block->free = number;
		block->free_count++;
		own->spare++;
		open_set(own, index);
		if (block->free_count == atomic_load_explicit(&block->used, memory_order_relaxed) -
						 block_first(table, index))
			block_give_back(table, own, index);
	}
	return count;
}

uint32_t flow_places_spans(const struct flow_table *table)
{
	return (table->max >> SPAN_SHIFT) + 1;
}

void flow_places_release(struct flow_table *table, uint32_t span)
{
	uint32_t each = 1u << (SPAN_SHIFT - table->block_shift), from = span * each;
	uint32_t count = table->block_count - from < each ? table->block_count - from : each;
	size_t start = sizeof(struct flow) * ((size_t)span << SPAN_SHIFT);
	size_t end = start + (sizeof(struct flow) << SPAN_SHIFT);
	uint32_t held = 0;

	if (!flow_memory_there(&table->memory, FLOW_MEMORY_FLOWS, start, end) ||
	    atomic_load(&table->blocks_free) < count + SPANS_LEFT * each)
		return;
	for (; held < count; held++) {
		uint32_t state = BLOCK_FREE;

		if (!atomic_compare_exchange_strong(&table->blocks[from + held].state, &state,
						    BLOCK_HELD))
			break;
	}
	atomic_fetch_sub(&table->blocks_free, held);
	if (held == count)
		flow_memory_release(&table->memory, FLOW_MEMORY_FLOWS, start, end);
	for (uint32_t i = 0; i < held; i++)
		atomic_store(&table->blocks[from + i].state, BLOCK_FREE);
	atomic_fetch_add(&table->blocks_free, held);
	if (held && from < atomic_load(&table->block_first))
		atomic_store(&table->block_first, from);
}
