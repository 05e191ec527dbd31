// Tables from objects, an engine without its threads, and ports without devices.

#include <rte_eal.h>
#include <rte_malloc.h>

#include "layer/router_advertisement/router_advertisement.h"
#include "pipeline.h"
#include "plane/plane.h"
#include "plane/tables_from_yaml.h"

static const char objects[] =
	"kind: Node\nname: a\nvtep: 192.0.2.1/24\nuplink: {netdev: up0}\n"
	// All are one port's.
	"limits: {connections: 100000000, halfOpen: 100000000}\n"
	"---\nkind: Node\nname: b\nvtep: 192.0.2.2/24\nuplink: {netdev: up0}\n"
	"---\nkind: Network\nname: blue\nvni: 5001\nsubnets:\n"
	"- {cidr: 10.1.0.0/24, gateway: 10.1.0.1}\n- {cidr: 'fd00:1::/64', gateway: "
	"'fd00:1::1'}\n%s"
	"---\nkind: SecurityGroup\nname: client\nrules:\n- {direction: egress}\n"
	"---\nkind: SecurityGroup\nname: server\nrules:\n"
	"- {direction: ingress, protocol: udp, ports: 5000-6000, remote: {group: client}}\n"
	"- {direction: ingress, protocol: tcp, ports: 5000-6000, remote: {group: client}}\n"
	"---\nkind: Port\nname: client\nnode: a\nnetwork: blue\nmac: '52:54:00:00:00:01'\n"
	"addresses: [10.1.0.11, 'fd00:1::11']\nsecurityGroups: [client]\n"
	"%s%s"
	"device: {tap: {name: c}}\n"
	"---\nkind: Port\nname: server\nnode: %s\nnetwork: blue\nmac: '52:54:00:00:00:02'\n"
	"addresses: [10.1.0.12, 'fd00:1::12']\nsecurityGroups: [server]\n"
	"device: {tap: {name: s}}\n"
	"%s%s%s";

static struct port_driver driver;

// So that connections end while one waits for it.
static const char short_times[] =
	"connectionTracking: {idleTimes: {unreplied: 4, replied: 4, synSent: 4, synReceived: 4, "
	"established: 4}}\n";

static const char client_addresses[] = "allowedAddresses: [10.2.0.0/16]\n";

static const char policy_name[] = "qosPolicy: q\n";
static const char policy[] = "---\nkind: QosPolicy\nname: q\n";
static const char limits[] = "ingress: {rate: 400G}\negress: {rate: 400G}\n";
static const char mark[] = "dscp: 10\n";

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
	fake->port.queues = (uint16_t)workers;
	fake->port.mac = uplink_mac;
	binding->port = &fake->port;
	binding->counters =
		rte_zmalloc("counters", workers * sizeof(*binding->counters), RTE_CACHE_LINE_SIZE);
	binding->schedule = rte_zmalloc("schedule", sizeof(*binding->schedule), 64);
	require(binding->counters && binding->schedule, "no memory for a port");
}

uint32_t world_take_sent(struct world *world, uint32_t worker)
{
	uint32_t workers = world->engine->options.worker_count, total = 0;

	for (uint32_t i = 0; i < 2; i++) {
		struct port_binding *binding = &world->tables->ports[world->ports[i]];
		struct fake_port *fake = (struct fake_port *)binding->port;
		struct sent *sent =
			&fake->sent[(worker + workers - binding->first_worker) % workers];

		rte_pktmbuf_free_bulk(sent->packets, sent->count);
		total += sent->count;
		sent->count = 0;
	}
	return total;
}

// ---- tables and engine

static struct tables *compile(const struct pipeline_options *options)
{
	char yaml[sizeof(objects) + sizeof(short_times) + sizeof(client_addresses) +
		  sizeof(policy_name) + sizeof(policy) + sizeof(limits) + sizeof(mark)];
	bool limited = options->limit || options->mark;
	struct tables *tables;

	snprintf(yaml, sizeof(yaml), objects, options->packets == PACKETS_FIRST ? short_times : "",
		 options->clients ? client_addresses : "", limited ? policy_name : "",
		 options->vxlan ? "b" : "a", limited ? policy : "", options->limit ? limits : "",
		 options->mark ? mark : "");
	tables = tables_from_yaml(yaml, strlen(yaml), "a", options->workers);
	require(tables != NULL, "the objects are wrong");
	tables_set_uplink(tables, &uplink_mac, 9000);
	return tables;
}

static uint16_t find_port(const struct tables *tables, const char *name)
{
	for (uint32_t i = 1; i < tables->endpoint_count; i++)
		if (strcmp(tables->details[i].name, name) == 0)
			return tables->endpoints[i].port;
	return 0;
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
	struct engine_options engine_options = {.worker_count = options->workers,
						.connections = options->connections +
							       options->connections / 4 + 4096,
						.packet_memory = 32};
	struct error err;

	driver = plane_driver(fake_send);
	world->tables = compile(options);
	world->ports[SIDE_CLIENT] = find_port(world->tables, "client");
	world->ports[SIDE_SERVER] = find_port(world->tables, "server");
	for (uint32_t i = 0; i < 2; i++)
		open_port(world->tables, world->ports[i], options->workers);
	// The next hop has answered.
	for (uint32_t i = 1; i < world->tables->peer_count; i++)
		if (world->tables->peers[i].next_hop)
			atomic_store(&world->tables->peers[i].next_hop->mac, 0x020000000002);
	for (uint32_t i = 0; i < options->workers; i++)
		engine_options.cpus[i] = -1;
	if (engine_open(&engine_options, world->tables, &world->engine, &err) < 0)
		require(false, err.text);
	// measure.c has threads of its own.
	plane_take_workers(world->engine);
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
