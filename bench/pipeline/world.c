// Tables from objects, an engine without its threads, and ports without devices.

#include <stdarg.h>

#include <rte_eal.h>
#include <rte_malloc.h>

#include "layer/nat/mappings.h"
#include "layer/nat/nat.h"
#include "layer/router_advertisement/router_advertisement.h"
#include "pipeline.h"
#include "plane/plane.h"
#include "plane/tables_from_yaml.h"

static struct port_driver driver;

static const char nodes[] =
	"kind: Node\nname: a\nvtep: 192.0.2.1/24\nuplink: {netdev: up0}\n"
	// All are one port's.
	"limits: {connections: 100000000, halfOpen: 100000000}\n"
	"---\nkind: Node\nname: b\nvtep: 192.0.2.2/24\nuplink: {netdev: up0}\n"
	"---\nkind: SecurityGroup\nname: client\nrules:\n- {direction: egress}\n"
	"---\nkind: SecurityGroup\nname: server\nrules:\n"
	"- {direction: ingress, protocol: udp, ports: 5000-6000, remote: {group: client}}\n"
	"- {direction: ingress, protocol: tcp, ports: 5000-6000, remote: {group: client}}\n";

// So that connections end while one waits for it.
static const char short_times[] =
	"connectionTracking: {idleTimes: {unreplied: 4, replied: 4, synSent: 4, synReceived: 4, "
	"established: 4}}\n";

static const char load_balancer[] =
	"---\nkind: LoadBalancer\nname: l\nvrf: r\naddresses: [10.3.0.1, 'fd00:3::1']\n"
	"members: [{port: server}]\nports:\n";

static const char outside[] =
	"---\nkind: Network\nname: outside\nsubnets:\n"
	"- {cidr: 198.18.0.0/16, gateway: 198.18.255.2}\n"
	"- {cidr: '2001:db8:f::/64', gateway: '2001:db8:f::2'}\n"
	"external: {addresses: [{node: a, address: 198.18.255.1},"
	" {node: a, address: '2001:db8:f::1'}]}\n"
	"---\nkind: Route\nname: out\nvrf: r\ndestinations: [0.0.0.0/0, '::/0']\n"
	"nextHops: [{external: {network: outside}}]\n"
	"---\nkind: Nat\nname: n\nvrf: r\nnetwork: outside\nportBlock: 8192\nmaxBlocks: 1024\n"
	"pools: [{node: a, addresses: [198.18.0.0/24, '2001:db8:f::100/120']}]\n";

static const struct mac_address uplink_mac = {{0x02, 0, 0, 0, 0, 0xaa}};

struct fake_port {
	struct port port;
	struct sent sent[PORT_QUEUES_MAX];
};

static uint16_t fake_send(struct port *port, uint16_t queue, struct rte_mbuf **packets,
			  uint16_t count)
{
	struct sent *sent = &((struct fake_port *)port)->sent[queue];

	memcpy(&sent->packets[sent->count], packets, count * sizeof(packets[0]));
	sent->count += count;
	return count;
}

static void open_port(struct tables *tables, uint32_t number, uint32_t workers)
{
	struct port_binding *binding = &tables->ports[number];
	struct fake_port *fake = rte_zmalloc("port", sizeof(*fake), 128);

	require(fake != NULL, "no memory for a port");
	fake->port.driver = &driver;
	fake->port.sender = &fake->port;
	fake->port.queues = (uint16_t)workers;
	fake->port.mac = uplink_mac;
	binding->port = &fake->port;
	binding->counters =
		rte_zmalloc("counters", workers * sizeof(*binding->counters), RTE_CACHE_LINE_SIZE);
	binding->schedule = rte_zmalloc("schedule", sizeof(*binding->schedule), 64);
	require(binding->counters && binding->schedule, "no memory for a port");
}

static struct sent *sent_of(const struct world *world, uint32_t side, uint32_t worker)
{
	uint32_t workers = world->engine->options.worker_count;
	struct port_binding *binding = &world->tables->ports[world->ports[side]];
	struct fake_port *fake = (struct fake_port *)binding->port;

	return &fake->sent[(worker + workers - binding->first_worker) % workers];
}

const struct sent *world_sent(const struct world *world, enum side side, uint32_t worker)
{
	return sent_of(world, side, worker);
}

uint32_t world_take_sent(struct world *world, uint32_t worker)
{
	uint32_t total = 0;

	for (uint32_t i = 0; i < 2; i++) {
		struct sent *sent = sent_of(world, i, worker);

		rte_pktmbuf_free_bulk(sent->packets, sent->count);
		total += sent->count;
		sent->count = 0;
	}
	return total;
}

// ---- objects

// A balanced port each, at most 64: connections are for the first ones.
#define BALANCED_PORTS 64

struct text {
	char data[16384];
	size_t size;
};

__attribute__((format(printf, 2, 3))) static void add(struct text *text, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	text->size += (size_t)vsnprintf(text->data + text->size, sizeof(text->data) - text->size,
					format, arguments);
	va_end(arguments);
	require(text->size < sizeof(text->data), "too many objects");
}

static void add_network(struct text *text, const struct pipeline_options *options, const char *name,
			uint32_t number)
{
	add(text,
	    "---\nkind: Network\nname: %s\nvni: %u\n%s%ssubnets:\n"
	    "- {cidr: 10.%u.0.0/24, gateway: 10.%u.0.1}\n"
	    "- {cidr: 'fd00:%u::/64', gateway: 'fd00:%u::1'}\n",
	    name, 5000 + number, options->packets == PACKETS_FIRST ? short_times : "",
	    options->nat || options->balance ? "vrf: r\n" : "", number, number, number, number);
}

static void add_port(struct text *text, const char *name, const char *node, const char *network,
		     uint32_t number, uint32_t host)
{
	add(text,
	    "---\nkind: Port\nname: %s\nnode: %s\nnetwork: %s\nmac: '52:54:00:00:00:%02x'\n"
	    "addresses: [10.%u.0.1%u, 'fd00:%u::1%u']\nsecurityGroups: [%s]\n"
	    "device: {tap: {name: %s}}\n",
	    name, node, network, host, number, host, number, host, name, name);
}

static void add_policy(struct text *text, const struct pipeline_options *options)
{
	add(text, "---\nkind: QosPolicy\nname: q\n");
	if (options->limit)
		add(text, "ingress: {rate: 400G}\negress: {rate: 400G}\n");
	if (options->mark)
		add(text, "dscp: 10\n");
}

static void add_objects(struct text *text, const struct pipeline_options *options)
{
	add(text, "%s", nodes);
	if (options->nat || options->balance)
		add(text, "---\nkind: Vrf\nname: r\n");
	if (options->clients && (options->nat || options->balance))
		add(text, "---\nkind: Route\nname: clients\nvrf: r\ndestinations: [10.2.0.0/16]\n"
			  "nextHops: [{port: client}]\n");
	add_network(text, options, "blue", 1);
	add_port(text, "client", "a", "blue", 1, 1);
	if (options->clients)
		add(text, "allowedAddresses: [10.2.0.0/16]\n");
	if (options->limit || options->mark) {
		add(text, "qosPolicy: q\n");
		add_policy(text, options);
	}
	if (options->nat) {
		add(text, "%s", outside);
		return;
	}
	if (options->balance)
		add_network(text, options, "green", 4);
	add_port(text, "server", options->vxlan ? "b" : "a", options->balance ? "green" : "blue",
		 options->balance ? 4 : 1, 2);
	if (!options->balance)
		return;
	add(text, "%s", load_balancer);
	for (uint32_t i = 0; i < BALANCED_PORTS; i++)
		add(text, "- {protocol: %s, port: %u}\n",
		    options->protocol == IPPROTO_TCP ? "tcp" : "udp", 5000 + i);
}

// ---- tables and engine

static struct tables *compile(const char *yaml, uint32_t workers)
{
	struct tables *tables = tables_from_yaml(yaml, strlen(yaml), "a", workers);

	require(tables != NULL, "the objects are wrong");
	tables_set_uplink(tables, &uplink_mac, 9000);
	return tables;
}

static void open_engine(struct world *world, const struct pipeline_options *options)
{
	struct engine_options engine_options = {.worker_count = options->workers,
						.connections = options->connections +
							       options->connections / 4 + 4096,
						.packet_memory = 32};
	struct flow_table *flows;
	struct error err;

	for (uint32_t i = 0; i < options->workers; i++)
		engine_options.cpus[i] = -1;
	// Mappings need a table of connections, and the objects mappings.
	if (engine_open(&engine_options, compile(nodes, options->workers), &world->engine, &err) <
	    0)
		require(false, err.text);
	// measure.c has threads of its own.
	plane_take_workers(world->engine);
	flows = world->engine->flows;
	flows->mapped.context = nat_mappings_open(engine_options.connections, options->workers,
						  &flows->secret, flows);
	require(flows->mapped.context != NULL, "no memory");
	flows->mapped.end = nat_connection_ended;
	tables_from_yaml_map(flows->mapped.context);
}

static const struct endpoint *find_port(const struct tables *tables, const char *name)
{
	for (uint32_t i = 1; i < tables->endpoint_count; i++)
		if (strcmp(tables->details[i].name, name) == 0)
			return &tables->endpoints[i];
	return NULL;
}

static void find_sides(struct world *world)
{
	static const char *const names[] = {"client", "server"};

	for (uint32_t i = 0; i < 2; i++) {
		const struct endpoint *endpoint = find_port(world->tables, names[i]);

		// The server may be outside.
		world->ports[i] = endpoint ? endpoint->port : PORT_UPLINK;
		if (endpoint)
			world->gateway_macs[i] = endpoint->gateway_mac;
	}
}

void world_start_eal(bool ordinary)
{
	char *arguments[] = {"pipeline",
			     "--no-pci",
			     "--no-telemetry",
			     "--log-level=*:error",
			     "--lcores=0",
			     "-m",
			     "128",
			     "--iova-mode=va",
			     ordinary ? "--no-huge" : "--in-memory",
			     "--no-shconf",
			     NULL};

	require(rte_eal_init(ordinary ? 10 : 9, arguments) >= 0,
		"DPDK's environment can't be set up (128 MiB; --ordinary-pages)");
}

void world_open(struct world *world, const struct pipeline_options *options)
{
	static struct text text;
	struct error err;

	driver = plane_driver(fake_send);
	open_engine(world, options);
	add_objects(&text, options);
	world->tables = compile(text.data, options->workers);
	world->tables->generation = engine_next_generation(world->engine);
	find_sides(world);
	for (uint32_t i = 0; i < 2; i++)
		open_port(world->tables, world->ports[i], options->workers);
	// All next hops have answered.
	for (uint32_t i = 0; i < world->tables->underlay.neighbour_count; i++)
		atomic_store(&world->tables->underlay.neighbour[i]->mac, 0x020000000002);
	for (uint32_t i = 0; i < options->workers; i++)
		world->engine->workers[i]->now = engine_now(world->engine);
	require(engine_publish(world->engine, world->tables, &err) != NULL, "no tables");
	// They may have advertised the network's router.
	for (uint32_t i = 0; i < options->workers; i++)
		world_take_sent(world, i);
}

void world_close(struct world *world)
{
	engine_close(world->engine);
}
