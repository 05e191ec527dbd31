// Checks of SecurityGroup: its rules.

#include <netinet/in.h>

#include "model/kind/check.h"
#include "model/message.h"
#include "model/rule.h"

static const char *const protocols[] = {"tcp", "udp", "sctp", "icmp"};

static void protocol_check(struct check *check, const Sluice__V1__Object *object, size_t index)
{
	const Sluice__V1__Rule *rule = object->security_group->rules[index];
	uint16_t first, last;
	int protocol;

	if (!rule_protocol_parse(rule->protocol, &protocol)) {
		const char *near = nearest_word(rule->protocol, protocols, 4);

		problems_add(check->problems, object, CHECK_PATH("rules[%zu].protocol", index),
			     "'%s' is not tcp, udp, sctp, icmp or a number 0 to 255%s%s%s",
			     rule->protocol, near ? ", did you mean '" : "", near ? near : "",
			     near ? "'?" : "");
		return;
	}
	if (*rule->ports) {
		const char *field = CHECK_PATH("rules[%zu].ports", index);

		if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP && protocol != IPPROTO_SCTP)
			problems_add(check->problems, object, field,
				     "only tcp, udp and sctp have ports");
		else if (!rule_ports_parse(rule->ports, &first, &last))
			problems_add(check->problems, object, field,
				     "'%s' is no port 1 to 65535 or range of them, as 80-81",
				     rule->ports);
	}
	if (!rule->has_icmp_type_case && !rule->has_icmp_code_case)
		return;
	const char *type_field = CHECK_PATH("rules[%zu].icmpType", index);
	const char *code_field = CHECK_PATH("rules[%zu].icmpCode", index);
	if (protocol != RULE_PROTOCOL_ICMP && protocol != IPPROTO_ICMP &&
	    protocol != IPPROTO_ICMPV6) {
		problems_add(check->problems, object,
			     rule->has_icmp_type_case ? type_field : code_field,
			     "only icmp has types and codes");
		return;
	}
	if (rule->has_icmp_type_case && rule->icmp_type > 255)
		problems_add(check->problems, object, type_field, "%u is not 0 to 255",
			     rule->icmp_type);
	if (rule->has_icmp_code_case && rule->icmp_code > 255)
		problems_add(check->problems, object, code_field, "%u is not 0 to 255",
			     rule->icmp_code);
	if (!rule->has_icmp_type_case)
		problems_add(check->problems, object, code_field, "means nothing without icmpType");
}

// A minimum is of all that a Port sends.
static void policy_check(struct check *check, const Sluice__V1__Object *object, const char *field,
			 const char *name)
{
	const Sluice__V1__Object *policy;

	if (!*name ||
	    !check_reference(check, object, field, SLUICE__V1__OBJECT__KIND_QOS_POLICY, name))
		return;
	policy = object_set_find(check->set, SLUICE__V1__OBJECT__KIND_QOS_POLICY, name);
	if (policy && *policy->qos_policy->minimum)
		problem_other(problems_add(check->problems, object, field,
					   "QosPolicy/%s has a minimum, which only Ports can have",
					   name),
			      policy, "minimum");
}

static void rule_check(struct check *check, const Sluice__V1__Object *object, size_t index)
{
	const Sluice__V1__Rule *rule = object->security_group->rules[index];
	struct ip_prefix prefix;

	if (rule->direction == SLUICE__V1__DIRECTION__DIRECTION_UNSPECIFIED)
		problems_add(check->problems, object, CHECK_PATH("rules[%zu].direction", index),
			     "missing, it is ingress or egress");
	protocol_check(check, object, index);
	policy_check(check, object, CHECK_PATH("rules[%zu].qosPolicy", index), rule->qos_policy);
	if (!rule->remote)
		return;
	if (rule->remote->remote_case == SLUICE__V1__REMOTE__REMOTE_CIDR)
		check_prefix(check, object, CHECK_PATH("rules[%zu].remote.cidr", index),
			     rule->remote->cidr, &prefix);
	else if (rule->remote->remote_case == SLUICE__V1__REMOTE__REMOTE_GROUP)
		check_reference(check, object, CHECK_PATH("rules[%zu].remote.group", index),
				SLUICE__V1__OBJECT__KIND_SECURITY_GROUP, rule->remote->group);
}

// A limit of its own for each such rule and each Port of the group.
#define RULES_LIMITED_MAX 256

static void policies_check(struct check *check, const Sluice__V1__Object *object)
{
	const Sluice__V1__SecurityGroup *group = object->security_group;
	size_t limited = 0;

	policy_check(check, object, "qosPolicy", group->qos_policy);
	for (size_t i = 0; i < group->n_rules; i++)
		if (*group->rules[i]->qos_policy && ++limited == RULES_LIMITED_MAX + 1)
			problems_add(check->problems, object, CHECK_PATH("rules[%zu].qosPolicy", i),
				     "more than %d rules with a policy", RULES_LIMITED_MAX);
}

void security_group_check(struct check *check)
{
	size_t count = check_count(check, SLUICE__V1__OBJECT__KIND_SECURITY_GROUP);

	for (size_t i = 0; i < count; i++) {
		const Sluice__V1__Object *object =
			check_at(check, SLUICE__V1__OBJECT__KIND_SECURITY_GROUP, i);

		if (object->security_group->n_rules > RULES_MAX)
			problems_add(check->problems, object, "rules", "more than %d", RULES_MAX);
		policies_check(check, object);
		for (size_t r = 0; r < object->security_group->n_rules; r++)
			rule_check(check, object, r);
	}
}
