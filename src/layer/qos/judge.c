// Which limits and marks concern a connection: those of its ends that are ports of this node, and
// of the rules that let it in.

#include "layer/qos/qos.h"

static void consider(struct walk *walk, const struct qos_tables *tables,
		     const struct qos_share *share, enum qos_direction direction, const char *what)
{
	const struct qos_policy *policy;

	if (!share)
		return;
	policy = &tables->policies[share->policy];
	if (qos_limit(tables, share, direction)) {
		walk->action.flags |= FLOW_ACTION_LIMIT;
		walk_say(walk, "%s: limited by %s of %s", what, policy->name,
			 tables_port_name(walk->tables, (uint16_t)(share->key.words[0] >> 32)));
	}
	if (direction == QOS_EGRESS && policy->dscp != QOS_NO_DSCP) {
		walk->action.flags = flow_action_mark(walk->action.flags, policy->dscp);
		walk_say(walk, "%s: marked with DSCP %u by %s", what, policy->dscp, policy->name);
	}
}

static enum verdict judge(struct walk *walk, const void *data)
{
	const struct qos_tables *tables = data;
	const struct endpoint *to = walk->destination;
	uint16_t from = walk->ingress.port;

	if (!tables)
		return VERDICT_NEXT;
	if (from != PORT_UPLINK) {
		consider(walk, tables, qos_find_port(tables, from), QOS_EGRESS, "egress");
		consider(walk, tables, qos_find_rule(tables, from, walk->rules[walk->reply]),
			 QOS_EGRESS, "egress of the rule");
	}
	if (to && !to->peer) {
		consider(walk, tables, qos_find_rule(tables, to->port, walk->rules[!walk->reply]),
			 QOS_INGRESS, "ingress of the rule");
		consider(walk, tables, qos_find_port(tables, to->port), QOS_INGRESS, "ingress");
	}
	if (to && to->port == PORT_UPLINK && qos_quantum(tables, from)) {
		walk->action.flags |= FLOW_ACTION_LIMIT;
		walk_say(walk, "by the uplink when it is the port's turn");
	}
	return VERDICT_NEXT;
}

const struct layer qos_layer = {
	.name = "qos",
	.kind = LAYER_DIRECTION,
	.judge = judge,
	.judge_receiver = judge,
	.compile = qos_compile,
	.free = qos_free,
	.compare = qos_compare,
};
