#include "telemetry/flow_follow.h"

#include <stdlib.h>

// Places in the table that are looked at before others get their turn.
#define STEP 32768

struct followed {
	struct flow flow; // as it was told, with newer counters
	uint32_t number;
};

struct flow_follow {
	struct flow_filter filter;
	struct followed *flows;
	uint32_t count, capacity;
	uint32_t *place; // by number: index in `flows` + 1
	uint32_t places;
	bool opening; // the second half of a round: what is new. The first: what was there before
	bool later;   // not the first round
	uint32_t cursor;
};

struct flow_follow *flow_follow_new(const struct flow_filter *filter, uint32_t max)
{
	struct flow_follow *follow = calloc(1, sizeof(*follow));

	if (!follow)
		return NULL;
	follow->filter = *filter;
	follow->places = max + 1;
	// The kernel gives the pages that are used.
	follow->place = calloc(follow->places, sizeof(*follow->place));
	if (follow->place)
		return follow;
	free(follow);
	return NULL;
}

void flow_follow_free(struct flow_follow *follow)
{
	if (!follow)
		return;
	free(follow->flows);
	free(follow->place);
	free(follow);
}

static struct followed *add(struct flow_follow *follow, uint32_t number)
{
	struct followed *grown = follow->flows;

	if (follow->count == FLOW_FOLLOW_MAX)
		return NULL;
	if (follow->count == follow->capacity) {
		uint32_t capacity = follow->capacity ? follow->capacity * 2 : 64;

		grown = aligned_alloc(64, capacity * sizeof(*grown));
		if (!grown)
			return NULL;
		if (follow->count)
			memcpy(grown, follow->flows, follow->count * sizeof(*grown));
		free(follow->flows);
		follow->flows = grown;
		follow->capacity = capacity;
	}
	follow->place[number] = follow->count + 1;
	return &grown[follow->count++];
}

static void forget(struct flow_follow *follow, uint32_t index)
{
	struct followed *last = &follow->flows[follow->count - 1];

	follow->place[follow->flows[index].number] = 0;
	if (last != &follow->flows[index]) {
		follow->flows[index] = *last;
		follow->place[last->number] = index + 1;
	}
	follow->count--;
}

static bool is_same(const struct flow *a, const struct flow *b)
{
	return a->account.created == b->account.created &&
	       flow_key_equal(&a->direction[FLOW_ORIGINAL].key, &b->direction[FLOW_ORIGINAL].key);
}

static bool has_changed(const struct flow *a, const struct flow *b)
{
	for (unsigned int i = 0; i < 2; i++)
		if (a->direction[i].rule.group != b->direction[i].rule.group ||
		    a->direction[i].rule.rule != b->direction[i].rule.rule)
			return true;
	return flow_state_get(&a->account) != flow_state_get(&b->account) ||
	       flow_has(&a->account, FLOW_OFFLOADED) != flow_has(&b->account, FLOW_OFFLOADED);
}

// What has become of those that were told. Backwards, so that forgetting one moves one that was
// looked at already. NULL: nothing.
static const char *look(struct flow_follow *follow, const struct flow_table *table, uint32_t index,
			struct flow *flow)
{
	struct followed *known = &follow->flows[index];
	bool live = flow_table_read(table, known->number, flow);

	if (!live || !is_same(flow, &known->flow)) {
		// What ended keeps its last counters until somebody else gets its place.
		if (is_same(flow, &known->flow))
			known->flow.account = flow->account;
		*flow = known->flow;
		forget(follow, index);
		return "ended";
	}
	if (!has_changed(flow, &known->flow)) {
		known->flow = *flow;
		return NULL;
	}
	known->flow = *flow;
	// One that the filter does not want any more is told once more.
	if (!flow_filter_takes(&follow->filter, flow))
		forget(follow, index);
	return "changed";
}

static enum flow_follow_result follow_known(struct flow_follow *follow,
					    const struct flow_table *table, struct flow *flow,
					    const char **event)
{
	for (uint32_t step = 0; follow->cursor > 0; step++) {
		if (step == STEP)
			return FLOW_FOLLOW_LATER;
		*event = look(follow, table, --follow->cursor, flow);
		if (*event)
			return FLOW_FOLLOW_EVENT;
	}
	return FLOW_FOLLOW_REST;
}

static enum flow_follow_result follow_new(struct flow_follow *follow,
					  const struct flow_table *table, struct flow *flow,
					  const char **event)
{
	uint32_t end = flow_table_end(table);

	if (end > follow->places)
		end = follow->places;
	for (uint32_t step = 0; follow->cursor < end; step++) {
		uint32_t number = follow->cursor;
		struct followed *known;

		if (step == STEP)
			return FLOW_FOLLOW_LATER;
		follow->cursor++;
		if (follow->place[number] || !flow_table_read(table, number, flow) ||
		    !flow_filter_takes(&follow->filter, flow))
			continue;
		known = add(follow, number);
		if (!known)
			return FLOW_FOLLOW_FULL;
		known->flow = *flow;
		known->number = number;
		*event = follow->later ? "opened" : "present";
		return FLOW_FOLLOW_EVENT;
	}
	return FLOW_FOLLOW_REST;
}

enum flow_follow_result flow_follow_next(struct flow_follow *follow, const struct flow_table *table,
					 struct flow *flow, const char **event)
{
	enum flow_follow_result result;

	if (!follow->opening) {
		result = follow_known(follow, table, flow, event);
		if (result != FLOW_FOLLOW_REST)
			return result;
		follow->opening = true;
		follow->cursor = 1;
	}
	result = follow_new(follow, table, flow, event);
	if (result != FLOW_FOLLOW_REST)
		return result;
	follow->later = true;
	follow->opening = false;
	follow->cursor = follow->count;
	return FLOW_FOLLOW_REST;
}
