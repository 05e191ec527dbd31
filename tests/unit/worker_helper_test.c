// Messages that name addresses, through a worker: of a client that is translated, a server that is,
// and TCP's numbers behind what became longer.

#include "test.h"

#include <arpa/inet.h>

#include <rte_eal.h>
#include <rte_mbuf.h>

#include "flow/state.h"
#include "frame.h"
#include "packet/header.h"
#include "plane/plane.h"
#include "plane/tables_from_yaml.h"

#define MAC_ONE "52:54:00:00:00:01"
#define MAC_TWO "52:54:00:00:00:02"
#define CLIENT	"10.1.0.11"
#define SERVER	"10.1.0.12"
#define OUTSIDE "203.0.113.200"

static const char node[] =
	"kind: Node\nname: a\n"
	"---\nkind: Network\nname: blue\nvni: 5001\nsubnets: [{cidr: 10.1.0.0/24}]\n"
	"---\nkind: Port\nname: one\nnode: a\nnetwork: blue\nmac: '" MAC_ONE "'\n"
	"addresses: [" CLIENT "]\ndevice: {tap: {name: one}}\n"
	"---\nkind: Port\nname: two\nnode: a\nnetwork: blue\nmac: '" MAC_TWO "'\n"
	"addresses: [" SERVER "]\ndevice: {tap: {name: two}}\n";

static struct engine *engine;
static struct tables *tables;
static struct port_driver driver;
static struct port fake;
static struct port_counters counters[1];
static uint8_t seen[4096];
static uint32_t seen_size; // 0: nothing was sent

static uint16_t send_one(struct port *port, uint16_t queue, struct rte_mbuf **packets,
			 uint16_t count)
{
	assert_int_equal(count, 1);
	seen_size = packets[0]->pkt_len;
	memcpy(seen, rte_pktmbuf_mtod(packets[0], const void *), seen_size);
	rte_pktmbuf_free(packets[0]);
	return count;
}

static int set_up(void **state)
{
	char *arguments[] = {"worker_helper_test", "--no-huge", "--no-shconf", "--no-pci",
			     "--no-telemetry",	   "-m",	"128",	       "--lcores=0",
			     "--log-level=*:error"};
	struct engine_options options = {
		.cpus = {-1}, .worker_count = 1, .connections = 1024, .packet_memory = 4};
	struct error err;

	assert_true(rte_eal_init(RTE_DIM(arguments), arguments) >= 0);
	driver = plane_driver(send_one);
	fake.driver = &driver;
	fake.queues = 1;
	fake.sender = &fake;
	tables = tables_from_yaml(node, strlen(node), "a", 1);
	assert_non_null(tables);
	for (uint32_t port = PORT_HOST + 1; port < tables->port_count; port++) {
		tables->ports[port].port = &fake;
		tables->ports[port].counters = counters;
	}
	if (engine_open(&options, tables, &engine, &err) < 0)
		fail_msg("%s", err.text);
	plane_take_workers(engine);
	rte_rcu_qsbr_thread_register(engine->readers, 0);
	rte_rcu_qsbr_thread_online(engine->readers, 0);
	tables->generation = engine_next_generation(engine);
	engine->workers[0]->tables = tables;
	return 0;
}

// ---- a connection as layers that translate would have made it

struct connection {
	uint8_t protocol;
	bool hides_server; // else the client is hidden
	uint16_t client_port;
	uint16_t outer; // that CLIENT or SERVER has at OUTSIDE
	uint16_t server_port;
	// By direction: where what is sent next begins, as its sender counts, and what the other
	// side has seen of it.
	uint32_t next[2];
	uint32_t arrived[2];
};

static uint16_t network_of(uint16_t port)
{
	return tables->endpoints[tables->ports[port].endpoint].network;
}

static void direction_fill(struct flow_direction *direction, const struct flow_key *key, bool reply)
{
	struct mac_address one = mac(MAC_ONE), two = mac(MAC_TWO);
	uint16_t from = (uint16_t)(PORT_HOST + 1 + reply), to = (uint16_t)(PORT_HOST + 2 - reply);

	direction->key = *key;
	direction->ingress = flow_ingress_make((struct ingress){.port = from}, reply ? &one : &two,
					       reply ? &two : &one);
	flow_action_set(direction,
			(struct flow_action){.destination = tables->ports[to].endpoint,
					     .port = to,
					     .flags = FLOW_ACTION_TRANSLATE | FLOW_ACTION_HELPED},
			tables->generation);
}

static struct connection connect_to(uint8_t protocol, uint16_t server_port, bool hides_server)
{
	static uint16_t port = 1000;
	struct connection it = {
		.protocol = protocol,
		.hides_server = hides_server,
		.client_port = ++port,
		.outer = (uint16_t)(40000 + port),
		.server_port = server_port,
		.next = {1000, 50000},
		.arrived = {1000, 50000},
	};
	struct flow_key sent = {
		.source = address(CLIENT),
		.destination = address(hides_server ? OUTSIDE : SERVER),
		.source_port = htons(port),
		.destination_port = htons(hides_server ? it.outer : server_port),
		.network = network_of(PORT_HOST + 1),
		.protocol = protocol,
	};
	struct flow_key back = {
		.source = address(SERVER),
		.destination = address(hides_server ? CLIENT : OUTSIDE),
		.source_port = htons(server_port),
		.destination_port = htons(hides_server ? port : it.outer),
		.network = sent.network,
		.protocol = protocol,
	};
	struct packet first = {.key = sent,
			       .kind = PACKET_IP,
			       .tcp_flags = TCP_SYN,
			       .tcp_seq = 999,
			       .tcp_end = 1000,
			       .tcp_window = 60000};
	struct flow flow = {0};

	direction_fill(&flow.direction[FLOW_ORIGINAL], &sent, false);
	direction_fill(&flow.direction[FLOW_REPLY], &back, true);
	flow_state_open(&flow.account, &first, false);
	assert_true(flow_table_insert(engine->flows, 0, &flow, engine->workers[0]->now));
	return it;
}

// ---- packets

static uint32_t number(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void put_number(uint8_t *at, uint32_t value)
{
	value = htonl(value);
	memcpy(at, &value, 4);
}

// As one side sends it. `seq` and `ack` of TCP.
static void transmit(const struct connection *it, bool reply, uint32_t seq, uint32_t ack,
		     uint8_t flags, const char *text)
{
	struct poll_entry from = {.port = (uint16_t)(PORT_HOST + 1 + reply)};
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(engine->pool);
	struct frame frame;
	uint16_t ports[2] = {it->client_port, it->hides_server ? it->outer : it->server_port};

	if (reply) {
		ports[0] = it->server_port;
		ports[1] = it->hides_server ? it->client_port : it->outer;
	}
	frame_ethernet(&frame, reply ? MAC_ONE : MAC_TWO, reply ? MAC_TWO : MAC_ONE, 0);
	if (reply)
		frame_ip(&frame, SERVER, it->hides_server ? CLIENT : OUTSIDE, 64, 0);
	else
		frame_ip(&frame, CLIENT, it->hides_server ? OUTSIDE : SERVER, 64, 0);
	if (it->protocol == IPPROTO_TCP) {
		frame_tcp(&frame, ports[0], ports[1], flags);
		put_number(frame.data + frame.l4 + 4, seq);
		put_number(frame.data + frame.l4 + 8, ack);
		memset(frame.data + frame.l4 + 14, 0xea, 2);
	} else {
		frame_udp(&frame, ports[0], ports[1]);
	}
	memcpy(frame_append(&frame, (uint32_t)strlen(text)), text, strlen(text));
	frame_finish(&frame);
	memcpy(rte_pktmbuf_append(mbuf, (uint16_t)frame.size), frame.data, frame.size);
	seen_size = 0;
	fast_path_receive(engine->workers[0], &from, &mbuf, 1);
	transmit_flush_all(engine->workers[0]);
	rte_rcu_qsbr_quiescent(engine->readers, 0);
}

static uint32_t payload_at(const struct connection *it)
{
	return 14 + 20 + (it->protocol == IPPROTO_TCP ? 20 : 8);
}

// What has arrived at the other end is well, and says this.
static void arrives(const struct connection *it, bool reply, const char *text)
{
	char source[IP_TEXT_SIZE], wanted[IP_TEXT_SIZE];
	struct ip_address from = ip_from_v4(0), hidden = address(OUTSIDE);
	bool hides = it->hides_server == reply;
	uint32_t at = payload_at(it);

	assert_true(seen_size >= at);
	assert_true(frame_checksums_right(seen, 14, 34, it->protocol));
	memcpy(&from.words[3], seen + 26, 4);
	assert_string_equal(ip_format(&from, source), hides   ? ip_format(&hidden, wanted)
						      : reply ? SERVER
							      : CLIENT);
	assert_int_equal(seen_size - at, strlen(text));
	assert_memory_equal(seen + at, text, strlen(text));
}

// The next segment of a side, which must arrive as `wanted` where the other side expects it; it is
// acknowledged by the one after it.
static void says(struct connection *it, bool reply, uint8_t flags, const char *text,
		 const char *wanted)
{
	transmit(it, reply, it->next[reply] - (flags & TCP_SYN ? 1 : 0), it->arrived[!reply], flags,
		 text);
	arrives(it, reply, wanted);
	assert_int_equal(number(seen + 38) + (flags & TCP_SYN ? 1 : 0), it->arrived[reply]);
	if (flags & TCP_ACK)
		assert_int_equal(number(seen + 42), it->next[!reply]);
	it->next[reply] += (uint32_t)strlen(text);
	it->arrived[reply] += (uint32_t)strlen(wanted);
}

static struct connection ftp(bool hides_server)
{
	struct connection it = connect_to(IPPROTO_TCP, 21, hides_server);

	says(&it, true, TCP_SYN | TCP_ACK, "", "");
	says(&it, false, TCP_ACK, "", "");
	says(&it, true, TCP_ACK, "220 ready\r\n", "220 ready\r\n");
	return it;
}

#define PORT_COMMAND  "PORT 10,1,0,11,4,1\r\n"
#define PORT_OUTSIDE  "PORT 203,0,113,200,4,1\r\n"
#define PASSIVE	      "227 Entering Passive Mode (10,1,0,12,4,1)\r\n"
#define PASSIVE_OUTER "227 Entering Passive Mode (203,0,113,200,4,1)\r\n"

// Each side's numbers are as that side counts, for as long as the connection lasts.
static void test_active(void **state)
{
	struct connection it = ftp(false);

	for (unsigned int i = 0; i < 3; i++) {
		says(&it, false, TCP_ACK, PORT_COMMAND, PORT_OUTSIDE);
		says(&it, true, TCP_ACK, "200 ok\r\n", "200 ok\r\n");
		says(&it, false, TCP_ACK, "LIST\r\n", "LIST\r\n");
		says(&it, true, TCP_ACK, PASSIVE, PASSIVE);
	}
	assert_int_equal(it.arrived[0] - it.next[0], 12);
	says(&it, false, TCP_ACK, "EPRT |1|10.1.0.11|6275|\r\n", "EPRT |1|203.0.113.200|6275|\r\n");
	says(&it, false, TCP_ACK, "QUIT\r\n", "QUIT\r\n");
	says(&it, true, TCP_ACK | TCP_FIN, "", "");
}

static void test_passive(void **state)
{
	struct connection it = ftp(true);

	for (unsigned int i = 0; i < 3; i++) {
		says(&it, false, TCP_ACK, "PASV\r\n", "PASV\r\n");
		says(&it, true, TCP_ACK, PASSIVE, PASSIVE_OUTER);
		says(&it, false, TCP_ACK, PORT_COMMAND, PORT_COMMAND);
		says(&it, true, TCP_ACK, "229 ok (|||6446|)\r\n", "229 ok (|||6446|)\r\n");
	}
	assert_int_equal(it.arrived[1] - it.next[1], 12);
}

// Somebody else's address is not the client's to announce, and stays.
static void test_another_s_address(void **state)
{
	struct connection it = ftp(false);

	says(&it, false, TCP_ACK, "PORT 10,1,0,99,4,1\r\n", "PORT 10,1,0,99,4,1\r\n");
}

// What was lost comes again: whole, or with what is behind it.
static void test_retransmitted(void **state)
{
	struct connection it = ftp(false);
	uint32_t begin = it.next[0], there = it.arrived[0];

	says(&it, false, TCP_ACK, PORT_COMMAND, PORT_OUTSIDE);
	transmit(&it, false, begin, it.arrived[1], TCP_ACK, PORT_COMMAND);
	arrives(&it, false, PORT_OUTSIDE);
	assert_int_equal(number(seen + 38), there);
	transmit(&it, false, begin, it.arrived[1], TCP_ACK, PORT_COMMAND "NOOP\r\n");
	arrives(&it, false, PORT_OUTSIDE "NOOP\r\n");
	assert_int_equal(number(seen + 38), there);
	// Its second half alone makes no sense any more.
	transmit(&it, false, begin + 7, it.arrived[1], TCP_ACK, &PORT_COMMAND[7]);
	assert_int_equal(seen_size, 0);
	assert_int_equal(counters[0].drops[DROP_HELPER], 1);
	// And other text in its place would not be what the server has.
	transmit(&it, false, begin, it.arrived[1], TCP_ACK, "PORT 10,1,0,11,44,1\r\n");
	assert_int_equal(seen_size, 0);
	assert_int_equal(counters[0].drops[DROP_HELPER], 2);
	// The server acknowledges half of it: for the client nothing.
	transmit(&it, true, it.next[1], there + 10, TCP_ACK, "");
	assert_int_equal(number(seen + 42), begin + 5);
	it.next[0] = begin + (uint32_t)strlen(PORT_COMMAND);
	says(&it, false, TCP_ACK, "LIST\r\n", "LIST\r\n");
}

// The windows are held against what each side counts: a shift is not for getting around them.
static void test_windows(void **state)
{
	struct connection it = ftp(false);

	says(&it, false, TCP_ACK, PORT_COMMAND, PORT_OUTSIDE);
	transmit(&it, true, it.next[1], it.arrived[0] + 1, TCP_ACK, "");
	assert_int_equal(seen_size, 0);
	assert_int_equal(counters[0].drops[DROP_TCP_WINDOW], 1);
	says(&it, true, TCP_ACK, "200 ok\r\n", "200 ok\r\n");
}

static void test_sip(void **state)
{
	struct connection it = connect_to(IPPROTO_UDP, 5060, false);
	char text[512], wanted[512];
	static const char *const form = "INVITE sip:bob@" SERVER " SIP/2.0\r\n"
					"Via: SIP/2.0/UDP %s:%u;branch=z9\r\n"
					"Contact: <sip:alice@%s:%u>\r\n"
					"Content-Type: application/sdp\r\n"
					"Content-Length: %u\r\n\r\n"
					"c=IN IP4 %s\r\n"
					"m=audio 49170 RTP/AVP 0\r\n";
	static const char *const answer =
		"SIP/2.0 200 OK\r\n"
		"Via: SIP/2.0/UDP %s:%u;branch=z9;rport=%u;received=%s\r\n"
		"Contact: <sip:bob@" SERVER ">\r\n\r\n";

	snprintf(text, sizeof(text), form, CLIENT, it.client_port, CLIENT, it.client_port, 45,
		 CLIENT);
	snprintf(wanted, sizeof(wanted), form, OUTSIDE, it.outer, OUTSIDE, it.outer, 49, OUTSIDE);
	transmit(&it, false, 0, 0, 0, text);
	arrives(&it, false, wanted);
	snprintf(text, sizeof(text), answer, OUTSIDE, it.outer, it.outer, OUTSIDE);
	// An address without a port is given the one that its side has, as it is not the usual one.
	snprintf(wanted, sizeof(wanted), answer, CLIENT, it.client_port, it.client_port, CLIENT);
	transmit(&it, true, 0, 0, 0, text);
	assert_true(seen_size > 0);
	assert_non_null(memmem(seen, seen_size, CLIENT ":", strlen(CLIENT) + 1));
	assert_null(memmem(seen, seen_size, OUTSIDE, strlen(OUTSIDE)));
	// What is no message passes as it is.
	transmit(&it, false, 0, 0, 0, "\r\n\r\n");
	arrives(&it, false, "\r\n\r\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_active),
		cmocka_unit_test(test_passive),
		cmocka_unit_test(test_another_s_address),
		cmocka_unit_test(test_retransmitted),
		cmocka_unit_test(test_windows),
		cmocka_unit_test(test_sip),
	};

	return cmocka_run_group_tests_name("worker_helper", tests, set_up, NULL);
}
