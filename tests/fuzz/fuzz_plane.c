// The data plane as a whole: a worker without its thread, ports without devices, and a sequence of
// frames, changes of policy and seconds from the input. What is sent must be readable, and every
// packet buffer must come back.
//
// The input is a list of steps: a byte that says what (below), two bytes of length in little endian
// order, and so many bytes of frame.

#include <rte_eal.h>
#include <rte_mbuf.h>

#include "fuzz.h"
#include "fuzz_frame.h"
#include "layer/router_advertisement/router_advertisement.h"
#include "plane/plane.h"
#include "plane/tables_from_yaml.h"
#include "worker/worker.h"

#define STEP_PORT   0x07 // of the ports below
#define STEP_REPAIR 0x08 // checksums are made right
#define STEP_SPLIT  0x10 // the frame comes in two buffers
#define STEP_KIND   0xe0
#define STEP_POLICY 0x20 // other tables from here on
#define STEP_SECOND 0x40 // the frame's length in seconds go by
#define STEP_BURST  0x80 // the frame comes twice, in one burst

#define FRAME_MAX 16384
#define PORTS	  16
#define STEPS_MAX 64

static const char node[] =
	"kind: Node\nname: a\nvtep: 192.0.2.1/24\nuplink: {netdev: up0}\n"
	"---\nkind: Node\nname: b\nvtep: 192.0.2.2/24\nuplink: {netdev: up0}\n"
	"---\nkind: Vrf\nname: t1\n"
	"---\nkind: Network\nname: blue\nvni: 5001\nvrf: t1\nsubnets:\n"
	"- {cidr: 10.1.0.0/24, gateway: 10.1.0.1, dns: [10.1.0.2]}\n"
	"- {cidr: 'fd00:1::/64', gateway: 'fd00:1::1', dns: ['fd00:1::2']}\n"
	"dhcp: {domain: example.org, boot: {file: a}}\n"
	"---\nkind: Network\nname: red\nvni: 5002\nvrf: t1\nsubnets:\n"
	"- {cidr: 10.2.0.0/24}\n"
	"---\nkind: Port\nname: a1\nnode: a\nnetwork: blue\nmac: '52:54:00:00:00:01'\n"
	"addresses: [10.1.0.11, 'fd00:1::11']\nallowedAddresses: [10.1.0.100/32]\n"
	"device: {tap: {name: a1}}\n"
	"---\nkind: Port\nname: a2\nnode: a\nnetwork: blue\nmac: '52:54:00:00:00:02'\n"
	"addresses: [10.1.0.12, 'fd00:1::12']\nallowedAddresses: [10.1.0.100/32]\n"
	"securityGroups: [web]\ndevice: {tap: {name: a2}}\n"
	"---\nkind: Port\nname: a3\nnode: a\nnetwork: red\nmac: '52:54:00:00:00:03'\n"
	"addresses: [10.2.0.13]\nallowedAddresses: [192.168.0.0/16]\ndevice: {tap: {name: a3}}\n"
	"---\nkind: Port\nname: b1\nnode: b\nnetwork: blue\nmac: '52:54:00:00:00:11'\n"
	"addresses: [10.1.0.21, 'fd00:1::21']\nsecurityGroups: [web]\ndevice: {tap: {name: b1}}\n";

static const char *const policies[] = {
	"---\nkind: SecurityGroup\nname: web\nrules:\n"
	"- {direction: ingress, protocol: tcp, ports: 80-81}\n"
	"- {direction: ingress, protocol: icmp, remote: {group: web}}\n- {direction: egress}\n",
	"---\nkind: SecurityGroup\nname: web\nrules:\n- {direction: ingress, protocol: udp}\n",
};

#define POLICIES (sizeof(policies) / sizeof(policies[0]))

static struct tables *tables[POLICIES];
static struct engine *engine;
static struct port_driver driver;
static struct port fake;
static struct port_counters counters[2];
static struct router_schedule schedules[PORTS];

// ---- ports without devices

static uint16_t check_sent(struct port *port, uint16_t queue, struct rte_mbuf **packets,
			   uint16_t count)
{
	static uint8_t room[65536 + 256];

	for (uint16_t i = 0; i < count; i++) {
		const char *why;
		struct packet packet;
		const uint8_t *data;

		require(rte_mbuf_check(packets[i], 1, &why) == 0);
		require(packets[i]->pkt_len <= 65536 + 256);
		data = rte_pktmbuf_read(packets[i], 0, packets[i]->pkt_len, room);
		require(data != NULL);
		// An error may quote a fragment, which belongs to no connection.
		require(packet_parse(data, packets[i]->pkt_len, packets[i]->pkt_len, &packet) ==
				DROP_NONE ||
			packet.kind == PACKET_ICMP_ERROR);
		rte_pktmbuf_free(packets[i]);
	}
	return count;
}

// ---- the worker's turn

static void put_in_force(struct worker *worker, struct tables *now)
{
	now->generation = engine_next_generation(engine);
	worker->tables = now;
	atomic_store(&engine->tables, now);
}

static void turn(struct worker *worker, bool new_second)
{
	rte_rcu_qsbr_quiescent(engine->readers, worker->index);
	replicate_turn(worker);
	multicast_turn(worker, new_second);
	hold_turn(worker, new_second);
	fragments_turn(worker, new_second);
	underlay_turn(worker, new_second);
	services_turn(worker, new_second);
	transmit_flush_all(worker);
	flow_table_age(worker->flows, worker->index, worker->now, engine->cycles_per_second,
		       engine->cycles_per_second, UINT32_MAX);
}

static struct rte_mbuf *buffer(const uint8_t *frame, uint32_t length, uint32_t split)
{
	struct rte_mbuf *first = NULL;

	do {
		struct rte_mbuf *mbuf = rte_pktmbuf_alloc(engine->pool);
		uint32_t part = rte_pktmbuf_tailroom(mbuf);

		if (!first && split < part)
			part = split;
		if (part > length)
			part = length;
		memcpy(rte_pktmbuf_append(mbuf, (uint16_t)part), frame, part);
		frame += part;
		length -= part;
		if (!first)
			first = mbuf;
		else
			require(rte_pktmbuf_chain(first, mbuf) == 0);
	} while (length);
	return first;
}

static void receive(struct worker *worker, uint8_t step, const uint8_t *data, uint32_t length)
{
	static uint8_t frame[FRAME_MAX];
	struct poll_entry from = {.port = step & STEP_PORT};
	struct rte_mbuf *mbufs[2];
	uint32_t count = (step & STEP_KIND) == STEP_BURST ? 2 : 1;

	from.port = from.port ? from.port + PORT_HOST : PORT_UPLINK;
	if (from.port >= worker->tables->port_count || length < ETHERNET_HEADER_SIZE)
		return;
	memcpy(frame, data, length);
	if (step & STEP_REPAIR)
		frame_repair(frame, length);
	// Drivers give the first 256 bytes in one piece.
	for (uint32_t i = 0; i < count; i++)
		mbufs[i] = buffer(frame, length, step & STEP_SPLIT ? 256 : UINT32_MAX);
	fast_path_receive(worker, &from, mbufs, count);
}

static void run(struct worker *worker, const uint8_t *data, size_t size)
{
	uint32_t policy = 0;

	memset(schedules, 0, sizeof(schedules));
	put_in_force(worker, tables[0]);
	for (unsigned int i = 0; i < STEPS_MAX && size >= 3; i++) {
		uint8_t step = data[0];
		uint32_t length = (uint32_t)data[1] | (uint32_t)data[2] << 8;
		bool new_second = (step & STEP_KIND) == STEP_SECOND;

		data += 3;
		size -= 3;
		if (new_second) {
			worker->now += length;
		} else if ((step & STEP_KIND) == STEP_POLICY) {
			policy = (policy + 1) % POLICIES;
			put_in_force(worker, tables[policy]);
		} else {
			if (length > size)
				length = (uint32_t)size;
			if (length > FRAME_MAX)
				length = FRAME_MAX;
			receive(worker, step, data, length);
			data += length;
			size -= length;
		}
		turn(worker, new_second);
	}
}

// Long enough for everything that waits or is remembered to end.
static void settle(struct worker *worker)
{
	for (unsigned int i = 0; i < 4 && flow_table_count(worker->flows); i++) {
		worker->now += 20000;
		turn(worker, true);
		turn(worker, true);
	}
	for (unsigned int i = 0; i < 40; i++) {
		worker->now += 1;
		turn(worker, true);
	}
	require(flow_table_count(worker->flows) == 0);
	require(worker->flows->worker[0].created == worker->flows->worker[0].removed);
	require(worker->held_count == 0);
	require(rte_mempool_in_use_count(engine->pool) == 0);
}

// ---- the beginning

static void start_eal(void)
{
	char *arguments[] = {"fuzz_plane",	    "--no-huge", "--no-shconf", "--no-pci",
			     "--no-telemetry",	    "-m",	 "256",		"--lcores=0",
			     "--log-level=*:error", NULL};

	require(rte_eal_init(9, arguments) >= 0);
}

int LLVMFuzzerInitialize(int *count, char ***argument_list)
{
	static const struct mac_address uplink = {{0x02, 0, 0, 0, 0, 0xaa}};
	struct engine_options options = {
		.cpus = {-1}, .worker_count = 1, .connections = 4096, .packet_memory = 16};
	static char yaml[8192];
	struct error err;

	start_eal();
	for (size_t i = 0; i < POLICIES; i++) {
		snprintf(yaml, sizeof(yaml), "%s%s", node, policies[i]);
		tables[i] = tables_from_yaml(yaml, strlen(yaml), "a", 1);
		require(tables[i] != NULL);
		tables_set_uplink(tables[i], &uplink, 1500);
	}
	require(engine_open(&options, tables[0], &engine, &err) == 0);
	plane_take_workers(engine);
	rte_rcu_qsbr_thread_register(engine->readers, 0);
	rte_rcu_qsbr_thread_online(engine->readers, 0);
	driver = plane_driver(check_sent);
	fake.driver = &driver;
	fake.sender = &fake;
	fake.queues = 1;
	fake.mac = uplink;
	for (size_t i = 0; i < POLICIES; i++)
		for (uint32_t port = 1; port < tables[i]->port_count; port++) {
			if (port == PORT_HOST)
				continue;
			tables[i]->ports[port].port = &fake;
			tables[i]->ports[port].counters = counters;
			require(port < PORTS);
			tables[i]->ports[port].schedule = &schedules[port];
		}
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct worker *worker = engine->workers[0];

	run(worker, data, size);
	settle(worker);
	return 0;
}
