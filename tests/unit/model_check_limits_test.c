// Validation of what only other programs send, of more than there may be, and of more problems than
// anybody reads.

#include "model_sound_set.h"

#include "model/rule.h"

// What only a client other than ours can send.
static void test_wire(void **state)
{
	struct object_set *set = sound_set_with("{kind: Network, name: n, vrf: t}");
	struct problems problems = {0};
	const Sluice__V1__Object *object =
		object_set_find(set, SLUICE__V1__OBJECT__KIND_NETWORK, "n");
	Sluice__V1__Network *network = object->network;
	// Field 99, a number.
	static const uint8_t unknown[] = {0x0a, 1, 'x', 0x98, 0x06, 5};
	Sluice__V1__Object *vrf = calloc(1, sizeof(*vrf));

	network->encapsulation = 77;
	strcpy(network->vrf, "\xff");
	sluice__v1__object__init(vrf);
	vrf->kind_case = SLUICE__V1__OBJECT__KIND_VRF;
	vrf->vrf = sluice__v1__vrf__unpack(NULL, sizeof(unknown), unknown);
	object_set_put(set, vrf);
	set_check(set, NULL, &problems);
	char *text = problems_text(&problems);
	assert_string_equal(text, "Vrf/x: has field number 99, which this version does not know\n"
				  "Network/n: vrf: is not UTF-8\n"
				  "Network/n: encapsulation: 77 is no value of Encapsulation\n"
				  "Network/n: vrf: no Vrf '?'\n");
	free(text);
	problems_clear(&problems);
	object_set_free(set);
}

static void test_many_problems(void **state)
{
	struct object_set *set = object_set_new();
	struct problems problems = {0};
	char summary[200];

	for (size_t i = 0; i < 2 * PROBLEMS_MAX; i++) {
		Sluice__V1__Object *object = calloc(1, sizeof(*object));
		char name[32];

		sluice__v1__object__init(object);
		object->kind_case = SLUICE__V1__OBJECT__KIND_VRF;
		object->vrf = calloc(1, sizeof(*object->vrf));
		sluice__v1__vrf__init(object->vrf);
		snprintf(name, sizeof(name), ".%zu", i);
		object->vrf->name = strdup(name);
		object_set_put(set, object);
	}
	set_check(set, NULL, &problems);
	assert_int_equal(problems.count, PROBLEMS_MAX);
	assert_int_equal(problems_message(&problems).total, 2 * PROBLEMS_MAX);
	assert_non_null(
		strstr(problems_summary(&problems, summary, sizeof(summary)), "(and 999 more)"));
	problems_clear(&problems);
	object_set_free(set);
}

static void test_rule_texts(void **state)
{
	uint16_t first, last;
	int protocol;

	assert_true(rule_protocol_parse("", &protocol) && protocol == RULE_PROTOCOL_ANY);
	assert_true(rule_protocol_parse("icmp", &protocol) && protocol == RULE_PROTOCOL_ICMP);
	assert_true(rule_protocol_parse("0", &protocol) && protocol == 0);
	assert_false(rule_protocol_parse("06", &protocol));
	assert_false(rule_protocol_parse("99999999999999999999", &protocol));
	assert_true(rule_ports_parse("", &first, &last) && first == 0 && last == 65535);
	assert_true(rule_ports_parse("80-81", &first, &last) && first == 80 && last == 81);
	assert_false(rule_ports_parse("80-", &first, &last));
	assert_false(rule_ports_parse("-80", &first, &last));
	assert_false(rule_ports_parse("80 -81", &first, &last));
	assert_false(rule_ports_parse("1-2-3", &first, &last));
}

static void check_limit(const char *yaml, const char *problem)
{
	struct object_set *set = sound_set_with(yaml);
	struct problems problems = {0};
	char *text;

	set_check(set, NULL, &problems);
	text = problems_text(&problems);
	if (!strstr(text, problem))
		fail_msg("%s instead of %s", text, problem);
	free(text);
	problems_clear(&problems);
	object_set_free(set);
}

// One more than there may be.
static void test_limits(void **state)
{
	char yaml[16384];
	size_t used;

	used = (size_t)snprintf(yaml, sizeof(yaml),
				"{kind: Port, name: n, node: b, network: alone, mac: "
				"'52:54:00:00:00:02', device: {tap: {name: n}}, securityGroups: [");
	for (uint32_t i = 0; i < 64; i++)
		used += (size_t)snprintf(yaml + used, sizeof(yaml) - used, "web, ");
	snprintf(yaml + used, sizeof(yaml) - used, "web]}");
	check_limit(yaml, "Port/n: securityGroups: more than 64\n");
	used = (size_t)snprintf(yaml, sizeof(yaml), "{kind: Network, name: n, vni: 77, subnets: [");
	for (uint32_t i = 0; i < 257; i++)
		used += (size_t)snprintf(yaml + used, sizeof(yaml) - used,
					 "%s{cidr: 10.%u.%u.0/24}", i ? ", " : "", i >> 8, i & 255);
	snprintf(yaml + used, sizeof(yaml) - used, "]}");
	check_limit(yaml, "Network/n: subnets: more than 256\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wire),
		cmocka_unit_test(test_many_problems),
		cmocka_unit_test(test_rule_texts),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
