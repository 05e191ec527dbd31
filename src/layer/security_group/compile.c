#include <stdio.h>
#include <stdlib.h>

#include "layer/compile.h"
#include "layer/security_group/security_group.h"
#include "layer/security_group/tables.h"

static int no_memory(struct error *err)
{
	return error_set(err, "no memory for the security groups");
}

// The set is valid: what can't be read here was refused before.
static uint16_t read_protocol(const char *text)
{
	static const struct {
		const char *name;
		uint16_t number;
	} names[] = {{"tcp", IPPROTO_TCP},
		     {"udp", IPPROTO_UDP},
		     {"sctp", IPPROTO_SCTP},
		     {"icmp", RULE_PROTOCOL_ICMP}};

	if (!text || !*text)
		return RULE_PROTOCOL_ANY;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(text, names[i].name) == 0)
			return names[i].number;
	return (uint16_t)atoi(text);
}

static void read_ports(const Sluice__V1__Rule *object, struct rule *rule)
{
	rule->last = UINT16_MAX;
	if (object->ports && *object->ports) {
		const char *dash = strchr(object->ports, '-');

		rule->first = (uint16_t)atoi(object->ports);
		rule->last = dash ? (uint16_t)atoi(dash + 1) : rule->first;
	}
	if (!object->has_icmp_type_case)
		return;
	rule->first = (uint16_t)(object->icmp_type << 8);
	rule->last = rule->first | 0xff;
	if (object->has_icmp_code_case)
		rule->first = rule->last = (uint16_t)(rule->first | object->icmp_code);
}

static void rule_read(const Sluice__V1__Rule *object, uint32_t index, const struct numbers *groups,
		      struct rule *rule)
{
	*rule = (struct rule){.index = index, .protocol = read_protocol(object->protocol)};
	read_ports(object, rule);
	if (!object->remote)
		return;
	if (object->remote->remote_case == SLUICE__V1__REMOTE__REMOTE_CIDR) {
		rule->remote = RULE_REMOTE_PREFIX;
		prefix_parse(object->remote->cidr, &rule->prefix);
	} else if (object->remote->remote_case == SLUICE__V1__REMOTE__REMOTE_GROUP) {
		rule->remote = RULE_REMOTE_GROUP;
		rule->group = (uint16_t)numbers_find(groups, object->remote->group);
	}
}

static void rules_release(struct group_rules *rules)
{
	if (!rules || --rules->references)
		return;
	rule_set_free(&rules->sets[POLICY_INGRESS]);
	rule_set_free(&rules->sets[POLICY_EGRESS]);
	free(rules);
}

static const struct security_group_tables *previous_tables(const struct compile *compile)
{
	for (unsigned int i = 0; compile->previous && layers[i]; i++)
		if (layers[i] == &security_group_layer)
			return compile->previous->layers[i];
	return NULL;
}

static bool build_sets(struct group_rules *rules, const Sluice__V1__SecurityGroup *group,
		       const struct numbers *groups, struct rule *room)
{
	struct rule *end = room + group->n_rules;
	size_t counts[2] = {0, 0};

	// Ingress rules from the front, egress rules from the back.
	for (size_t i = 0; i < group->n_rules; i++)
		if (group->rules[i]->direction != SLUICE__V1__DIRECTION__DIRECTION_EGRESS)
			rule_read(group->rules[i], (uint32_t)i, groups,
				  &room[counts[POLICY_INGRESS]++]);
	for (size_t i = group->n_rules; i > 0; i--)
		if (group->rules[i - 1]->direction == SLUICE__V1__DIRECTION__DIRECTION_EGRESS)
			rule_read(group->rules[i - 1], (uint32_t)i - 1, groups,
				  end - ++counts[POLICY_EGRESS]);
	return rule_set_build(&rules->sets[POLICY_INGRESS], room,
			      (uint32_t)counts[POLICY_INGRESS]) &&
	       rule_set_build(&rules->sets[POLICY_EGRESS], end - counts[POLICY_EGRESS],
			      (uint32_t)counts[POLICY_EGRESS]);
}

static struct group_rules *compile_rules(const struct compile *compile,
					 const Sluice__V1__SecurityGroup *group)
{
	struct group_rules *rules = calloc(1, sizeof(*rules));
	struct rule *room = malloc((group->n_rules + 1) * sizeof(*room));

	if (rules)
		rules->references = 1;
	if (!rules || !room || !build_sets(rules, group, &compile->numbers->groups, room)) {
		rules_release(rules);
		rules = NULL;
	}
	free(room);
	return rules;
}

// Marks the groups whose rules this node needs.
static void mark_used(const struct tables *common, bool *used)
{
	for (uint32_t number = 1; number < common->port_count; number++) {
		const struct endpoint_detail *detail =
			&common->details[common->ports[number].endpoint];

		for (uint32_t i = 0; i < detail->group_count; i++)
			used[detail->groups[i]] = true;
	}
}

static const Sluice__V1__SecurityGroup *group_at(const struct compile *compile, size_t place)
{
	return object_set_at(compile->objects, SLUICE__V1__OBJECT__KIND_SECURITY_GROUP, place)
		->security_group;
}

static int compile_group(const struct compile *compile, struct security_group_tables *tables,
			 size_t place, const bool *used, struct error *err)
{
	const struct security_group_tables *previous = previous_tables(compile);
	const Sluice__V1__SecurityGroup *group = group_at(compile, place);
	uint32_t number = numbers_find(&compile->numbers->groups, group->name);
	struct group_rules *kept = NULL;

	snprintf(tables->names[number], sizeof(tables->names[number]), "%s", group->name);
	if (!used[number])
		return 0;
	if (previous && number < previous->group_count &&
	    compile_kept(compile, SLUICE__V1__OBJECT__KIND_SECURITY_GROUP, place))
		kept = previous->rules[number];
	if (kept)
		kept->references++;
	else
		kept = compile_rules(compile, group);
	tables->rules[number] = kept;
	return kept ? 0 : no_memory(err);
}

// Room for all numbers in use.
static uint32_t count_groups(const struct compile *compile)
{
	size_t count = object_set_count(compile->objects, SLUICE__V1__OBJECT__KIND_SECURITY_GROUP);
	uint32_t end = 1;

	for (size_t i = 0; i < count; i++) {
		uint32_t number =
			numbers_find(&compile->numbers->groups, group_at(compile, i)->name);

		if (number >= end)
			end = number + 1;
	}
	return end;
}

static int compile_groups(const struct compile *compile, struct security_group_tables *tables,
			  const bool *used, struct error *err)
{
	size_t count = object_set_count(compile->objects, SLUICE__V1__OBJECT__KIND_SECURITY_GROUP);

	for (size_t i = 0; i < count; i++)
		if (compile_group(compile, tables, i, used, err) < 0)
			return -1;
	return 0;
}

int security_group_compile(const struct compile *compile, void **result, struct error *err)
{
	struct security_group_tables *tables = calloc(1, sizeof(*tables));
	bool *used;
	int compiled = -1;

	if (!tables)
		return no_memory(err);
	tables->group_count = count_groups(compile);
	tables->rules = calloc(tables->group_count, sizeof(*tables->rules));
	tables->names = calloc(tables->group_count, sizeof(*tables->names));
	used = calloc(tables->group_count, sizeof(*used));
	if (tables->rules && tables->names && used) {
		mark_used(compile->tables, used);
		compiled = compile_groups(compile, tables, used, err);
	} else {
		no_memory(err);
	}
	free(used);
	if (compiled < 0)
		security_group_free(tables);
	else
		*result = tables;
	return compiled;
}

void security_group_free(void *pointer)
{
	struct security_group_tables *tables = pointer;

	for (uint32_t i = 0; tables->rules && i < tables->group_count; i++)
		rules_release(tables->rules[i]);
	free(tables->rules);
	free(tables->names);
	free(tables);
}
