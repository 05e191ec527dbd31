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
static uint16_t compile_protocol(const char *text)
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

static void compile_rule(const Sluice__V1__Rule *object, struct numbers *groups,
			 struct flow_rule id, struct rule *rule)
{
	*rule = (struct rule){.protocol = compile_protocol(object->protocol),
			      .icmp_type = -1,
			      .icmp_code = -1,
			      .id = id};
	if (object->ports && *object->ports) {
		const char *dash = strchr(object->ports, '-');

		rule->first_port = (uint16_t)atoi(object->ports);
		rule->last_port = dash ? (uint16_t)atoi(dash + 1) : rule->first_port;
	}
	if (object->has_icmp_type_case)
		rule->icmp_type = (int16_t)object->icmp_type;
	if (object->has_icmp_code_case)
		rule->icmp_code = (int16_t)object->icmp_code;
	if (!object->remote)
		return;
	if (object->remote->remote_case == SLUICE__V1__REMOTE__REMOTE_CIDR) {
		rule->remote = RULE_REMOTE_PREFIX;
		prefix_parse(object->remote->cidr, &rule->prefix);
	} else if (object->remote->remote_case == SLUICE__V1__REMOTE__REMOTE_GROUP) {
		rule->remote = RULE_REMOTE_GROUP;
		rule->remote_group = (uint16_t)numbers_find(groups, object->remote->group);
	}
}

static const Sluice__V1__SecurityGroup *find_group(const struct compile *compile, const char *name)
{
	const Sluice__V1__Object *object =
		object_set_find(compile->objects, SLUICE__V1__OBJECT__KIND_SECURITY_GROUP, name);

	return object ? object->security_group : NULL;
}

static int compile_policy(const struct compile *compile, const Sluice__V1__Port *port,
			  struct policy *policy, struct error *err)
{
	struct numbers *groups = &compile->numbers->groups;
	size_t total = 0;

	for (size_t i = 0; i < port->n_security_groups; i++)
		total += find_group(compile, port->security_groups[i])->n_rules;
	policy->rules[POLICY_INGRESS] = calloc(total + 1, sizeof(struct rule));
	policy->rules[POLICY_EGRESS] = calloc(total + 1, sizeof(struct rule));
	if (!policy->rules[POLICY_INGRESS] || !policy->rules[POLICY_EGRESS])
		return no_memory(err);
	for (size_t i = 0; i < port->n_security_groups; i++) {
		const Sluice__V1__SecurityGroup *group =
			find_group(compile, port->security_groups[i]);

		for (size_t j = 0; j < group->n_rules; j++) {
			enum policy_direction direction =
				group->rules[j]->direction ==
						SLUICE__V1__DIRECTION__DIRECTION_EGRESS
					? POLICY_EGRESS
					: POLICY_INGRESS;
			struct flow_rule id = {
				.group = (uint16_t)numbers_find(groups, group->name),
				.rule = (uint16_t)j,
			};

			compile_rule(group->rules[j], groups, id,
				     &policy->rules[direction][policy->count[direction]++]);
		}
	}
	return 0;
}

// What members of a group may use beside their own addresses, which the common tables know.
static int compile_members(const struct compile *compile, struct security_group_tables *tables,
			   struct error *err)
{
	const struct tables *common = compile->tables;
	size_t prefixes = 0;

	for (uint32_t i = 1; i < common->endpoint_count; i++)
		prefixes +=
			(size_t)common->details[i].group_count * common->details[i].allowed_count;
	tables->prefixes = calloc(prefixes + 1, sizeof(*tables->prefixes));
	if (!tables->prefixes)
		return no_memory(err);
	for (uint32_t i = 1; prefixes && i < common->endpoint_count; i++) {
		const struct endpoint_detail *detail = &common->details[i];
		uint16_t domain = common->networks[common->endpoints[i].network].domain;

		for (uint32_t j = 0; j < detail->group_count * detail->allowed_count; j++) {
			uint16_t group = detail->groups[j / detail->allowed_count];
			const struct ip_prefix *allowed =
				&detail->allowed[j % detail->allowed_count];

			if (allowed->length != 128)
				tables->prefixes[tables->prefix_count++] =
					(struct member_prefix){group, domain, *allowed};
			else if (!lookup_add(&tables->members,
					     member_key(group, domain, &allowed->address), 1))
				return no_memory(err);
		}
	}
	return 0;
}

static int compile_groups(const struct compile *compile, struct security_group_tables *tables,
			  struct error *err)
{
	struct numbers *groups = &compile->numbers->groups;
	size_t count = object_set_count(compile->objects, SLUICE__V1__OBJECT__KIND_SECURITY_GROUP);

	for (size_t i = 0; i < count; i++) {
		uint32_t number = numbers_find(
			groups,
			object_set_at(compile->objects, SLUICE__V1__OBJECT__KIND_SECURITY_GROUP, i)
				->security_group->name);

		if (number >= tables->name_count)
			tables->name_count = number + 1;
	}
	tables->names = calloc(tables->name_count + 1, sizeof(*tables->names));
	if (!tables->names)
		return no_memory(err);
	for (uint32_t i = 1; i < tables->name_count; i++)
		if (groups->names[i])
			snprintf(tables->names[i], sizeof(tables->names[i]), "%s",
				 groups->names[i]);
	return 0;
}

static int compile_policies(const struct compile *compile, struct security_group_tables *tables,
			    struct error *err)
{
	const struct tables *common = compile->tables;

	tables->port_count = common->port_count;
	tables->policies = calloc(tables->port_count, sizeof(*tables->policies));
	tables->policy_of_port = calloc(tables->port_count, sizeof(*tables->policy_of_port));
	if (!tables->policies || !tables->policy_of_port)
		return no_memory(err);
	for (uint32_t number = 1; number < common->port_count; number++) {
		uint32_t index = common->ports[number].endpoint;
		const Sluice__V1__Object *object;

		if (!index || !common->details[index].group_count)
			continue;
		object = object_set_at(compile->objects, SLUICE__V1__OBJECT__KIND_PORT, index - 1);
		if (compile_policy(compile, object->port, &tables->policies[tables->policy_count++],
				   err) < 0)
			return -1;
		tables->policy_of_port[number] = tables->policy_count;
	}
	return 0;
}

int security_group_compile(const struct compile *compile, void **result, struct error *err)
{
	struct security_group_tables *tables = calloc(1, sizeof(*tables));

	if (!tables)
		return no_memory(err);
	if (compile_groups(compile, tables, err) < 0 ||
	    compile_policies(compile, tables, err) < 0 ||
	    compile_members(compile, tables, err) < 0) {
		security_group_free(tables);
		return -1;
	}
	*result = tables;
	return 0;
}

void security_group_free(void *pointer)
{
	struct security_group_tables *tables = pointer;

	for (uint32_t i = 0; i < tables->policy_count; i++) {
		free(tables->policies[i].rules[POLICY_INGRESS]);
		free(tables->policies[i].rules[POLICY_EGRESS]);
	}
	free(tables->policies);
	free(tables->policy_of_port);
	free(tables->prefixes);
	free(tables->names);
	lookup_free(&tables->members);
	free(tables);
}
