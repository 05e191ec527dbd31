// What a first packet pays for security groups of many rules, or for Routes to many destinations:
// cycles of the layer's judgement, and of the whole walk through all layers with the reply that is
// to be expected, by number of rules; what reading, checking and compiling them takes, and the
// memory of what is compiled. In one process, without devices (README.md).

#include <arpa/inet.h>
#include <stdlib.h>
#include <time.h>

#include <rte_cycles.h>

#include "layer/compile.h"
#include "layer/l3/l3.h"
#include "layer/route/route.h"
#include "layer/security_group/security_group.h"
#include "layer/security_group/tables.h"
#include "model/check.h"
#include "model/document.h"
#include "model/object.h"

#define PACKETS	  4096 // asked in turn, so that their parts of large tables don't stay near
#define TURN	  64
#define RULE_TEXT 128

static const char objects[] =
	"kind: Node\nname: a\n---\nkind: Vrf\nname: t\n"
	"---\nkind: Network\nname: blue\nvni: 5001\nvrf: t\nsubnets:\n"
	"- {cidr: 10.1.0.0/24, gateway: 10.1.0.1}\n"
	"---\nkind: Port\nname: client\nnode: a\nnetwork: blue\nmac: '52:54:00:00:00:01'\n"
	"addresses: [10.1.0.11]\nallowedAddresses: [0.0.0.0/0]\ndevice: {tap: {name: c}}\n"
	"---\nkind: Port\nname: server\nnode: a\nnetwork: blue\nmac: '52:54:00:00:00:02'\n"
	"addresses: [10.1.0.12]\nallowedAddresses: [0.0.0.0/0]\nsecurityGroups: [many]\n"
	"device: {tap: {name: s}}\n"
	"---\nkind: SecurityGroup\nname: many\nrules:\n";

static const char route[] = "- {direction: ingress}\n---\nkind: Route\nname: many\nvrf: t\n"
			    "nextHops: [{port: server}]\ndestinations:\n";

struct bench {
	struct compile_numbers numbers;
	struct neighbours neighbours;
	struct tables *tables;
	const struct layer *layer; // the one that is measured alone
	size_t size;		   // bytes of its tables
	double read_time, check_time, compile_time;
	const struct endpoint *client, *server;
	struct packet packets[PACKETS];
	struct walk walk;
};

static uint64_t seed = 1;

static uint32_t next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 16);
}

static double seconds(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static void require(bool condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "rules: %s\n", what);
	exit(1);
}

// The first address of a rule's prefix, in host byte order: /28s in all of 16.0.0.0/4, apart from
// one another, in no order.
static uint32_t rule_address(uint32_t rule)
{
	return 16u << 24 | (rule * 0x9e3779b1u >> 8) << 4;
}

// Shapes: `prefixes` has a prefix and a port of its own in each rule; `ports` ranges of ports that
// overlap, for any remote; `nested` prefixes in prefixes; `routes` has destinations of a Route.
static int rule_text(char *text, const char *shape, uint32_t rule)
{
	char address[IP_TEXT_SIZE];
	struct ip_prefix prefix;

	if (strcmp(shape, "ports") == 0) {
		uint32_t first = 1 + rule * 7919 % 60000;

		return sprintf(text, "- {direction: ingress, protocol: %s, ports: %u-%u}\n",
			       rule % 2 ? "tcp" : "udp", first, first + rule % 50);
	}
	prefix.address = ip_from_v4(htonl(rule_address(rule)));
	prefix.length = 124;
	if (strcmp(shape, "nested") == 0)
		prefix.length = (uint8_t)(104 + rule % 21);
	for (unsigned int bit = prefix.length; bit < 128; bit++)
		prefix.address.bytes[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
	if (strcmp(shape, "routes") == 0)
		return sprintf(text, "- %s\n", prefix_format(&prefix, address));
	return sprintf(text,
		       "- {direction: ingress, protocol: tcp, ports: '%u', remote: {cidr: %s}}\n",
		       1 + rule % 60000, prefix_format(&prefix, address));
}

static const struct endpoint *find_port(const struct tables *tables, const char *name)
{
	for (uint32_t i = 1; i < tables->endpoint_count; i++)
		if (strcmp(tables->details[i].name, name) == 0)
			return &tables->endpoints[i];
	return NULL;
}

static size_t size_of(const struct bench *bench, const char *shape)
{
	const struct route_map *map = bench->tables->routes->maps->maps;
	const struct security_group_tables *groups;

	if (strcmp(shape, "routes") == 0)
		return prefix_map_size(&map->prefixes) +
		       map->count * (sizeof(*map->lengths) + sizeof(*map->routes));
	for (unsigned int i = 0;; i++)
		if (layers[i] == &security_group_layer) {
			groups = bench->tables->layers[i];
			return rule_set_size(&groups->rules[1]->sets[POLICY_INGRESS]);
		}
}

static void compile(struct bench *bench, const char *shape, uint32_t rules)
{
	bool routes = strcmp(shape, "routes") == 0;
	char *yaml = malloc(sizeof(objects) + sizeof(route) + (size_t)rules * RULE_TEXT);
	struct document *document = document_new();
	struct object_set *set = object_set_new();
	struct problems problems = {0};
	size_t used = sizeof(objects) - 1;
	struct error err;
	double start;

	require(yaml != NULL, "no memory");
	memcpy(yaml, objects, sizeof(objects));
	if (routes)
		used += (size_t)sprintf(yaml + used, "%s", route);
	for (uint32_t i = 0; i < rules; i++)
		used += (size_t)rule_text(yaml + used, shape, i);
	start = seconds();
	document_parse(document, "objects", yaml, used);
	require(!document->error_count, "the objects can't be read");
	for (size_t i = 0; i < document->count; i++)
		object_set_put(set, object_copy(document->objects[i].object));
	bench->read_time = seconds() - start;
	start = seconds();
	set_check(set, NULL, &problems);
	require(!problems.count, "the objects are wrong");
	bench->check_time = seconds() - start;
	require(compile_numbers_open(&bench->numbers) && neighbours_open(&bench->neighbours),
		"no memory");
	start = seconds();
	require(tables_compile(set, "a", &bench->numbers, &bench->neighbours, 1, 1, NULL, NULL,
			       &bench->tables, &err) == 0,
		"the objects do not compile");
	bench->compile_time = seconds() - start;
	bench->layer = routes ? &l3_layer : &security_group_layer;
	bench->size = size_of(bench, shape);
	bench->client = find_port(bench->tables, "client");
	bench->server = find_port(bench->tables, "server");
	object_set_free(set);
	document_free(document);
	free(yaml);
}

static void close_bench(struct bench *bench)
{
	tables_free(bench->tables);
	compile_numbers_close(&bench->numbers);
	neighbours_close(&bench->neighbours);
}

// To a destination of the Route, through the gateway; `kind` as below.
static void route_packet(const struct bench *bench, const char *kind, struct packet *packet)
{
	packet->destination = packet->source;
	packet->source = ip_from_v4(htonl(0x0a01000b));
	packet->destination_mac = bench->client->gateway_mac;
	if (strcmp(kind, "none") == 0)
		packet->destination = ip_from_v4(htonl(0xc0000200 | (next_random() & 255)));
	packet->key.source = packet->source;
	packet->key.destination = packet->destination;
}

// Packets that random rules allow, that the last one allows, or that none does.
static void make_packets(struct bench *bench, const char *shape, const char *kind, uint32_t rules)
{
	for (uint32_t i = 0; i < PACKETS; i++) {
		uint32_t rule = strcmp(kind, "last") == 0 ? rules - 1 : next_random() % rules;
		struct packet *packet = &bench->packets[i];
		uint16_t port = (uint16_t)(1 + rule % 60000);
		uint8_t protocol = IPPROTO_TCP;

		if (strcmp(shape, "ports") == 0) {
			port = (uint16_t)(1 + rule * 7919 % 60000);
			protocol = rule % 2 ? IPPROTO_TCP : IPPROTO_UDP;
		}
		if (strcmp(kind, "none") == 0)
			protocol = IPPROTO_SCTP;
		*packet = (struct packet){
			.kind = PACKET_IP,
			.source_mac = bench->client->mac,
			.destination_mac = bench->server->mac,
			.ttl = 64,
			.source = ip_from_v4(htonl(rule_address(rule) | (next_random() & 15))),
			.destination = ip_from_v4(htonl(0x0a01000c)),
		};
		packet->key = (struct flow_key){
			.source = packet->source,
			.destination = packet->destination,
			.source_port = htons((uint16_t)next_random()),
			.destination_port = htons(port),
			.network = bench->client->network,
			.protocol = protocol,
		};
		if (strcmp(shape, "routes") == 0)
			route_packet(bench, kind, packet);
	}
}

static uint32_t judge(struct bench *bench, const struct packet *packet, bool whole)
{
	struct walk *walk = &bench->walk;
	struct flow_direction reply = {0};
	enum verdict verdict;

	*walk = (struct walk){.tables = bench->tables,
			      .packet = packet,
			      .ingress = {.port = bench->client->port}};
	if (!whole) {
		walk->network = &bench->tables->networks[bench->client->network];
		walk->source = bench->client;
		if (bench->layer == &security_group_layer)
			walk->destination = bench->server;
		for (unsigned int i = 0;; i++)
			if (layers[i] == bench->layer)
				return bench->layer->judge(walk, bench->tables->layers[i]);
	}
	verdict = walk_begin(walk);
	if (verdict == VERDICT_NEXT)
		verdict = walk_run(walk);
	if (verdict == VERDICT_NEXT)
		walk_predict_reply(walk, &reply);
	return verdict;
}

// Least cycles a packet of short turns: other programs only add.
static double measure(struct bench *bench, bool whole, bool allowed)
{
	double least = 1e30;

	for (double end = seconds() + 0.1; seconds() < end;) {
		uint64_t total = 0;

		// A round is all packets; each turn of it is taken alone, where nothing disturbs.
		for (uint32_t first = 0; first < PACKETS; first += TURN) {
			uint64_t start = rte_rdtsc();

			for (uint32_t i = first; i < first + TURN; i++)
				require((judge(bench, &bench->packets[i], whole) == VERDICT_NEXT) ==
						allowed,
					"a packet was judged wrong");
			total += rte_rdtsc() - start;
		}
		if ((double)total / PACKETS < least)
			least = (double)total / PACKETS;
	}
	return least;
}

static void run(const char *shape, uint32_t rules)
{
	static const char *const kinds[] = {"random", "last", "none"};
	static struct bench bench;

	memset(&bench, 0, sizeof(bench));
	compile(&bench, shape, rules);
	printf("%-9s %7u", shape, rules);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		bool allowed = strcmp(kinds[i], "none") != 0;

		make_packets(&bench, shape, kinds[i], rules);
		printf("   %6.0f %6.0f", measure(&bench, false, allowed),
		       measure(&bench, true, allowed));
	}
	printf("   %6.1f %6.1f %6.1f %9.1f %5.1f\n", bench.read_time * 1e3, bench.check_time * 1e3,
	       bench.compile_time * 1e3, (double)bench.size / 1024, (double)bench.size / rules);
	close_bench(&bench);
}

// Arguments: a shape, numbers of rules.
int main(int count, char **arguments)
{
	static const char *const shapes[] = {"prefixes", "ports", "nested", "routes"};
	static const uint32_t rules[] = {1, 2, 4, 8, 10, 16, 100, 1000, 10000, 100000};

	printf("Cycles of the layer's judgement and of the whole walk, where a random rule allows "
	       "the "
	       "packet, the last\none does, none does; milliseconds to read, check and compile; "
	       "memory in KiB, in bytes a rule.\n\n");
	printf("%-9s %7s   %13s   %13s   %13s   %6s %6s %6s %9s %5s\n", "shape", "rules", "random",
	       "last", "none", "read", "check", "comp.", "KiB", "B");
	for (size_t s = 0; s < sizeof(shapes) / sizeof(*shapes); s++) {
		if (count >= 2 && strcmp(arguments[1], shapes[s]) != 0)
			continue;
		for (int i = 2; i < count; i++)
			run(shapes[s], (uint32_t)atoi(arguments[i]));
		for (size_t i = 0; count < 3 && i < sizeof(rules) / sizeof(*rules); i++)
			run(shapes[s], rules[i]);
	}
	return 0;
}
