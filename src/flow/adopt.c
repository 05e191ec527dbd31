#include "flow/adopt.h"

#include <unistd.h>

#include "base/pages.h"
#include "flow/sound.h"
#include "flow/state.h"
#include "flow/table_private.h"

// Connections that are looked at together, so that their cache misses overlap.
#define STEP  8
#define AHEAD 12

// A connection that had its last packet so many seconds before the last one that the round before
// saw was as it is then: workers' clocks are less apart, and nothing but a packet changes more than
// the account.
#define QUIET 3

// ---- taking over

struct candidate {
	struct flow flow;
	uint64_t earlier; // its number there
	struct flow_hash hash[2];
	bool sound;
};

// The next packets are judged; of what was decided only flags are needed, which say how.
static void clear_direction(struct flow_direction *direction)
{
	struct flow_action action = {.flags = flow_action_get(direction).flags};

	flow_action_set(direction, action, 0);
}

static void expect(const struct flow_table *table, struct candidate *candidate, uint32_t now)
{
	struct flow *flow = &candidate->flow;

	candidate->sound = flow_is_sound(flow, now);
	if (!candidate->sound)
		return;
	for (unsigned int i = 0; i < 2; i++) {
		candidate->hash[i] = flow_hash(&table->secret, &flow->direction[i].key);
		flow_table_expect(table, candidate->hash[i]);
	}
	if (flow_has(&flow->account, FLOW_ONE_WAY))
		candidate->hash[FLOW_REPLY] = candidate->hash[FLOW_ORIGINAL];
}

// Its keys are nobody else's, and one worker's.
static bool fits(const struct flow_table *table, const struct candidate *candidate)
{
	const struct flow *flow = &candidate->flow;

	if (flow_table_owner(table, candidate->hash[0]) !=
	    flow_table_owner(table, candidate->hash[1]))
		return false;
	for (unsigned int i = 0; i < 2; i++) {
		if (i == FLOW_REPLY && flow_has(&flow->account, FLOW_ONE_WAY))
			break;
		if (flow_table_find(table, &flow->direction[i].key, candidate->hash[i]))
			return false;
	}
	return true;
}

// Counted as they were; times that are a little ahead are now.
static void restore(struct flow *entered, const struct flow_account *before, uint32_t now)
{
	struct flow_account *account = &entered->account;

	account->last_seen = (int32_t)(before->last_seen - now) > 0 ? now : before->last_seen;
	account->created = (int32_t)(before->created - account->last_seen) > 0 ? account->last_seen
									       : before->created;
	// Half a packet may have been accounted.
	atomic_fetch_or_explicit(&account->flags, FLOW_RACED, memory_order_relaxed);
	// What the kernel has forwarded is not in its numbers.
	if (flow_has(before, FLOW_OFFLOADED))
		flow_state_loosen(account);
}

// Returns its number here; 0: it is not taken over.
static uint32_t take(struct flow_table *table, const struct candidate *candidate, uint32_t now,
		     const struct flow_adoption *adoption)
{
	uint32_t worker = flow_table_owner(table, candidate->hash[0]);
	const struct flow *flow = &candidate->flow;
	struct flow *place;

	if (!candidate->sound || !fits(table, candidate))
		return 0;
	place = flow_table_place(table, worker);
	if (!place)
		return 0;
	memcpy(place, flow, sizeof(*place));
	flow_set_flags(place, flow->account.flags & (FLOW_ONE_WAY | FLOW_MAPPED));
	for (unsigned int i = 0; i < 2; i++)
		clear_direction(&place->direction[i]);
	if (adoption->accept && !adoption->accept(adoption->context, flow, now)) {
		flow_place_return(table, worker, (uint32_t)(place - table->flows));
		return 0;
	}
	if (!flow_table_enter(table, worker, place, candidate->hash[0], candidate->hash[1], now)) {
		if (flow_has(&flow->account, FLOW_MAPPED) && adoption->forget)
			adoption->forget(adoption->context, flow);
		return 0;
	}
	restore(place, &flow->account, now);
	return (uint32_t)(place - table->flows);
}

static void see(struct flow_adoption *adoption, const struct flow_account *account)
{
	if (!adoption->seen || (int32_t)(account->last_seen - adoption->seen) > 0)
		adoption->seen = account->last_seen;
}

static void take_all(struct flow_table *table, struct candidate *candidates, uint32_t count,
		     uint32_t now, struct flow_adoption *adoption)
{
	for (uint32_t i = 0; i < count; i++)
		expect(table, &candidates[i], now);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t number = take(table, &candidates[i], now, adoption);

		*(number ? &adoption->adopted : &adoption->dropped) += 1;
		if (number)
			see(adoption, &candidates[i].flow.account);
		if (number && adoption->numbers)
			adoption->numbers[candidates[i].earlier] = number;
	}
}

// ---- what was taken over before

static bool is_same_direction(const struct flow_direction *earlier,
			      const struct flow_direction *here)
{
	return earlier->ingress == here->ingress &&
	       memcmp(&earlier->rule, &here->rule, sizeof(here->rule)) == 0 &&
	       flow_action_get(earlier).flags == flow_action_get(here).flags;
}

// They find the same packets.
static bool is_same_connection(const struct flow *earlier, const struct flow *here)
{
	const uint8_t kinds = FLOW_ONE_WAY | FLOW_MAPPED;

	return ((earlier->account.flags ^ here->account.flags) & kinds) == 0 &&
	       flow_key_equal(&earlier->direction[0].key, &here->direction[0].key) &&
	       (flow_has(&here->account, FLOW_ONE_WAY) ||
		flow_key_equal(&earlier->direction[1].key, &here->direction[1].key));
}

// Nobody can have used its place again since the round before either: then its account says all,
// which is a third of what has to be read.
static bool is_quiet(const struct flow *earlier, const struct flow_adoption *adoption)
{
	uint32_t last = *(const volatile uint32_t *)&earlier->account.last_seen;

	return adoption->last_seen && (int32_t)(adoption->last_seen - last) > QUIET;
}

// Nothing has happened to it since.
static bool is_same(const struct flow *earlier, const struct flow *here, bool quiet)
{
	const struct flow_account *account = &earlier->account;

	if (memcmp(account, &here->account, offsetof(struct flow_account, flags)) != 0 ||
	    account->scales != here->account.scales || flow_has(account, FLOW_OFFLOADED))
		return false;
	if (quiet)
		return true;
	return is_same_connection(earlier, here) &&
	       is_same_direction(&earlier->direction[0], &here->direction[0]) &&
	       is_same_direction(&earlier->direction[1], &here->direction[1]);
}

// Becomes what it is now. False: it is another one, or none that can be believed.
static bool refresh(struct flow_table *table, const struct flow *earlier, struct flow *here,
		    uint32_t now)
{
	const struct flow flow = *earlier; // not read twice
	uint8_t flags = here->account.flags & (uint8_t)~FLOW_HALF_OPEN;
	bool half_open;

	if (!is_same_connection(&flow, here) || !flow_is_sound(&flow, now))
		return false;
	half_open = flow_state_is_half_open(flow_state_get(&flow.account));
	flow_charge_add(&table->charges, here, flow_has(&here->account, FLOW_HALF_OPEN), -1);
	for (unsigned int i = 0; i < 2; i++) {
		here->direction[i] = flow.direction[i];
		clear_direction(&here->direction[i]);
	}
	here->account = flow.account;
	flow_set_flags(here, flags | (half_open ? FLOW_HALF_OPEN : 0));
	flow_charge_add(&table->charges, here, half_open, 1);
	restore(here, &flow.account, now);
	return true;
}

// As if it had never been here: nobody can have seen it.
static void forget(struct flow_table *table, uint32_t number, const struct flow_adoption *adoption)
{
	struct flow *flow = &table->flows[number];
	struct flow_hash hash = flow_hash(&table->secret, &flow->direction[FLOW_ORIGINAL].key);
	uint32_t worker = flow_table_owner(table, hash);

	if (flow_has(&flow->account, FLOW_MAPPED) && adoption->forget)
		adoption->forget(adoption->context, flow);
	group_leave(flow_table_bucket(table, hash), number << 1);
	if (!flow_has(&flow->account, FLOW_ONE_WAY)) {
		hash = flow_hash(&table->secret, &flow->direction[FLOW_REPLY].key);
		group_leave(flow_table_bucket(table, hash), number << 1 | FLOW_REPLY);
	}
	flow_table_end_flow(table, worker, flow);
	table->worker[worker].created--;
	table->worker[worker].removed--;
	flow_place_return(table, worker, number);
}

// ---- where they are

struct span {
	uint64_t from, to;
};

// The next numbers that have memory: whoever looks at others has it brought in.
static bool next_span(const struct flow_remains *remains, uint64_t from, struct span *span)
{
	const struct flow_file_header *header = remains->header;
	uint64_t end = (uint64_t)header->max + 1;
	off_t start, stop;

	if (from >= end)
		return false;
	start = lseek(remains->fd, (off_t)(header->flows_at + from * sizeof(struct flow)),
		      SEEK_DATA);
	if (start < 0)
		return false;
	stop = lseek(remains->fd, start, SEEK_HOLE);
	if (stop < 0)
		return false;
	span->from = ((uint64_t)start - header->flows_at) / sizeof(struct flow);
	span->to =
		((uint64_t)stop - header->flows_at + sizeof(struct flow) - 1) / sizeof(struct flow);
	if (span->from < from)
		span->from = from;
	if (span->to > end)
		span->to = end;
	return span->from < span->to;
}

static const struct flow *flows_of(const struct flow_remains *remains)
{
	return (const struct flow *)((const char *)remains->header + remains->header->flows_at);
}

static uint64_t count_live(const struct flow_remains *remains)
{
	const struct flow *flows = flows_of(remains);
	struct span span = {.to = 1};
	uint64_t live = 0;

	while (next_span(remains, span.to, &span))
		for (uint64_t i = span.from; i < span.to; i++)
			live += flow_has(&flows[i].account, FLOW_LIVE);
	return live;
}

// ---- rounds

// In flow_adoption.numbers: it is still to be taken over.
#define WANTED UINT32_MAX

static void forget_numbers(struct flow_table *table, uint64_t from, uint64_t to,
			   struct flow_adoption *adoption)
{
	for (uint64_t i = from; i < to && i < adoption->numbers_end; i++) {
		if (!adoption->numbers[i])
			continue;
		if (adoption->numbers[i] != WANTED)
			forget(table, adoption->numbers[i], adoption);
		adoption->numbers[i] = 0;
	}
}

// Of those that come next both copies are read: their accounts, and soon all else.
static void expect_account(const struct flow_table *table, const struct flow *earlier,
			   const uint32_t *number)
{
	rte_prefetch0(&earlier->account);
	if (*number && *number != WANTED)
		rte_prefetch0(&table->flows[*number].account);
}

static void expect_directions(const struct flow_table *table, const struct flow *earlier,
			      const uint32_t *number, const struct flow_adoption *adoption)
{
	if (is_quiet(earlier, adoption))
		return;
	rte_prefetch0(&earlier->direction[0]);
	rte_prefetch0(&earlier->direction[1]);
	if (*number && *number != WANTED) {
		rte_prefetch0(&table->flows[*number].direction[0]);
		rte_prefetch0(&table->flows[*number].direction[1]);
	}
}

static void follow_one(struct flow_table *table, const struct flow *earlier, uint32_t *number,
		       uint32_t now, struct flow_adoption *adoption)
{
	bool taken = *number && *number != WANTED;
	bool live = flow_has(&earlier->account, FLOW_LIVE);

	if (taken && live) {
		struct flow *here = &table->flows[*number];
		bool same = is_same(earlier, here, is_quiet(earlier, adoption));

		if (same || refresh(table, earlier, here, now)) {
			see(adoption, &here->account);
			adoption->adopted++;
			adoption->changed += !same;
			return;
		}
	}
	if (taken)
		forget(table, *number, adoption);
	// What was never written stays without memory.
	if (live || *number)
		*number = live ? WANTED : 0;
	adoption->changed += taken || live;
}

// Before others are taken over: they may have the keys and the mappings of those that have ended.
static void follow(struct flow_table *table, const struct flow_remains *remains, uint32_t now,
		   struct flow_adoption *adoption)
{
	const struct flow *flows = flows_of(remains);
	struct span span = {.to = 1};
	uint64_t before = 1;

	while (next_span(remains, span.to, &span)) {
		// It has given memory back.
		forget_numbers(table, before, span.from, adoption);
		for (uint64_t i = span.from; i < span.to; i++) {
			if (i + 2 * AHEAD < span.to)
				expect_account(table, &flows[i + 2 * AHEAD],
					       &adoption->numbers[i + 2 * AHEAD]);
			if (i + AHEAD < span.to)
				expect_directions(table, &flows[i + AHEAD],
						  &adoption->numbers[i + AHEAD], adoption);
			follow_one(table, &flows[i], &adoption->numbers[i], now, adoption);
		}
		before = span.to;
	}
	forget_numbers(table, before, adoption->numbers_end, adoption);
	adoption->numbers_end = before;
}

static bool is_wanted(const struct flow *flow, const struct flow_adoption *adoption, uint64_t i)
{
	return adoption->numbers ? adoption->numbers[i] == WANTED
				 : flow_has(&flow->account, FLOW_LIVE);
}

void flow_table_adopt(struct flow_table *table, const struct flow_remains *remains, uint32_t now,
		      struct flow_adoption *adoption)
{
	const struct flow *flows = flows_of(remains);
	struct candidate candidates[STEP];
	struct span span = {.to = 1};
	uint32_t count = 0;

	adoption->adopted = adoption->dropped = adoption->changed = 0;
	adoption->seen = 0;
	if (adoption->numbers)
		follow(table, remains, now, adoption);
	while (next_span(remains, span.to, &span))
		for (uint64_t i = span.from; i < span.to; i++) {
			if (!is_wanted(&flows[i], adoption, i))
				continue;
			// Not read twice: the file may be another process's still.
			candidates[count].flow = flows[i];
			candidates[count].earlier = i;
			if (++count < STEP)
				continue;
			take_all(table, candidates, count, now, adoption);
			count = 0;
		}
	take_all(table, candidates, count, now, adoption);
	adoption->last_seen = adoption->seen;
}

void flow_adoption_begin(struct flow_adoption *adoption, struct flow_table *table,
			 const struct flow_remains *remains)
{
	flow_table_prepare(table, count_live(remains));
	adoption->numbers_end = 0;
	adoption->numbers_size = ((size_t)remains->header->max + 1) * sizeof(uint32_t);
	adoption->numbers = pages_get(adoption->numbers_size);
}

void flow_adoption_end(struct flow_adoption *adoption)
{
	pages_free(adoption->numbers, adoption->numbers_size);
	adoption->numbers = NULL;
}
