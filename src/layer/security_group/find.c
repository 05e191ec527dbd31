#include "layer/security_group/rule_set.h"

static bool is_in(const uint16_t *groups, uint32_t count, uint16_t group)
{
	uint32_t first = 0, end = count;

	while (first < end) {
		uint32_t middle = first + (end - first) / 2;

		if (groups[middle] < group)
			first = middle + 1;
		else
			end = middle;
	}
	return first < count && groups[first] == group;
}

uint32_t rule_set_find_groups(const struct rule_set *set, uint32_t key, const uint16_t *groups,
			      uint32_t count, uint32_t best)
{
	for (uint32_t slot = 0; slot <= set->group_mask; slot++) {
		const struct rule_node *node = &set->nodes[set->groups[slot].node];

		if (set->groups[slot].node && node->best < best &&
		    is_in(groups, count, set->groups[slot].group))
			best = rule_node_find(set, node, key, best);
	}
	return best;
}
