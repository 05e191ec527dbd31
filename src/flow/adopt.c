#include "flow/adopt.h"

#include <unistd.h>

#include "flow/state.h"
#include "flow/table_private.h"

// The processes' clocks may differ a little: the time stamp counter's speed is measured by each.
#define CLOCKS_APART 300

// Connections that are looked at together, so that their cache misses overlap.
#define STEP 8

#define FLAGS_KNOWN                                                                    \
	(FLOW_LIVE | FLOW_ONE_WAY | FLOW_RACED | FLOW_OFFLOADED | FLOW_NETWORK_APART | \
	 FLOW_HALF_OPEN | FLOW_MAPPED)

#define STATE_BITS                                                                       \
	(FLOW_STATE_MASK | FLOW_FIN(0) | FLOW_FIN(1) | FLOW_SCALED(0) | FLOW_SCALED(1) | \
	 FLOW_LOOSE | FLOW_RENEWED | FLOW_ANSWERED)

// ---- what a table may have

static bool state_is_sound(const struct flow *flow)
{
	uint16_t word = atomic_load_explicit(&flow->account.state, memory_order_relaxed);
	enum flow_state state = word & FLOW_STATE_MASK;

	if (word & ~STATE_BITS || state >= FLOW_STATE_COUNT)
		return false;
	switch (flow->direction[FLOW_ORIGINAL].key.protocol) {
	case IPPROTO_TCP:
		return state >= FLOW_STATE_SYN_SENT && state <= FLOW_STATE_CLOSED;
	case IPPROTO_SCTP:
		return state >= FLOW_STATE_SCTP_OPENING || state == FLOW_STATE_CLOSED ||
		       state == FLOW_STATE_PICKED_UP;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return word == FLOW_STATE_ICMP || word == FLOW_STATE_OTHER;
	default:
		return word == FLOW_STATE_UNREPLIED || word == FLOW_STATE_REPLIED ||
		       word == FLOW_STATE_OTHER;
	}
}

static bool key_is_sound(const struct flow_key *key, uint8_t flags)
{
	return key->network && key->flags == flags &&
	       ip_is_v4(&key->source) == ip_is_v4(&key->destination);
}

static uint16_t actions_of(const struct flow *flow)
{
	return flow_action_get(&flow->direction[FLOW_ORIGINAL]).flags |
	       flow_action_get(&flow->direction[FLOW_REPLY]).flags;
}

static bool keys_are_sound(const struct flow *flow)
{
	const struct flow_key *original = &flow->direction[FLOW_ORIGINAL].key;
	const struct flow_key *reply = &flow->direction[FLOW_REPLY].key;
	struct flow_key reverse = flow_key_reverse(original, reply->network);

	if (flow_has(&flow->account, FLOW_ONE_WAY))
		return key_is_sound(original, FLOW_KEY_ONE_WAY);
	if (!key_is_sound(original, 0) || !key_is_sound(reply, 0) ||
	    flow_key_equal(original, reply))
		return false;
	// What is translated may be anything, and is held against the objects by the layers.
	return actions_of(flow) & FLOW_ACTION_TRANSLATE || flow_key_equal(&reverse, reply);
}

static bool times_are_sound(const struct flow_account *account, uint32_t now)
{
	return (int32_t)(account->last_seen - now) <= CLOCKS_APART &&
	       (int32_t)(account->created - account->last_seen) <= CLOCKS_APART;
}

// What was rewritten in TCP's texts is not known any more, and numbers are shifted by it
// (worker/helper.c): such a connection would go wrong unseen.
static bool is_lost(const struct flow *flow)
{
	return flow->direction[FLOW_ORIGINAL].key.protocol == IPPROTO_TCP &&
	       actions_of(flow) & FLOW_ACTION_HELPED;
}

static bool is_sound(const struct flow *flow, uint32_t now)
{
	uint8_t flags = atomic_load_explicit(&flow->account.flags, memory_order_relaxed);

	return !(flags & ~FLAGS_KNOWN) && state_is_sound(flow) && keys_are_sound(flow) &&
	       times_are_sound(&flow->account, now) && !is_lost(flow);
}

// ---- taking over

struct candidate {
	struct flow flow;
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

	candidate->sound = is_sound(flow, now);
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

static bool take(struct flow_table *table, const struct candidate *candidate, uint32_t now,
		 const struct flow_adoption *adoption)
{
	uint32_t worker = flow_table_owner(table, candidate->hash[0]);
	const struct flow *flow = &candidate->flow;
	struct flow *place;

	if (!candidate->sound || !fits(table, candidate))
		return false;
	place = flow_table_place(table, worker);
	if (!place)
		return false;
	memcpy(place, flow, sizeof(*place));
	flow_set_flags(place, flow->account.flags & (FLOW_ONE_WAY | FLOW_MAPPED));
	for (unsigned int i = 0; i < 2; i++)
		clear_direction(&place->direction[i]);
	if (adoption->accept && !adoption->accept(adoption->context, flow, now)) {
		flow_place_return(table, worker, (uint32_t)(place - table->flows));
		return false;
	}
	if (!flow_table_enter(table, worker, place, candidate->hash[0], candidate->hash[1], now)) {
		if (flow_has(&flow->account, FLOW_MAPPED) && table->mapped.end)
			table->mapped.end(table->mapped.context, flow);
		return false;
	}
	restore(place, &flow->account, now);
	return true;
}

static void take_all(struct flow_table *table, struct candidate *candidates, uint32_t count,
		     uint32_t now, struct flow_adoption *adoption)
{
	for (uint32_t i = 0; i < count; i++)
		expect(table, &candidates[i], now);
	for (uint32_t i = 0; i < count; i++)
		*(take(table, &candidates[i], now, adoption) ? &adoption->adopted
							     : &adoption->dropped) += 1;
}

// ---- where they are

// Calls `visit` for the live connections from one number on to below another one.
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

void flow_table_adopt_prepare(struct flow_table *table, const struct flow_remains *remains)
{
	flow_table_prepare(table, count_live(remains));
}

void flow_table_adopt(struct flow_table *table, const struct flow_remains *remains, uint32_t now,
		      struct flow_adoption *adoption)
{
	const struct flow *flows = flows_of(remains);
	struct candidate candidates[STEP];
	struct span span = {.to = 1};
	uint32_t count = 0;

	flow_table_adopt_prepare(table, remains);
	while (next_span(remains, span.to, &span))
		for (uint64_t i = span.from; i < span.to; i++) {
			if (!flow_has(&flows[i].account, FLOW_LIVE))
				continue;
			// Not read twice: the file may be another process's still.
			candidates[count].flow = flows[i];
			if (++count < STEP)
				continue;
			take_all(table, candidates, count, now, adoption);
			count = 0;
		}
	take_all(table, candidates, count, now, adoption);
}
