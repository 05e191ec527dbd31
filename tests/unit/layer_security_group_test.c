// Which rule lets a connection in: what is compiled says the same as reading all rules in their
// order, for any rules and packets.

#include "test.h"

#include <arpa/inet.h>

#include "layer/security_group/security_group.h"
#include "layer_fixture.h"
#include "model/document.h"
#include "model/object.h"
#include "model/rule.h"

enum {
	GROUPS = 7,
	PORTS = 12, // the first four are this node's
	HERE = 4,
	ROUNDS = 120,
	QUESTIONS = 400,
	TEXT = 1 << 20
};

struct world {
	struct random random;
	char *yaml;
	size_t used;
	struct document *document;
	uint64_t allowed;
	uint64_t refused;
};

static void write_text(struct world *world, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	world->used +=
		(size_t)vsnprintf(world->yaml + world->used, TEXT - world->used, format, args);
	va_end(args);
	assert_true(world->used < TEXT);
}

static uint32_t below(struct world *world, uint32_t limit)
{
	return random_below(&world->random, limit);
}

// 10.x.y.z and fd00:x:: with few values, so that prefixes nest and addresses hit them.
static void random_cidr(struct world *world, char *text, size_t size)
{
	struct ip_prefix prefix;

	if (below(world, 2)) {
		static const uint8_t lengths[] = {0, 8, 9, 15, 16, 24, 25, 30, 31, 32};

		prefix.address = ip_from_v4(htonl(10u << 24 | below(world, 3) << 16 |
						  below(world, 3) << 8 | below(world, 16)));
		prefix.length = (uint8_t)(96 + lengths[below(world, sizeof(lengths))]);
	} else {
		static const uint8_t lengths[] = {0, 3, 16, 32, 47, 48, 64, 65, 120, 127, 128};

		prefix.address = (struct ip_address){
			.bytes = {0xfd, 0, 0,
				  (uint8_t)below(world, 3), [15] = (uint8_t)below(world, 16)}};
		prefix.length = lengths[below(world, sizeof(lengths))];
	}
	for (unsigned int bit = prefix.length; bit < 128; bit++)
		prefix.address.bytes[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
	snprintf(text, size, "%s", prefix_format(&prefix, (char[IP_TEXT_SIZE]){0}));
}

static void put_rule(struct world *world)
{
	static const char *const protocols[] = {"''",	"tcp", "tcp", "udp", "sctp",
						"icmp", "1",   "58",  "47",  "0"};
	const char *protocol = protocols[below(world, 10)];
	uint32_t first = 1 + below(world, 20);
	char cidr[IP_TEXT_SIZE];

	write_text(world, "- {direction: %s, protocol: %s", below(world, 3) ? "ingress" : "egress",
		   protocol);
	if (strchr("tus", *protocol) && below(world, 6))
		write_text(world, ", ports: '%u-%u'", first,
			   below(world, 8) ? first + below(world, 5) : 65535 - below(world, 3));
	if ((*protocol == 'i' || strcmp(protocol, "1") == 0 || strcmp(protocol, "58") == 0) &&
	    below(world, 3)) {
		write_text(world, ", icmpType: %u", below(world, 2) ? below(world, 3) : 255);
		if (below(world, 2))
			write_text(world, ", icmpCode: %u",
				   below(world, 2) ? below(world, 3) : 255);
	}
	switch (below(world, 6)) {
	case 0:
		break;
	case 1:
	case 2:
		write_text(world, ", remote: {group: g%u}", below(world, GROUPS));
		break;
	default:
		random_cidr(world, cidr, sizeof(cidr));
		write_text(world, ", remote: {cidr: '%s'}", cidr);
	}
	write_text(world, "}\n");
}

static void put_port(struct world *world, uint32_t number)
{
	uint32_t network = number % 3, allowed = below(world, 3) ? below(world, 3) : 12;
	uint32_t groups = below(world, GROUPS), step = 1 + below(world, GROUPS - 1);
	char cidr[IP_TEXT_SIZE];
	size_t start;

	write_text(world,
		   "---\nkind: Port\nname: p%u\nnode: %s\nnetwork: w%u\n"
		   "mac: '52:54:00:00:00:%02x'\naddresses: [10.%u.0.%u, 'fd00:%u::%u']\n"
		   "device: {tap: {name: t%u}}\nsecurityGroups: [",
		   number, number < HERE ? "a" : "b", network, number, network, 2 + number, network,
		   2 + number, number);
	for (uint32_t i = 0; i < groups; i++) // each once, as GROUPS is a prime number
		write_text(world, "%sg%u", i ? ", " : "", (number + i * step) % GROUPS);
	write_text(world, "]\nallowedAddresses: [");
	start = world->used;
	for (uint32_t i = 0; i < allowed; i++) {
		char quoted[IP_TEXT_SIZE + 2];

		random_cidr(world, cidr, sizeof(cidr));
		snprintf(quoted, sizeof(quoted), "'%s'", cidr);
		if (!strstr(world->yaml + start, quoted)) // given twice is an error
			write_text(world, "%s%s", world->used > start ? ", " : "", quoted);
	}
	write_text(world, "]\n");
}

// Vrf v has w0 and w1; w2 has the same addresses as another tenant.
static void put_world(struct world *world)
{
	world->used = 0;
	write_text(world, "kind: Node\nname: a\nvtep: 192.0.2.1/24\nuplink: {netdev: up0}\n"
			  "---\nkind: Node\nname: b\nvtep: 192.0.2.2/24\nuplink: {netdev: up0}\n"
			  "---\nkind: Vrf\nname: v\n");
	for (uint32_t i = 0; i < 3; i++)
		write_text(world,
			   "---\nkind: Network\nname: w%u\nvni: %u\n%ssubnets:\n"
			   "- {cidr: 10.%u.0.0/16}\n- {cidr: 'fd00:%u::/48'}\n",
			   i, i + 1, i < 2 ? "vrf: v\n" : "", i, i);
	for (uint32_t i = 0; i < GROUPS; i++) {
		uint32_t rules = below(world, 8) ? below(world, 12) : below(world, 600);

		write_text(world, "---\nkind: SecurityGroup\nname: g%u\nrules:%s\n", i,
			   rules ? "" : " []");
		while (rules--)
			put_rule(world);
	}
	for (uint32_t i = 0; i < PORTS; i++)
		put_port(world, i);
}

static const Sluice__V1__Object *find_object(const struct world *world, const char *name)
{
	for (size_t i = 0; i < world->document->count; i++)
		if (strcmp(object_name(world->document->objects[i].object), name) == 0)
			return world->document->objects[i].object;
	fail_msg("%s", name);
	return NULL;
}

// The reference: everything is read from the objects, one after the other.

struct question {
	const Sluice__V1__Port *port;
	const struct flow_key *key;
	const struct ip_address *remote;
};

static bool port_uses(const Sluice__V1__Port *port, const struct question *question)
{
	bool same = strcmp(port->network, question->port->network) == 0, uses = false;
	struct ip_address own;
	struct ip_prefix prefix;
	struct mac_address mac;

	assert_true(mac_parse(port->mac, &mac));
	own = ip_link_local_of(&mac);
	uses |= same && ip_equal(&own, question->remote);
	if (!same &&
	    (strcmp(port->network, "w2") == 0 || strcmp(question->port->network, "w2") == 0))
		return uses;
	for (size_t i = 0; i < port->n_addresses; i++)
		uses |= ip_parse(port->addresses[i], &own) && ip_equal(&own, question->remote);
	for (size_t i = 0; i < port->n_allowed_addresses; i++)
		uses |= prefix_parse(port->allowed_addresses[i], &prefix) &&
			ip_in_prefix(question->remote, &prefix);
	return uses;
}

static bool is_member(const struct world *world, const struct question *question, const char *group)
{
	for (size_t i = 0; i < world->document->count; i++) {
		const Sluice__V1__Object *object = world->document->objects[i].object;

		if (object->kind_case != SLUICE__V1__OBJECT__KIND_PORT ||
		    !port_uses(object->port, question))
			continue;
		for (size_t j = 0; j < object->port->n_security_groups; j++)
			if (strcmp(object->port->security_groups[j], group) == 0)
				return true;
	}
	return false;
}

static bool rule_allows(const struct world *world, const struct question *question,
			const Sluice__V1__Rule *rule)
{
	uint8_t protocol = question->key->protocol;
	uint16_t port = ntohs(question->key->destination_port), first, last;
	struct ip_prefix prefix;
	int wanted;

	assert_true(rule_protocol_parse(rule->protocol, &wanted));
	if (wanted == RULE_PROTOCOL_ICMP)
		wanted = ip_is_v4(&question->key->source) ? IPPROTO_ICMP : IPPROTO_ICMPV6;
	if (wanted != RULE_PROTOCOL_ANY && wanted != protocol)
		return false;
	assert_true(rule_ports_parse(rule->ports, &first, &last));
	if (port < first || port > last)
		return false;
	if (rule->has_icmp_type_case && port >> 8 != rule->icmp_type)
		return false;
	if (rule->has_icmp_code_case && (port & 0xff) != rule->icmp_code)
		return false;
	if (!rule->remote)
		return true;
	if (rule->remote->remote_case == SLUICE__V1__REMOTE__REMOTE_GROUP)
		return is_member(world, question, rule->remote->group);
	assert_true(prefix_parse(rule->remote->cidr, &prefix));
	return ip_in_prefix(question->remote, &prefix);
}

// What the first rule that allows it is called; "-" where none does, "" where none is needed.
static void find_rule(const struct world *world, const struct question *question, bool ingress,
		      char *text, size_t size)
{
	snprintf(text, size, "%s", question->port->n_security_groups ? "-" : "");
	for (size_t i = 0; i < question->port->n_security_groups; i++) {
		const Sluice__V1__SecurityGroup *group =
			find_object(world, question->port->security_groups[i])->security_group;

		for (size_t j = 0; j < group->n_rules; j++) {
			if ((group->rules[j]->direction ==
			     SLUICE__V1__DIRECTION__DIRECTION_INGRESS) != ingress ||
			    !rule_allows(world, question, group->rules[j]))
				continue;
			snprintf(text, size, "%s[%zu]", group->name, j);
			return;
		}
	}
}

static struct ip_address random_address(struct world *world, bool v4)
{
	if (v4)
		return ip_from_v4(htonl(10u << 24 | below(world, 3) << 16 |
					(below(world, 4) ? 0 : below(world, 3)) << 8 |
					below(world, 18)));
	if (below(world, 8) == 0)
		return ip_link_local_of(&(struct mac_address){
			{0x52, 0x54, 0, 0, 0, (uint8_t)below(world, PORTS + 1)}});
	return (struct ip_address){
		.bytes = {0xfd, 0, 0, (uint8_t)below(world, 3), [15] = (uint8_t)below(world, 18)}};
}

static struct flow_key random_key(struct world *world)
{
	static const uint8_t protocols[] = {6, 6, 6, 17, 132, 1, 58, 47, 2, 0};
	bool v4 = below(world, 2);
	struct flow_key key = {
		.source = random_address(world, v4),
		.destination = random_address(world, v4),
		.protocol = protocols[below(world, sizeof(protocols))],
		.source_port = htons((uint16_t)below(world, 65536)),
		.destination_port = htons((uint16_t)below(world, 30)),
	};

	if (key.protocol == 1 || key.protocol == 58)
		key.destination_port =
			htons((uint16_t)((below(world, 2) ? below(world, 3) : 255) << 8 |
					 (below(world, 2) ? below(world, 3) : 255)));
	else if (below(world, 4) == 0)
		key.destination_port = htons((uint16_t)(65535 - below(world, 4)));
	return key;
}

static const char *rule_name(const struct layer_fixture *fixture, struct flow_rule rule, char *text,
			     size_t size)
{
	*text = 0;
	if (rule.group)
		snprintf(text, size, "%s[%u]", fixture->numbers.groups.names[rule.group],
			 rule.rule);
	return text;
}

// Both ends are ports of this node, which are asked one after the other.
static void ask(struct world *world, const struct layer_fixture *fixture)
{
	const struct tables *tables = fixture->tables;
	struct packet packet = {.key = random_key(world)};
	char names[2][16], want[80], text[80];
	struct walk walk = {.tables = tables, .packet = &packet, .leaving = packet.key};
	const void *own = NULL;
	bool allowed = true;

	for (unsigned int i = 0; layers[i]; i++)
		if (layers[i] == &security_group_layer)
			own = tables->layers[i];
	for (int end = 0; end < 2; end++)
		snprintf(names[end], sizeof(names[end]), "p%u", below(world, HERE));
	walk.source = fixture_endpoint(tables, names[0]);
	walk.destination = fixture_endpoint(tables, names[1]);
	allowed = security_group_layer.judge(&walk, own) == VERDICT_NEXT;
	for (int end = 0; end < 2; end++) {
		struct question question = {
			.port = find_object(world, names[end])->port,
			.key = &packet.key,
			.remote = end ? &packet.key.source : &packet.key.destination,
		};

		find_rule(world, &question, end, want, sizeof(want));
		if (strcmp(want, "-") == 0) {
			assert_false(allowed);
			assert_int_equal(walk.reason, end ? DROP_SECURITY_GROUP_INGRESS
							  : DROP_SECURITY_GROUP_EGRESS);
			world->refused++;
			return;
		}
		assert_string_equal(rule_name(fixture, walk.rules[end], text, sizeof(text)), want);
		world->allowed += *want != 0;
	}
	assert_true(allowed);
}

static void test_first_rule(void **state)
{
	struct world world = {.random = {random_seed()}, .yaml = malloc(TEXT)};
	struct layer_fixture fixture;

	print_message("seed %#lx\n", world.random.state);
	fixture_open(&fixture, "a");
	for (uint32_t round = 0; round < ROUNDS; round++) {
		put_world(&world);
		fixture_apply(&fixture, world.yaml);
		world.document = document_new();
		document_parse(world.document, "yaml", world.yaml, world.used);
		for (uint32_t i = 0; i < QUESTIONS; i++)
			ask(&world, &fixture);
		document_free(world.document);
	}
	fixture_close(&fixture);
	free(world.yaml);
	print_message("%lu rules found, %lu refused\n", world.allowed, world.refused);
	assert_true(world.allowed > ROUNDS * QUESTIONS / 10);
	assert_true(world.refused > ROUNDS * QUESTIONS / 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_rule),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
