#include "layer/security_group/rule_set.h"

#include <stdlib.h>

// What one rule covers of a protocol class.
struct span {
	uint32_t first; // class << 16 | port
	uint32_t last;
	uint32_t index;
};

struct build {
	struct rule_set *set;
	const struct rule **order; // by remote, then by index
	struct ip_prefix *prefixes;
	uint32_t *outer;
	uint32_t segment_room;
	uint32_t segment_count;
	// Of one node: twice as many as it has rules, and for edges again twice as many.
	struct span *spans;
	uint32_t *edges;
	uint32_t *next;
	uint32_t *painted;
};

static int compare_rules(const void *a, const void *b)
{
	const struct rule *x = *(const struct rule *const *)a, *y = *(const struct rule *const *)b;
	int order = (int)x->remote - (int)y->remote;

	if (!order && x->remote == RULE_REMOTE_PREFIX)
		order = prefix_compare(&x->prefix, &y->prefix);
	if (!order && x->remote == RULE_REMOTE_GROUP)
		order = (int)x->group - (int)y->group;
	if (!order)
		order = x->index < y->index ? -1 : 1;
	return order;
}

static bool same_remote(const struct rule *a, const struct rule *b)
{
	if (a->remote != b->remote)
		return false;
	if (a->remote == RULE_REMOTE_PREFIX)
		return prefix_compare(&a->prefix, &b->prefix) == 0;
	return a->remote == RULE_REMOTE_ANY || a->group == b->group;
}

static uint32_t add_span(struct span *spans, uint32_t count, uint32_t class,
			 const struct rule *rule)
{
	spans[count] = (struct span){.first = class << 16 | rule->first,
				     .last = class << 16 | rule->last,
				     .index = rule->index};
	return count + 1;
}

// In the families that the remote can have.
static uint32_t add_spans(struct span *spans, uint32_t count, const struct rule *rule)
{
	bool prefix = rule->remote == RULE_REMOTE_PREFIX;
	bool v4 = !prefix || ip_is_v4(&rule->prefix.address);
	bool v6 = !prefix || !v4;

	if (rule->protocol == RULE_PROTOCOL_ICMP) {
		if (v4)
			count = add_span(spans, count, rule_class(IPPROTO_ICMP, true), rule);
		if (v6)
			count = add_span(spans, count, rule_class(IPPROTO_ICMPV6, false), rule);
		return count;
	}
	uint32_t in_v4 = rule_class((uint8_t)rule->protocol, true);
	uint32_t in_v6 = rule_class((uint8_t)rule->protocol, false);
	if (v4)
		count = add_span(spans, count, in_v4, rule);
	if (v6 && !(v4 && in_v4 == in_v6))
		count = add_span(spans, count, in_v6, rule);
	return count;
}

static bool add_segment(struct build *build, uint32_t first, uint32_t last, uint32_t index)
{
	struct rule_set *set = build->set;

	if (build->segment_count == build->segment_room) {
		uint32_t room = build->segment_room * 2 + 4;
		struct rule_segment *grown = realloc(set->segments, room * sizeof(*grown));

		if (!grown)
			return false;
		set->segments = grown;
		build->segment_room = room;
	}
	set->segments[build->segment_count++] = (struct rule_segment){first, last, index};
	return true;
}

static int compare_numbers(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static uint32_t find_edge(const uint32_t *edges, uint32_t count, uint32_t value)
{
	uint32_t first = 0, end = count;

	while (first < end) {
		uint32_t middle = first + (end - first) / 2;

		if (edges[middle] < value)
			first = middle + 1;
		else
			end = middle;
	}
	return first;
}

// The first piece from `place` on that is not painted; all steps of the way lead there afterwards.
static uint32_t find_bare(uint32_t *next, uint32_t place)
{
	uint32_t end = place;

	while (next[end] != end)
		end = next[end];
	while (next[place] != end) {
		uint32_t step = next[place];

		next[place] = end;
		place = step;
	}
	return end;
}

// Edges cut the numbers into pieces. Each rule, the first one first, takes what no other has: that
// is about as much work as there are pieces, however much the rules overlap.
static bool add_segments(struct build *build, uint32_t span_count)
{
	uint32_t *edges = build->edges, count = 0, kept = 0;

	for (uint32_t i = 0; i < span_count; i++) {
		edges[count++] = build->spans[i].first;
		edges[count++] = build->spans[i].last + 1;
	}
	qsort(edges, count, sizeof(*edges), compare_numbers);
	for (uint32_t i = 0; i < count; i++)
		if (!kept || edges[kept - 1] != edges[i])
			edges[kept++] = edges[i];
	for (uint32_t i = 0; i < kept; i++) {
		build->next[i] = i;
		build->painted[i] = RULE_NONE;
	}
	for (uint32_t i = 0; i < span_count; i++) {
		const struct span *span = &build->spans[i];
		uint32_t piece = find_edge(edges, kept, span->first);

		while (piece = find_bare(build->next, piece), edges[piece] <= span->last) {
			build->painted[piece] = span->index;
			build->next[piece] = piece + 1;
		}
	}
	for (uint32_t i = 0, end; i + 1 < kept; i = end) {
		for (end = i + 1; end + 1 < kept && build->painted[end] == build->painted[i] &&
				  edges[end] >> 16 == edges[i] >> 16;
		     end++)
			;
		if (build->painted[i] != RULE_NONE &&
		    !add_segment(build, edges[i], edges[end] - 1, build->painted[i]))
			return false;
	}
	return true;
}

// All rules of one remote.
static bool add_node(struct build *build, const struct rule *const *rules, uint32_t count)
{
	struct rule_node *node = &build->set->nodes[build->set->node_count++];
	uint32_t spans = 0;

	*node = (struct rule_node){
		.first_segment = build->segment_count,
		.any = RULE_NONE,
		.best = count ? rules[0]->index : RULE_NONE,
	};
	node->best_outer = node->best;
	for (uint32_t i = 0; i < count; i++) {
		// What follows a rule for everything allows nothing more.
		if (rules[i]->protocol == RULE_PROTOCOL_ANY) {
			node->any = rules[i]->index;
			break;
		}
		spans = add_spans(build->spans, spans, rules[i]);
	}
	if (spans == 1)
		return add_segment(build, build->spans[0].first, build->spans[0].last,
				   build->spans[0].index);
	return !spans || add_segments(build, spans);
}

static uint32_t run_of(const struct build *build, uint32_t first)
{
	uint32_t end = first + 1;

	while (end < build->set->rule_count && same_remote(build->order[first], build->order[end]))
		end++;
	return end;
}

// How many remotes there are, and what the largest node needs.
static uint32_t count_remotes(const struct build *build, enum rule_remote remote, uint32_t *largest)
{
	uint32_t count = 0;

	for (uint32_t i = 0, end; i < build->set->rule_count; i = end) {
		end = run_of(build, i);
		if (end - i > *largest)
			*largest = end - i;
		count += build->order[i]->remote == remote;
	}
	return count;
}

static bool add_prefixes(struct build *build, uint32_t *place)
{
	struct rule_set *set = build->set;
	uint32_t count = set->prefix_count, end;

	for (uint32_t i = 0; i < count; i++, *place = end) {
		end = run_of(build, *place);
		build->prefixes[i] = build->order[*place]->prefix;
		if (!add_node(build, &build->order[*place], end - *place))
			return false;
	}
	if (!prefix_map_build(&set->prefixes, build->prefixes, count, build->outer))
		return false;
	// What is around a prefix comes before it.
	for (uint32_t i = 1; i <= count; i++) {
		struct rule_node *node = &set->nodes[i];

		node->outer = build->outer[i - 1];
		if (node->outer && set->nodes[node->outer].best_outer < node->best_outer)
			node->best_outer = set->nodes[node->outer].best_outer;
		if (node->best < set->best_prefix)
			set->best_prefix = node->best;
	}
	return true;
}

static bool add_groups(struct build *build, uint32_t count, uint32_t *place)
{
	struct rule_set *set = build->set;
	uint32_t end, slot;

	if (!count)
		return true;
	set->group_mask = 1;
	while (set->group_mask < 2 * count)
		set->group_mask = set->group_mask * 2 + 1;
	set->groups = calloc((size_t)set->group_mask + 1, sizeof(*set->groups));
	if (!set->groups)
		return false;
	for (uint32_t i = 0; i < count; i++, *place = end) {
		const struct rule *rule = build->order[*place];

		end = run_of(build, *place);
		for (slot = rule_group_slot(set, rule->group); set->groups[slot].node;
		     slot = (slot + 1) & set->group_mask)
			;
		set->groups[slot].node = set->node_count;
		set->groups[slot].group = rule->group;
		if (rule->index < set->best_group)
			set->best_group = rule->index;
		if (!add_node(build, &build->order[*place], end - *place))
			return false;
	}
	return true;
}

static bool build_nodes(struct build *build, const struct rule *rules)
{
	struct rule_set *set = build->set;
	uint32_t largest = 0, groups, place = 0;
	struct rule_segment *fitted;

	for (uint32_t i = 0; i < set->rule_count; i++)
		build->order[i] = &rules[i];
	qsort(build->order, set->rule_count, sizeof(*build->order), compare_rules);
	set->prefix_count = count_remotes(build, RULE_REMOTE_PREFIX, &largest);
	groups = count_remotes(build, RULE_REMOTE_GROUP, &largest);
	set->nodes = calloc((size_t)set->prefix_count + groups + 2, sizeof(*set->nodes));
	build->prefixes = malloc(((size_t)set->prefix_count + 1) * sizeof(*build->prefixes));
	build->outer = malloc(((size_t)set->prefix_count + 1) * sizeof(*build->outer));
	build->spans = malloc((size_t)largest * 2 * sizeof(*build->spans));
	build->edges = malloc((size_t)largest * 4 * sizeof(*build->edges));
	build->next = malloc((size_t)largest * 4 * sizeof(*build->next));
	build->painted = malloc((size_t)largest * 4 * sizeof(*build->painted));
	if (!set->nodes || !build->prefixes || !build->outer || !build->spans || !build->edges ||
	    !build->next || !build->painted)
		return false;
	while (place < set->rule_count && build->order[place]->remote == RULE_REMOTE_ANY)
		place++;
	if (!add_node(build, build->order, place) || !add_prefixes(build, &place) ||
	    !add_groups(build, groups, &place))
		return false;
	set->nodes[set->node_count].first_segment = build->segment_count;
	fitted =
		realloc(set->segments, ((size_t)build->segment_count + 1) * sizeof(*set->segments));
	if (fitted)
		set->segments = fitted;
	return fitted != NULL;
}

bool rule_set_build(struct rule_set *set, const struct rule *rules, uint32_t count)
{
	struct build build = {.set = set};
	bool built = false;

	*set = (struct rule_set){
		.rule_count = count, .best_prefix = RULE_NONE, .best_group = RULE_NONE};
	if (!count)
		return true;
	build.order = malloc(count * sizeof(*build.order));
	if (build.order)
		built = build_nodes(&build, rules);
	free(build.order);
	free(build.prefixes);
	free(build.outer);
	free(build.spans);
	free(build.edges);
	free(build.next);
	free(build.painted);
	return built;
}

void rule_set_free(struct rule_set *set)
{
	free(set->nodes);
	free(set->segments);
	free(set->groups);
	prefix_map_free(&set->prefixes);
}

static uint32_t segment_count(const struct rule_set *set)
{
	return set->rule_count ? set->nodes[set->node_count].first_segment : 0;
}

static bool groups_equal(const struct rule_set *a, const struct rule_set *b)
{
	for (uint32_t i = 0; a->groups && i <= a->group_mask; i++)
		if (a->groups[i].node != b->groups[i].node ||
		    a->groups[i].group != b->groups[i].group)
			return false;
	return true;
}

bool rule_set_equal(const struct rule_set *a, const struct rule_set *b)
{
	if (a->rule_count != b->rule_count || a->node_count != b->node_count ||
	    a->prefix_count != b->prefix_count || a->group_mask != b->group_mask ||
	    a->best_prefix != b->best_prefix || a->best_group != b->best_group)
		return false;
	if (!a->rule_count)
		return true;
	return memcmp(a->nodes, b->nodes, (a->node_count + 1) * sizeof(*a->nodes)) == 0 &&
	       memcmp(a->segments, b->segments, segment_count(a) * sizeof(*a->segments)) == 0 &&
	       groups_equal(a, b) && prefix_map_equal(&a->prefixes, &b->prefixes);
}

size_t rule_set_size(const struct rule_set *set)
{
	return (set->rule_count ? (set->node_count + 1) * sizeof(*set->nodes) : 0) +
	       segment_count(set) * sizeof(*set->segments) +
	       (set->groups ? (set->group_mask + (size_t)1) * sizeof(*set->groups) : 0) +
	       prefix_map_size(&set->prefixes);
}
