// May the connection be opened? Asked at both ends that are ports of this node: egress rules of the
// opener, ingress rules of the other side. A packet in the reply direction is judged as the one
// that opened the connection. Each end is held against what it sees: of a translated connection the
// opener's rules against the packet as it was sent, the other side's against it as it arrives.

#include <arpa/inet.h>

#include "layer/allowed_address/allowed_address.h"
#include "layer/security_group/security_group.h"
#include "layer/security_group/tables.h"

struct question {
	const struct tables *common;
	const struct security_group_tables *tables;
	const struct flow_key *key; // in the opening direction
	const struct ip_address *remote;
	uint16_t network; // of the end that is asked for
	uint16_t domain;
	uint32_t rule_key;
};

static uint32_t find_by_list(const struct question *question, const struct rule_set *set,
			     const uint16_t *groups, uint32_t count, uint32_t best)
{
	for (uint32_t i = 0; i < count && best > set->best_group; i++)
		best = rule_set_find_group(set, question->rule_key, groups[i], best);
	return best;
}

// The groups of the Port whose own address it is.
static uint32_t find_by_owner(const struct question *question, const struct rule_set *set,
			      uint32_t best)
{
	const struct tables *common = question->common;
	uint32_t found = lookup_find(&common->by_address,
				     lookup_key_address(question->domain, question->remote));
	const struct endpoint_detail *detail;
	struct mac_address mac;

	if (found && !(found & TABLES_SHARED)) {
		detail = &common->details[found];
		best = find_by_list(question, set, detail->groups, detail->group_count, best);
	}
	if (ip_is_v4(question->remote) || !ip_is_link_local(question->remote))
		return best;
	// Two networks of a domain may have the same link-local address.
	mac = ip_link_local_mac(question->remote);
	found = tables_find_mac(common, question->network, &mac);
	detail = &common->details[found];
	return found && ip_equal(&detail->link_local, question->remote)
		       ? find_by_list(question, set, detail->groups, detail->group_count, best)
		       : best;
}

// The groups of the Ports that may use the address beside their own. These can be many, where few
// groups have rules.
static uint32_t find_by_allowed(const struct question *question, const struct rule_set *set,
				uint32_t best)
{
	const struct allowed_map *map = allowed_map_of(question->common, question->domain);
	uint32_t number = map ? prefix_map_find(&map->prefixes, question->remote) : 0;

	for (; number && best > set->best_group; number = map->outer[number - 1]) {
		const uint16_t *groups = map->groups + map->first_group[number - 1];
		uint32_t count = map->first_group[number] - map->first_group[number - 1];

		if (count <= set->group_mask)
			best = find_by_list(question, set, groups, count, best);
		else
			best = rule_set_find_groups(set, question->rule_key, groups, count, best);
	}
	return best;
}

// The index of the first rule that allows the connection, or RULE_NONE.
static uint32_t set_find(const struct question *question, const struct rule_set *set)
{
	uint32_t best;

	if (!set->rule_count)
		return RULE_NONE;
	best = rule_set_find_any(set, question->rule_key);
	best = rule_set_find_prefix(set, question->rule_key, question->remote, best);
	if (best > set->best_group)
		best = find_by_owner(question, set, best);
	if (best > set->best_group)
		best = find_by_allowed(question, set, best);
	return best;
}

// Fills `id` with the first rule that allows the connection: in the first of the Port's groups that
// has one.
static bool policy_allows(const struct question *question, const struct endpoint_detail *detail,
			  enum policy_direction direction, struct flow_rule *id)
{
	for (uint32_t i = 0; i < detail->group_count; i++) {
		const struct group_rules *rules = question->tables->rules[detail->groups[i]];
		uint32_t index = set_find(question, &rules->sets[direction]);

		if (index == RULE_NONE)
			continue;
		*id = (struct flow_rule){.group = detail->groups[i], .rule = index};
		return true;
	}
	return false;
}

static enum verdict judge_end(struct walk *walk, struct question *question,
			      const struct endpoint *endpoint, enum policy_direction direction)
{
	struct flow_rule *id = &walk->rules[direction == POLICY_INGRESS];
	const char *word = direction == POLICY_INGRESS ? "ingress" : "egress";
	const struct flow_key *key = question->key;
	const struct endpoint_detail *detail;

	if (!endpoint || endpoint->peer || endpoint->external)
		return VERDICT_NEXT;
	detail = tables_detail(walk->tables, endpoint);
	if (!detail->group_count) {
		walk_say(walk, "%s of %s: no groups, not filtered", word, detail->name);
		return VERDICT_NEXT;
	}
	question->network = endpoint->network;
	question->domain = walk->tables->networks[endpoint->network].domain;
	question->rule_key =
		rule_key(key->protocol, ip_is_v4(&key->source), ntohs(key->destination_port));
	if (policy_allows(question, detail, direction, id)) {
		walk_say(walk, "%s of %s: allowed by %s[%u]", word, detail->name,
			 question->tables->names[id->group], id->rule);
		return VERDICT_NEXT;
	}
	walk_say(walk, "%s of %s: no rule allows it", word, detail->name);
	walk->dropped_at = endpoint->port;
	return walk_drop(walk, direction == POLICY_INGRESS ? DROP_SECURITY_GROUP_INGRESS
							   : DROP_SECURITY_GROUP_EGRESS);
}

static enum verdict judge(struct walk *walk, const void *tables)
{
	struct flow_key sent, arrives;
	struct question question = {.common = walk->tables, .tables = tables};
	const struct endpoint *opener = walk->source, *other = walk->destination;
	enum verdict verdict;

	if (walk->reply) {
		opener = walk->destination;
		other = walk->source;
	}
	walk_opening(walk, &sent, &arrives);
	question.key = &sent;
	question.remote = &sent.destination;
	verdict = judge_end(walk, &question, opener, POLICY_EGRESS);
	if (verdict != VERDICT_NEXT)
		return verdict;
	if (walk->expected) {
		walk_say(walk, "announced by an allowed connection");
		return VERDICT_NEXT;
	}
	question.key = &arrives;
	// By a virtual address a workload may come to itself: it is asked for as the client that it
	// is, and not as what it sees.
	question.remote = opener == other ? &sent.source : &arrives.source;
	return judge_end(walk, &question, other, POLICY_INGRESS);
}

// One of several receivers: the packet opens no connection, so it always stands for itself.
static enum verdict judge_receiver(struct walk *walk, const void *tables)
{
	struct question question = {
		.common = walk->tables,
		.tables = tables,
		.key = &walk->packet->key,
		.remote = &walk->packet->key.source,
	};

	return judge_end(walk, &question, walk->destination, POLICY_INGRESS);
}

const struct layer security_group_layer = {
	.name = "security-group",
	.kind = LAYER_OPENING,
	.judge = judge,
	.judge_sender = judge,
	.judge_receiver = judge_receiver,
	.compile = security_group_compile,
	.free = security_group_free,
	.compare = security_group_compare,
};
