#include "layer/compare.h"
#include "layer/security_group/security_group.h"
#include "layer/security_group/tables.h"

static bool rules_equal(const struct group_rules *a, const struct group_rules *b)
{
	if (!a || !b)
		return a == b;
	return a == b || (rule_set_equal(&a->sets[POLICY_INGRESS], &b->sets[POLICY_INGRESS]) &&
			  rule_set_equal(&a->sets[POLICY_EGRESS], &b->sets[POLICY_EGRESS]));
}

void security_group_compare(const void *have, const void *want, const struct tables *common,
			    struct differences *differences)
{
	const struct security_group_tables *a = have, *b = want;

	if (a->group_count != b->group_count ||
	    (b->group_count &&
	     memcmp(a->names, b->names, b->group_count * sizeof(*a->names)) != 0)) {
		differences_add(differences, "names of security groups");
		return;
	}
	for (uint32_t number = 0; number < b->group_count; number++)
		if (!rules_equal(a->rules[number], b->rules[number]))
			differences_add(differences, "SecurityGroup/%s: rules", b->names[number]);
}
