// What limits let pass of packets that come in bursts is what they let pass one by one, and is
// counted alike.

#include "test.h"

#include <rte_eal.h>
#include <rte_mbuf.h>

#include "frame.h"
#include "layer/qos/qos.h"
#include "plane/plane.h"
#include "plane/tables_from_yaml.h"

#define GROUPS 200

// One sends, two and three receive, two of them with limits. Bursts are odd and packets even, so
// that no packet just fits.
static const char node[] =
	"kind: Node\nname: a\n"
	"---\nkind: Network\nname: blue\nvni: 5001\nsubnets:\n- {cidr: 10.1.0.0/24}\n"
	"---\nkind: QosPolicy\nname: sends\n"
	"egress: {rate: 100M, burst: 24001, queueMilliseconds: 0}\n"
	"---\nkind: QosPolicy\nname: receives\n"
	"ingress: {rate: 60M, burst: 16001, queueMilliseconds: 0}\n"
	"---\nkind: Port\nname: p0\nnode: a\nnetwork: blue\nmac: '52:54:00:00:00:10'\n"
	"addresses: [10.1.0.10]\nqosPolicy: sends\ndevice: {tap: {name: p0}}\n"
	"---\nkind: Port\nname: p1\nnode: a\nnetwork: blue\nmac: '52:54:00:00:00:11'\n"
	"addresses: [10.1.0.11]\nqosPolicy: receives\ndevice: {tap: {name: p1}}\n"
	"---\nkind: Port\nname: p2\nnode: a\nnetwork: blue\nmac: '52:54:00:00:00:12'\n"
	"addresses: [10.1.0.12]\ndevice: {tap: {name: p2}}\n";

struct datagram {
	unsigned int receiver;
	uint32_t payload;
};

static struct engine *engine;
static struct tables *tables[2];
static struct port_driver driver;
static struct port fake;
static uint32_t sent;

static uint16_t send_none(struct port *port, uint16_t queue, struct rte_mbuf **packets,
			  uint16_t count)
{
	rte_pktmbuf_free_bulk(packets, count);
	sent += count;
	return count;
}

static int set_up(void **state)
{
	static struct port_counters counters[2][1];
	char *arguments[] = {"worker_credit_test", "--no-huge", "--no-shconf", "--no-pci",
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
	for (unsigned int i = 0; i < 2; i++) {
		tables[i] = tables_from_yaml(node, strlen(node), "a", 1);
		assert_non_null(tables[i]);
		for (uint32_t port = PORT_HOST + 1; port < tables[i]->port_count; port++) {
			tables[i]->ports[port].port = &fake;
			tables[i]->ports[port].counters = counters[i];
		}
	}
	if (engine_open(&options, tables[0], &engine, &err) < 0)
		fail_msg("%s", err.text);
	plane_take_workers(engine);
	rte_rcu_qsbr_thread_register(engine->readers, 0);
	rte_rcu_qsbr_thread_online(engine->readers, 0);
	return 0;
}

static struct rte_mbuf *make(const struct datagram *datagram)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(engine->pool);
	struct frame frame;

	frame_ethernet(&frame, datagram->receiver == 1 ? "52:54:00:00:00:11" : "52:54:00:00:00:12",
		       "52:54:00:00:00:10", 0);
	frame_ip(&frame, "10.1.0.10", datagram->receiver == 1 ? "10.1.0.11" : "10.1.0.12", 64, 0);
	frame_udp(&frame, 1000, 53);
	frame_payload(&frame, datagram->payload);
	frame_finish(&frame);
	memcpy(rte_pktmbuf_append(mbuf, (uint16_t)frame.size), frame.data, frame.size);
	return mbuf;
}

static void put_in_force(struct tables *now)
{
	now->generation = engine_next_generation(engine);
	engine->workers[0]->tables = now;
	atomic_store(&engine->tables, now);
}

// So many of them at a time; returns how many passed.
static uint32_t pass(const struct datagram *datagrams, uint32_t count, uint32_t at_once)
{
	struct worker *worker = engine->workers[0];
	struct poll_entry from = {.port = PORT_HOST + 1};
	struct rte_mbuf *mbufs[PORT_BURST];

	sent = 0;
	for (uint32_t first = 0; first < count; first += at_once) {
		for (uint32_t i = 0; i < at_once; i++)
			mbufs[i] = make(&datagrams[first + i]);
		fast_path_receive(worker, &from, mbufs, at_once);
		transmit_flush_all(worker);
		rte_rcu_qsbr_quiescent(engine->readers, 0);
	}
	return sent;
}

// In runs to one receiver, or in turn.
static void invent(struct datagram datagrams[PORT_BURST])
{
	unsigned int receiver = 1;

	for (uint32_t i = 0; i < PORT_BURST; i++) {
		if (rand() % 8 == 0)
			receiver = 3 - receiver;
		datagrams[i] = (struct datagram){receiver, 2 * (uint32_t)(rand() % 300)};
	}
}

static void check_counts(const struct tables *one_by_one, const struct tables *in_bursts)
{
	struct qos_count counts[2][4] = {{{0}}};
	uint32_t places[2][2] = {{0}};

	qos_counts_sum(one_by_one->qos, counts[0], places[0]);
	qos_counts_sum(in_bursts->qos, counts[1], places[1]);
	for (unsigned int i = 0; i < 4; i++) {
		assert_int_equal(counts[0][i].packets, counts[1][i].packets);
		assert_int_equal(counts[0][i].bytes, counts[1][i].bytes);
		assert_int_equal(counts[0][i].dropped, counts[1][i].dropped);
		assert_int_equal(counts[0][i].dropped_bytes, counts[1][i].dropped_bytes);
	}
	assert_true(counts[0][QOS_EGRESS].packets + counts[0][2 + QOS_EGRESS].packets > 0);
	assert_true(counts[0][QOS_EGRESS].dropped + counts[0][2 + QOS_EGRESS].dropped > 0);
	assert_true(counts[0][QOS_INGRESS].dropped + counts[0][2 + QOS_INGRESS].dropped > 0);
}

static void test_bursts(void **state)
{
	struct worker *worker = engine->workers[0];
	uint64_t now = rte_rdtsc();

	srand(1);
	for (unsigned int group = 0; group < GROUPS; group++) {
		struct datagram datagrams[PORT_BURST];
		uint32_t passed;

		invent(datagrams);
		// Faster and slower than the limits.
		now += rte_get_tsc_hz() / 1000000 * (uint64_t)(rand() % 3000);
		delays_turn(worker, now);
		put_in_force(tables[0]);
		passed = pass(datagrams, PORT_BURST, 1);
		put_in_force(tables[1]);
		assert_int_equal(pass(datagrams, PORT_BURST, PORT_BURST), passed);
	}
	check_counts(tables[0], tables[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bursts),
	};

	return cmocka_run_group_tests_name("worker_credit", tests, set_up, NULL);
}
