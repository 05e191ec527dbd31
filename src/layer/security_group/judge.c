// May the connection be opened? Asked at both ends that are ports of this node: egress rules of the
// opener, ingress rules of the other side. A packet in the reply direction is judged as the one
// that opened the connection.

#include <arpa/inet.h>

#include "layer/security_group/security_group.h"
#include "layer/security_group/tables.h"

struct question {
	const struct tables *common;
	const struct security_group_tables *tables;
	const struct flow_key *key; // in the opening direction
	const struct ip_address *remote;
	uint16_t network; // of the end that is asked for
	uint16_t domain;
};

static bool has_group(const struct endpoint_detail *detail, uint16_t group)
{
	for (uint32_t i = 0; i < detail->group_count; i++)
		if (detail->groups[i] == group)
			return true;
	return false;
}

// Is the remote address a Port's own, and that one in the group?
static bool is_own_of_member(const struct question *question, uint16_t group)
{
	const struct tables *common = question->common;
	uint32_t found = lookup_find(&common->by_address,
				     lookup_key_address(question->domain, question->remote));
	struct mac_address mac;

	if (found && !(found & TABLES_SHARED) && has_group(&common->details[found], group))
		return true;
	// Two networks of a domain may have the same link-local address.
	mac = ip_link_local_mac(question->remote);
	found = tables_find_mac(common, question->network, &mac);
	return found && ip_equal(&common->details[found].link_local, question->remote) &&
	       has_group(&common->details[found], group);
}

static bool is_member(const struct question *question, uint16_t group)
{
	const struct security_group_tables *tables = question->tables;

	if (is_own_of_member(question, group) ||
	    lookup_find(&tables->members, member_key(group, question->domain, question->remote)))
		return true;
	for (uint32_t i = 0; i < tables->prefix_count; i++) {
		const struct member_prefix *member = &tables->prefixes[i];

		if (member->group == group && member->domain == question->domain &&
		    ip_in_prefix(question->remote, &member->prefix))
			return true;
	}
	return false;
}

static bool rule_allows(const struct question *question, const struct rule *rule)
{
	const struct flow_key *key = question->key;
	uint16_t port = ntohs(key->destination_port);

	if (rule->protocol == RULE_PROTOCOL_ICMP) {
		if (key->protocol != (ip_is_v4(&key->source) ? IPPROTO_ICMP : IPPROTO_ICMPV6))
			return false;
	} else if (rule->protocol != RULE_PROTOCOL_ANY && rule->protocol != key->protocol) {
		return false;
	}
	if (rule->last_port && (port < rule->first_port || port > rule->last_port))
		return false;
	if (rule->icmp_type >= 0 && port >> 8 != rule->icmp_type)
		return false;
	if (rule->icmp_code >= 0 && (port & 0xff) != rule->icmp_code)
		return false;
	switch (rule->remote) {
	case RULE_REMOTE_PREFIX:
		return ip_in_prefix(question->remote, &rule->prefix);
	case RULE_REMOTE_GROUP:
		return is_member(question, rule->remote_group);
	default:
		return true;
	}
}

// Fills `id` with the first rule that allows the connection.
static bool policy_allows(const struct question *question, const struct policy *policy,
			  enum policy_direction direction, struct flow_rule *id)
{
	for (uint32_t i = 0; i < policy->count[direction]; i++) {
		const struct rule *rule = &policy->rules[direction][i];

		if (!rule_allows(question, rule))
			continue;
		*id = rule->id;
		return true;
	}
	return false;
}

static const struct policy *policy_of(const struct security_group_tables *tables,
				      const struct endpoint *endpoint)
{
	uint32_t index;

	if (!endpoint || endpoint->peer || endpoint->port >= tables->port_count)
		return NULL;
	index = tables->policy_of_port[endpoint->port];
	return index ? &tables->policies[index - 1] : NULL;
}

static enum verdict judge_end(struct walk *walk, struct question *question,
			      const struct endpoint *endpoint, enum policy_direction direction)
{
	const struct policy *policy = policy_of(question->tables, endpoint);
	struct flow_rule *id = &walk->rules[direction == POLICY_INGRESS];
	const char *word = direction == POLICY_INGRESS ? "ingress" : "egress", *port;

	if (!endpoint || endpoint->peer)
		return VERDICT_NEXT;
	port = tables_detail(walk->tables, endpoint)->name;
	if (!policy) {
		walk_say(walk, "%s of %s: no groups, not filtered", word, port);
		return VERDICT_NEXT;
	}
	question->network = endpoint->network;
	question->domain = walk->tables->networks[endpoint->network].domain;
	if (policy_allows(question, policy, direction, id)) {
		walk_say(walk, "%s of %s: allowed by %s[%u]", word, port,
			 question->tables->names[id->group], id->rule);
		return VERDICT_NEXT;
	}
	walk_say(walk, "%s of %s: no rule allows it", word, port);
	walk->dropped_at = endpoint->port;
	return walk_drop(walk, direction == POLICY_INGRESS ? DROP_SECURITY_GROUP_INGRESS
							   : DROP_SECURITY_GROUP_EGRESS);
}

static enum verdict judge(struct walk *walk, const void *tables)
{
	struct flow_key reverse, *key = (struct flow_key *)(uintptr_t)&walk->packet->key;
	struct question question = {.common = walk->tables, .tables = tables};
	const struct endpoint *opener = walk->source, *other = walk->destination;
	enum verdict verdict;

	if (walk->reply) {
		reverse = flow_key_reverse(key, key->network);
		key = &reverse;
		opener = walk->destination;
		other = walk->source;
	}
	question.key = key;
	question.remote = &key->destination;
	verdict = judge_end(walk, &question, opener, POLICY_EGRESS);
	if (verdict != VERDICT_NEXT)
		return verdict;
	question.remote = &key->source;
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
