// The rules of one group in one direction, compiled so that the first one that allows a packet is
// found without looking at the others. Rules with the same remote (any, a prefix, a group) are a
// node. In a node the rules of a protocol are cut into segments: disjoint ranges of ports, each
// with the first rule that allows it.

#pragma once

#include "base/prefix_map.h"

#define RULE_PROTOCOL_ANY  256
#define RULE_PROTOCOL_ICMP 257 // ICMP on IPv4, ICMPv6 on IPv6

#define RULE_NONE UINT32_MAX

enum rule_remote {
	RULE_REMOTE_ANY,
	RULE_REMOTE_PREFIX,
	RULE_REMOTE_GROUP,
};

// As it was written.
struct rule {
	uint32_t index;	   // in its group
	uint16_t protocol; // or RULE_PROTOCOL_…
	uint8_t remote;	   // enum rule_remote
	uint16_t first;	   // destination port in host byte order; of ICMP type << 8 | code
	uint16_t last;	   // 0 to 65535: any
	uint16_t group;	   // the remote's number
	struct ip_prefix prefix;
};

// Lowest indices stand for rules everywhere, RULE_NONE where there is none.
struct rule_node {
	uint32_t first_segment; // the next node has the end
	uint32_t any;		// of all protocols
	uint32_t best;		// any rule of the node
	uint32_t outer;		// the node of the prefix around this one, or 0
	uint32_t best_outer;	// any rule of this node and of those around it
};

// Protocol class << 16 | port.
struct rule_segment {
	uint32_t first;
	uint32_t last;
	uint32_t index;
};

struct rule_group {
	uint32_t node; // 0: a free slot
	uint16_t group;
};

// Nodes: 0 is that of any remote, prefixes follow in the map's numbers, then groups.
struct rule_set {
	struct rule_node *nodes; // one more than there are
	struct rule_segment *segments;
	struct rule_group *groups; // by the number's lower bits, open addressing
	struct prefix_map prefixes;
	uint32_t rule_count;
	uint32_t node_count;
	uint32_t prefix_count;
	uint32_t group_mask;
	uint32_t best_prefix; // any rule with a prefix
	uint32_t best_group;
};

// Makes a set of rules, which come in the order of their indices. A set without rules is zeroed
// memory. False without memory; rule_set_free is due anyway.
bool rule_set_build(struct rule_set *set, const struct rule *rules, uint32_t count);
void rule_set_free(struct rule_set *set);
bool rule_set_equal(const struct rule_set *a, const struct rule_set *b);
size_t rule_set_size(const struct rule_set *set); // bytes beside the structure itself

// Rules for ICMP mean the one of the packet's family, while numbers 1 and 58 mean the protocol
// whatever carries it. So these two have a class of their own where they are out of place.
static inline uint32_t rule_class(uint8_t protocol, bool v4)
{
	if (protocol == IPPROTO_ICMP && !v4)
		return 256;
	if (protocol == IPPROTO_ICMPV6 && v4)
		return 257;
	return protocol;
}

static inline uint32_t rule_key(uint8_t protocol, bool v4, uint16_t port)
{
	return rule_class(protocol, v4) << 16 | port;
}

// The node's first rule for the key, or `best` if that comes first.
static inline uint32_t rule_node_find(const struct rule_set *set, const struct rule_node *node,
				      uint32_t key, uint32_t best)
{
	const struct rule_segment *segment = &set->segments[node->first_segment];
	uint32_t count = node[1].first_segment - node->first_segment;

	if (node->any < best)
		best = node->any;
	if (!count)
		return best;
	// The last one that begins at or before the key.
	while (count > 1) {
		uint32_t half = count / 2;

		segment += segment[half].first <= key ? half : 0;
		count -= half;
	}
	return segment->first <= key && key <= segment->last && segment->index < best
		       ? segment->index
		       : best;
}

// The first rule for any remote.
static inline uint32_t rule_set_find_any(const struct rule_set *set, uint32_t key)
{
	return rule_node_find(set, &set->nodes[0], key, RULE_NONE);
}

// The first rule for the address by prefixes, or `best` if that comes first.
static inline uint32_t rule_set_find_prefix(const struct rule_set *set, uint32_t key,
					    const struct ip_address *remote, uint32_t best)
{
	uint32_t number;

	if (best <= set->best_prefix)
		return best;
	number = prefix_map_find(&set->prefixes, remote);
	while (number && set->nodes[number].best_outer < best) {
		if (set->nodes[number].best < best)
			best = rule_node_find(set, &set->nodes[number], key, best);
		number = set->nodes[number].outer;
	}
	return best;
}

static inline uint32_t rule_group_slot(const struct rule_set *set, uint16_t group)
{
	return (group * 0x9e3779b1u >> 16) & set->group_mask;
}

// The first rule for members of the group, or `best` if that comes first. The set has rules with
// groups.
static inline uint32_t rule_set_find_group(const struct rule_set *set, uint32_t key, uint16_t group,
					   uint32_t best)
{
	uint32_t slot = rule_group_slot(set, group);

	for (; set->groups[slot].node; slot = (slot + 1) & set->group_mask) {
		const struct rule_node *node = &set->nodes[set->groups[slot].node];

		if (set->groups[slot].group == group)
			return node->best < best ? rule_node_find(set, node, key, best) : best;
	}
	return best;
}

// The same for members of several groups, which are in order: for where they are more than those
// that the rules name.
uint32_t rule_set_find_groups(const struct rule_set *set, uint32_t key, const uint16_t *groups,
			      uint32_t count, uint32_t best);
