#include "layer/compare.h"
#include "layer/security_group/security_group.h"
#include "layer/security_group/tables.h"

static bool rule_equal(const struct rule *a, const struct rule *b)
{
	return a->protocol == b->protocol && a->remote == b->remote &&
	       a->first_port == b->first_port && a->last_port == b->last_port &&
	       a->icmp_type == b->icmp_type && a->icmp_code == b->icmp_code &&
	       a->id.group == b->id.group && a->id.rule == b->id.rule &&
	       a->remote_group == b->remote_group && prefix_equal(&a->prefix, &b->prefix);
}

static bool policy_equal(const struct policy *a, const struct policy *b)
{
	for (int direction = 0; direction < 2; direction++) {
		if (a->count[direction] != b->count[direction])
			return false;
		for (uint32_t i = 0; i < a->count[direction]; i++)
			if (!rule_equal(&a->rules[direction][i], &b->rules[direction][i]))
				return false;
	}
	return true;
}

static bool members_equal(const struct security_group_tables *a,
			  const struct security_group_tables *b)
{
	if (a->prefix_count != b->prefix_count || !lookup_equal(&a->members, &b->members))
		return false;
	for (uint32_t i = 0; i < a->prefix_count; i++)
		if (a->prefixes[i].group != b->prefixes[i].group ||
		    a->prefixes[i].domain != b->prefixes[i].domain ||
		    !prefix_equal(&a->prefixes[i].prefix, &b->prefixes[i].prefix))
			return false;
	return true;
}

void security_group_compare(const void *have, const void *want, const struct tables *common,
			    struct differences *differences)
{
	const struct security_group_tables *a = have, *b = want;

	if (!members_equal(a, b))
		differences_add(differences, "members of security groups");
	if (a->name_count != b->name_count ||
	    (b->name_count && memcmp(a->names, b->names, b->name_count * sizeof(*a->names)) != 0))
		differences_add(differences, "names of security groups");
	if (a->policy_count != b->policy_count || a->port_count != b->port_count) {
		differences_add(differences, "rules of %u ports instead of %u", a->policy_count,
				b->policy_count);
		return;
	}
	for (uint32_t number = 0; number < b->port_count; number++) {
		uint32_t index = b->policy_of_port[number];

		if (a->policy_of_port[number] != index ||
		    (index && !policy_equal(&a->policies[index - 1], &b->policies[index - 1])))
			differences_add(differences, "Port/%s: rules",
					tables_port_name(common, number));
	}
}
