// Objects in YAML and JSON: what is read, and what is refused with which line.

#include "model_everything.h"

#include <unistd.h>

#define PORT "kind: Port\nname: p\n"

// A text and all the error lines that it leads to.
static const struct {
	const char *text;
	const char *errors;
} wrong[] = {
	{"name: x\n", "f:1: x: kind: missing\n"},
	{"kind:\nname: x\n", "f:1: x: kind: missing\n"},
	{"kind: [a]\nname: x\n", "f:1: x: kind must be a word\n"},
	{"kind: Foo\nname: x\n", "f:1: x: unknown kind 'Foo'\n"},
	{"kind: Prot\nname: x\n", "f:1: x: unknown kind 'Prot', did you mean 'Port'?\n"},
	{"kind: port\nname: x\n", "f:1: x: unknown kind 'port', did you mean 'Port'?\n"},
	{"kind: Ports\nname: x\n", "f:1: x: unknown kind 'Ports', did you mean 'Port'?\n"},
	{"kind: Vrf\n", "f:1: Vrf: name: missing\n"},
	{"kind: Vrf\nname:\n", "f:2: Vrf: name: missing\n"},
	{"kind: Vrf\nname: \"\"\n", "f:2: Vrf: name: missing\n"},
	{"kind: Vrf\nname: [a]\n", "f:2: Vrf: name: must be a single value, not a list\n"},
	{"kind: Vrf\nname: a\nname: b\n", "f:3: Vrf/a: name: is given twice, first in line 2\n"},
	{"kind: Vrf\nname: a\nkind: Vrf\n", "f:3: Vrf/a: kind is given twice, first in line 1\n"},
	{PORT "adresses: []\n",
	 "f:3: Port/p: adresses: unknown field, did you mean 'addresses'?\n"},
	{PORT "security_groups: []\n",
	 "f:3: Port/p: security_groups: unknown field, did you mean 'securityGroups'?\n"},
	{PORT "zzzzzzzz: 1\n", "f:3: Port/p: zzzzzzzz: unknown field\n"},
	{PORT "addresses: 10.0.0.1\n", "f:3: Port/p: addresses: must be a list\n"},
	{PORT "addresses: {a: b}\n", "f:3: Port/p: addresses: must be a list\n"},
	{PORT "addresses:\n- 10.0.0.1\n-\n", "f:5: Port/p: addresses[1]: is empty\n"},
	{PORT "addresses:\n- [a]\n- b: c\n",
	 "f:4: Port/p: addresses[0]: must be a single value, not a list\n"
	 "f:5: Port/p: addresses[1]: must be a single value, not a mapping\n"},
	{PORT "device: tap\n", "f:3: Port/p: device: must be a mapping\n"},
	{PORT "device: [tap]\n", "f:3: Port/p: device: must be a mapping\n"},
	{PORT "device: {tap: {nme: a}}\n",
	 "f:3: Port/p: device.tap.nme: unknown field, did you mean 'name'?\n"},
	{PORT "device: {pci: a, devargs: b}\n",
	 "f:3: Port/p: device.devargs: is given beside pci, only one of them may be\n"},
	{PORT "device:\n  tap: {name: a}\n  netdev: {name: a}\n",
	 "f:5: Port/p: device.netdev: is given beside tap, only one of them may be\n"},
	{PORT "device: {vhostUser: {mode: x}}\n",
	 "f:3: Port/p: device.vhostUser.mode: must be client or server, not 'x'\n"},
	{PORT "device: {vhostUser: {mode: Client}}\n",
	 "f:3: Port/p: device.vhostUser.mode: must be client or server, not 'Client', did you mean "
	 "'client'?\n"},
	{PORT "device: {vhostUser: {mode: unspecified}}\n",
	 "f:3: Port/p: device.vhostUser.mode: must be client or server, not 'unspecified'\n"},
	{PORT "device: {vhostUser: {mode: VHOST_USER_MODE_CLIENT}}\n",
	 "f:3: Port/p: device.vhostUser.mode: must be client or server, not "
	 "'VHOST_USER_MODE_CLIENT'\n"},
	{PORT "device: {vhostUser: {queues: many}}\n",
	 "f:3: Port/p: device.vhostUser.queues: must be a whole number, not 'many'\n"},
	{"kind: Network\nname: n\nmtu: 1500.5\n",
	 "f:3: Network/n: mtu: must be a whole number, not '1500.5'\n"},
	{"kind: Network\nname: n\nmtu: 0x10\n",
	 "f:3: Network/n: mtu: must be a whole number, not '0x10'\n"},
	{"kind: Network\nname: n\nmtu: ' 1'\n",
	 "f:3: Network/n: mtu: must be a whole number, not ' 1'\n"},
	{"kind: Network\nname: n\nmtu: -1\n", "f:3: Network/n: mtu: -1 is out of range\n"},
	{"kind: Network\nname: n\nvni: 4294967296\n",
	 "f:3: Network/n: vni: 4294967296 is out of range\n"},
	{"kind: Network\nname: n\nvni: 99999999999999999999999\n",
	 "f:3: Network/n: vni: 99999999999999999999999 is out of range\n"},
	{"kind: Network\nname: n\nvni: [1]\n",
	 "f:3: Network/n: vni: must be a single value, not a list\n"},
	{"kind: Network\nname: n\nsubnets:\n- cidr: a\n  gatway: b\n- cidr: c\n  cidr: d\n",
	 "f:5: Network/n: subnets[0].gatway: unknown field, did you mean 'gateway'?\n"
	 "f:7: Network/n: subnets[1].cidr: is given twice, first in line 6\n"},
	{"kind: SecurityGroup\nname: s\nrules:\n- direction: in\n- directoin: ingress\n",
	 "f:4: SecurityGroup/s: rules[0].direction: must be ingress or egress, not 'in'\n"
	 "f:5: SecurityGroup/s: rules[1].directoin: unknown field, did you mean 'direction'?\n"},
	{"hello\n", "f:1: an object must be a mapping with kind, name and fields\n"},
	{"- - a\n", "f:1: an object must be a mapping with kind, name and fields\n"},
	{"- a\n-\n", "f:1: an object must be a mapping with kind, name and fields\n"
		     "f:2: an object must be a mapping with kind, name and fields\n"},
	{"kind: Vrf\nname: *a\n", "f:2: there is no anchor &a before this alias\n"},
	{"*a\n", "f:1: there is no anchor &a before this alias\n"},
	// An anchor is one of its document, and not inside itself.
	{"kind: Vrf\nname: &a x\n---\nkind: Vrf\nname: *a\n",
	 "f:5: there is no anchor &a before this alias\n"},
	{"&a [*a]\n", "f:1: there is no anchor &a before this alias\n"},
	{"kind: Vrf\nname: x\n<<: 1\n", "f:1: << takes a mapping (*NAME), or a list of them\n"},
	{"kind: Vrf\nname: x\n<<: [{}, 1]\n",
	 "f:1: << takes a mapping (*NAME), or a list of them\n"},
	{"kind: Vrf\nname: x\n'<<': {}\n", "f:3: Vrf/x: <<: unknown field\n"},
	{"- &a {kind: Vrf, name: x}\n- <<: *a\n  name: y\n  nmae: z\n",
	 "f:4: Vrf/y: nmae: unknown field, did you mean 'name'?\n"},
	// After a document that is no YAML the next one is read.
	{"kind: Vrf\nname: \"x\n---\nkind: Prot\n---\n\tkind: Vrf\n---\nname: x\n",
	 "f:2: no valid YAML: quotes are opened here and not closed\n"
	 "f:4: unknown kind 'Prot', did you mean 'Port'?\n"
	 "f:6: no valid YAML: a tab in the indentation, which has to be of spaces\n"
	 "f:8: x: kind: missing\n"},
	{"\xff\xfek", "f:1: is UTF-16, and has to be UTF-8\n"},
	{"{\"kind\": \"Vrf\", \"name\": \"x\"}\n{\"kind\": \"Vrf\", \"nam\": \"y\"}\n[{}]",
	 "f:2: Vrf: name: missing\nf:2: Vrf: nam: unknown field, did you mean 'name'?\n"
	 "f:3: kind: missing\n"},
	{"kind: Vrf\nname: !!str x\n", "f:2: tags (!) are not supported\n"},
	{"kind: Vrf\n[a]: b\n", "f:2: a key must be a word\n"},
	{"kind: Vrf\n? {a: b}\n: c\n", "f:2: a key must be a word\n"},
	{"kind: Vrf\nname: \"a\\0b\"\n", "f:2: a string has a zero byte\n"},
	{"kind: Vrf\nname: x\nname2: [[[[[[[[[[[[[[[[[[\n", "f:3: nested too deeply\n"},
	// The object before the fault is read all the same.
	{"kind: Vrf\nname: x\n---\nkind: Vrf\nname: x\n",
	 "f:4: Vrf/x: is given twice, first at f:1\n"},
	{"kind: Prot\nname: x\n---\nkind: Vrf\nnam: y\n",
	 "f:1: x: unknown kind 'Prot', did you mean 'Port'?\n"
	 "f:4: Vrf: name: missing\n"
	 "f:5: Vrf: nam: unknown field, did you mean 'name'?\n"},
	{"{\"kind\": \"Vrf\", \"name\": \"x\", \"mtu\": 1}", "f:1: Vrf/x: mtu: unknown field\n"},
};

static char *document_errors(const char *text)
{
	struct document *document = document_new();
	char *errors = NULL;
	size_t size;
	FILE *file = open_memstream(&errors, &size);

	document_parse(document, "f", text, strlen(text));
	for (size_t i = 0; i < document->error_count; i++)
		fprintf(file, "%s\n", document->errors[i].text);
	fclose(file);
	document_free(document);
	return errors;
}

static void test_wrong(void **state)
{
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		char *errors = document_errors(wrong[i].text);

		assert_string_equal(errors, wrong[i].errors);
		free(errors);
	}
}

// The parser's own words are not ours to promise; the place is.
static void test_syntax(void **state)
{
	static const struct {
		const char *text;
		const char *begin;
	} cases[] = {
		{"kind: Vrf\nname: \"x\n", "f:2: no valid YAML: quotes"},
		{"kind: Vrf\n\tname: x\n", "f:2: no valid YAML: a tab"},
		{"kind: Vrf\nname: {a\n", "f:3: no valid YAML: "},
		{"kind: Vrf\nname: a: b\n", "f:2: no valid YAML: "},
		{"{\"kind\": \"Vrf\"]", "f:1: no valid YAML: "},
		{"kind: Vrf\nname: \xff\n", "f:2: no valid YAML: "},
		{"%FOO\nkind: Vrf\n", "f:"},
		{"kind: Vrf\nname: \x01\n", "f:2: no valid YAML: "},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char *errors = document_errors(cases[i].text);

		if (strncmp(errors, cases[i].begin, strlen(cases[i].begin)) != 0)
			fail_msg("'%s' leads to '%s'", cases[i].text, errors);
		assert_ptr_equal(strchr(errors, '\n'), errors + strlen(errors) - 1);
		free(errors);
	}
}

static void test_fields(void **state)
{
	struct document *document = document_new();

	document_parse(document, "f", everything, sizeof(everything) - 1);
	assert_int_equal(document->error_count, 0);
	assert_int_equal(document->count, 4);
	const Sluice__V1__Node *node = document->objects[0].object->node;
	assert_string_equal(node->name, "a");
	assert_int_equal(node->uplink->device_case, SLUICE__V1__UPLINK__DEVICE_DEVARGS);
	assert_string_equal(node->uplink->devargs, "net_tap0,iface=up0");
	const Sluice__V1__Network *network = document->objects[1].object->network;
	assert_int_equal(network->vni, 5001);
	assert_true(network->has_mtu_case);
	assert_int_equal(network->mtu, 1450);
	assert_int_equal(network->encapsulation, SLUICE__V1__ENCAPSULATION__ENCAPSULATION_VXLAN);
	assert_int_equal(network->n_subnets, 2);
	assert_string_equal(network->subnets[0]->dns[0], "10.1.0.2");
	assert_string_equal(network->vrf, "");
	const Sluice__V1__SecurityGroup *group = document->objects[2].object->security_group;
	assert_string_equal(group->name, "5");
	assert_string_equal(group->rules[0]->ports, "80");
	assert_false(group->rules[0]->has_icmp_type_case);
	assert_true(group->rules[1]->has_icmp_type_case);
	const Sluice__V1__Port *port = document->objects[3].object->port;
	assert_string_equal(port->name, "yes");
	assert_string_equal(port->network, "");
	assert_string_equal(port->mac, "52:54:00:00:00:01");
	assert_int_equal(port->n_addresses, 2);
	assert_string_equal(port->device->vhost_user->path, "/tmp/a b");
	assert_false(port->device->vhost_user->has_queues_case);
	document_free(document);
}

static void test_lines(void **state)
{
	static const struct {
		const char *kind, *name, *field, *line;
	} cases[] = {
		{"SecurityGroup", "5", "rules[0].ports",
		 "f:17: SecurityGroup/5: rules[0].ports: t"},
		{"SecurityGroup", "5", "rules[1].icmpType",
		 "f:19: SecurityGroup/5: rules[1].icmpType: t"},
		{"SecurityGroup", "5", "rules[1]", "f:19: SecurityGroup/5: rules[1]: t"},
		{"SecurityGroup", "5", "rules[1].remote.cidr",
		 "f:19: SecurityGroup/5: rules[1].remote.cidr: t"},
		{"SecurityGroup", "5", "rules[7].ports",
		 "f:14: SecurityGroup/5: rules[7].ports: t"},
		{"SecurityGroup", "5", "", "f:12: SecurityGroup/5: t"},
		{"Network", "blue", "subnets[0].dns[0]",
		 "f:10: Network/blue: subnets[0].dns[0]: t"},
		{"Port", "yes", "node", "f:20: Port/yes: node: t"},
		{"Port", "yes", "device.vhostUser.mode",
		 "f:30: Port/yes: device.vhostUser.mode: t"},
		{"Port", "no", "device[[", "Port/no: device[[: t"},
		{"Port", "yes", "][.[.", "f:20: Port/yes: ][.[.: t"},
		{"", "", "", "sluice: t"},
	};
	struct document *document = document_new();

	document_parse(document, "f", everything, sizeof(everything) - 1);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		Sluice__V1__Problem problem;
		const struct document_error *error;

		sluice__v1__problem__init(&problem);
		problem.kind = (char *)(uintptr_t)cases[i].kind;
		problem.name = (char *)(uintptr_t)cases[i].name;
		problem.field = (char *)(uintptr_t)cases[i].field;
		problem.text = (char *)(uintptr_t) "t";
		document_add_problem(document, &problem);
		error = &document->errors[document->error_count - 1];
		assert_string_equal(error->text, cases[i].line);
	}
	document_free(document);
}

static void test_limits(void **state)
{
	size_t size = 200000;
	char *text = malloc(size + 1);
	char *errors;

	memset(text, '[', size);
	text[size] = 0;
	errors = document_errors(text);
	assert_string_equal(errors, "f:1: nested too deeply\n");
	free(errors);
	memset(text, 'x', size);
	errors = document_errors(text);
	assert_string_equal(errors,
			    "f:1: an object must be a mapping with kind, name and fields\n");
	free(errors);
	free(text);
	// More errors than anybody reads; the list does not end, too.
	char *list = malloc(20000 * 2 + 1);
	for (size_t i = 0; i < 20000; i++)
		memcpy(list + i * 2, i ? ",1" : "[1", 2);
	list[40000] = 0;
	struct document *document = document_new();
	document_parse(document, "f", list, 40000);
	assert_int_equal(document->error_count, 1000);
	assert_int_equal(document->errors_left_out, 19001);
	document_free(document);
	free(list);
}

static void test_files(void **state)
{
	char path[] = "/tmp/sluice-model-XXXXXX";
	int fd = mkstemp(path);
	struct document *document = document_new();
	char expected[256];

	assert_true(fd >= 0);
	dprintf(fd, "kind: Vrf\nname: x\n");
	document_parse(document, "<stdin>", "\nkind: Vrf\nname: x\n", 19);
	document_read(document, path);
	document_read(document, "/nonexistent/file");
	document_read(document, "/tmp");
	assert_int_equal(document->count, 1);
	assert_int_equal(document->error_count, 3);
	snprintf(expected, sizeof(expected), "%s:1: Vrf/x: is given twice, first at <stdin>:2",
		 path);
	assert_string_equal(document->errors[0].text, expected);
	assert_string_equal(document->errors[1].text,
			    "/nonexistent/file: cannot open: No such file or directory");
	assert_string_equal(document->errors[2].text, "/tmp: cannot read: Is a directory");
	document_free(document);
	// A hole costs no disk.
	document = document_new();
	assert_int_equal(ftruncate(fd, (off_t)DOCUMENT_SIZE_MAX + 1), 0);
	document_read(document, path);
	snprintf(expected, sizeof(expected),
		 "%s: input is larger than the 48 MiB that one call takes", path);
	assert_int_equal(document->error_count, 1);
	assert_string_equal(document->errors[0].text, expected);
	document_free(document);
	close(fd);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wrong),  cmocka_unit_test(test_syntax),
		cmocka_unit_test(test_fields), cmocka_unit_test(test_lines),
		cmocka_unit_test(test_limits), cmocka_unit_test(test_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
