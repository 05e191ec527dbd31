// Several packets of one connection in one burst, the first of which ends it: what was found for
// the others before is not there any more.

#include "test.h"

#include <rte_eal.h>
#include <rte_mbuf.h>

#include "frame.h"
#include "plane/plane.h"
#include "plane/tables_from_yaml.h"

#define MAC_ONE "52:54:00:00:00:01"
#define MAC_TWO "52:54:00:00:00:02"

static const char node[] =
	"kind: Node\nname: a\n"
	"---\nkind: Network\nname: blue\nvni: 5001\nsubnets:\n"
	"- {cidr: 10.1.0.0/24}\n- {cidr: 'fd00:1::/64'}\n"
	"---\nkind: Port\nname: one\nnode: a\nnetwork: blue\nmac: '" MAC_ONE "'\n"
	"addresses: [10.1.0.11, 'fd00:1::11']\ndevice: {tap: {name: one}}\n"
	"---\nkind: Port\nname: two\nnode: a\nnetwork: blue\nmac: '" MAC_TWO "'\n"
	"addresses: [10.1.0.12, 'fd00:1::12']\nsecurityGroups: [web]\ndevice: {tap: {name: two}}\n"
	"---\nkind: SecurityGroup\nname: web\nrules:\n";

#define ANY	 "- {direction: ingress}\n"
#define TCP_ONLY "- {direction: ingress, protocol: tcp}\n"

static const char *const addresses[][2] = {{"10.1.0.11", "10.1.0.12"},
					   {"fd00:1::11", "fd00:1::12"}};

static struct engine *engine;
static struct tables *any, *tcp_only;
static struct port_driver driver;
static struct port fake;
static uint32_t sent;

static uint16_t send_none(struct port *port, uint16_t queue, struct rte_mbuf **packets,
			  uint16_t count)
{
	for (uint16_t i = 0; i < count; i++)
		rte_pktmbuf_free(packets[i]);
	sent += count;
	return count;
}

static struct tables *compiled(const char *rules)
{
	static struct port_counters counters[1];
	char yaml[2048];
	struct tables *tables;

	snprintf(yaml, sizeof(yaml), "%s%s", node, rules);
	tables = tables_from_yaml(yaml, strlen(yaml), "a", 1);
	assert_non_null(tables);
	for (uint32_t port = PORT_HOST + 1; port < tables->port_count; port++) {
		tables->ports[port].port = &fake;
		tables->ports[port].counters = counters;
	}
	return tables;
}

static int set_up(void **state)
{
	char *arguments[] = {"worker_burst_test",  "--no-huge", "--no-shconf", "--no-pci",
			     "--no-telemetry",	   "-m",	"128",	       "--lcores=0",
			     "--log-level=*:error"};
	struct engine_options options = {
		.cpus = {-1}, .worker_count = 1, .connections = 1024, .packet_memory = 4};
	struct error err;

	assert_true(rte_eal_init(RTE_DIM(arguments), arguments) >= 0);
	driver = plane_driver(send_none);
	fake.driver = &driver;
	fake.queues = 1;
	fake.sender = &fake;
	any = compiled(ANY);
	tcp_only = compiled(TCP_ONLY);
	if (engine_open(&options, any, &engine, &err) < 0)
		fail_msg("%s", err.text);
	plane_take_workers(engine);
	rte_rcu_qsbr_thread_register(engine->readers, 0);
	rte_rcu_qsbr_thread_online(engine->readers, 0);
	return 0;
}

static void put_in_force(struct tables *now)
{
	now->generation = engine_next_generation(engine);
	engine->workers[0]->tables = now;
	atomic_store(&engine->tables, now);
}

// From one to the other, back where `reply`.
static struct rte_mbuf *datagram(const char *const pair[2], uint16_t port, bool reply)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(engine->pool);
	struct frame frame;

	frame_ethernet(&frame, reply ? MAC_ONE : MAC_TWO, reply ? MAC_TWO : MAC_ONE, 0);
	frame_ip(&frame, pair[reply], pair[!reply], 64, 0);
	frame_udp(&frame, reply ? 53 : port, reply ? port : 53);
	frame_payload(&frame, 10);
	frame_finish(&frame);
	memcpy(rte_pktmbuf_append(mbuf, (uint16_t)frame.size), frame.data, frame.size);
	return mbuf;
}

// Of each connection so many packets, side by side.
static void burst(const char *const pair[2], uint16_t connections, uint32_t packets, bool reply)
{
	struct worker *worker = engine->workers[0];
	struct poll_entry from = {.port = PORT_HOST + 1 + reply};
	struct rte_mbuf *mbufs[PORT_BURST];
	uint32_t count = 0;

	for (uint16_t i = 0; i < connections; i++)
		for (uint32_t j = 0; j < packets; j++)
			mbufs[count++] = datagram(pair, 1000 + i, reply);
	assert_true(count <= PORT_BURST);
	sent = 0;
	fast_path_receive(worker, &from, mbufs, count);
	transmit_flush_all(worker);
	rte_rcu_qsbr_quiescent(engine->readers, 0);
}

// The places of all that have ended are free, each once: as many connections as there ever were
// have as many places.
static void test_a_connection_ends_once(void **state)
{
	struct flow_table *table = engine->workers[0]->flows;
	uint32_t places = 0;

	for (unsigned int turn = 0; turn < 20; turn++) {
		const char *const *pair = addresses[turn % 2];

		put_in_force(any);
		burst(pair, 8, 2, false);
		assert_int_equal(sent, 16);
		assert_int_equal(flow_table_count(table), 8);
		if (turn == 0)
			places = flow_table_end(table);
		put_in_force(tcp_only);
		// By replies, too.
		burst(pair, 8, 3, turn % 4 >= 2);
		assert_int_equal(sent, 0);
		assert_int_equal(flow_table_count(table), 0);
	}
	assert_in_range(flow_table_end(table), 1, places + 8);
}

// What comes behind it in the burst opens a new one.
static void test_what_ends_and_opens(void **state)
{
	struct flow_table *table = engine->workers[0]->flows;

	put_in_force(any);
	burst(addresses[0], 1, 1, false);
	assert_int_equal(flow_table_count(table), 1);
	put_in_force(tcp_only);
	burst(addresses[0], 1, 16, false);
	assert_int_equal(sent, 0);
	put_in_force(any);
	for (unsigned int i = 0; i < 4; i++)
		burst(addresses[i % 2], 16, 2, false);
	assert_int_equal(sent, 32);
	assert_int_equal(flow_table_count(table), 32);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_connection_ends_once),
		cmocka_unit_test(test_what_ends_and_opens),
	};

	return cmocka_run_group_tests_name("worker_burst", tests, set_up, NULL);
}
