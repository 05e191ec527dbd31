// What walk_predict_reply expects is what comes: two nodes pass packets to each other, from every
// port to every other, and the reply's own walk is compared with the prediction.

#include "test.h"

#include <netinet/in.h>

#include "layer_fixture.h"
#include "packet/header.h"

struct host {
	const char *name;
	const char *addresses[2]; // IPv4, IPv6
};

static const struct host hosts[] = {
	{"a1", {"10.1.0.11", "fd00:1::11"}}, {"a2", {"10.1.0.12", "fd00:1::12"}},
	{"a3", {"10.2.0.13", "fd00:2::13"}}, {"a4", {"10.3.0.14", NULL}},
	{"a5", {"10.3.0.15", NULL}},	     {"a6", {"10.4.0.16", NULL}},
	{"a8", {"10.1.0.18", NULL}},	     {"b1", {"10.1.0.21", "fd00:1::21"}},
	{"b2", {"10.2.0.22", "fd00:2::22"}}, {"b3", {"10.1.0.23", NULL}},
	{"b4", {"10.4.0.24", NULL}},
};

#define HOSTS (sizeof(hosts) / sizeof(hosts[0]))

// The two nodes by their first letter.
struct nodes {
	struct layer_fixture node[2];
};

struct crossing {
	bool allowed;
	struct flow_direction direction; // as the connection would have it, from the walk itself
	struct flow_direction predicted; // of the answer, on the node where the walk was
	bool is_predicted;
};

static const struct endpoint *endpoint_on(const struct nodes *nodes, unsigned int node,
					  const char *name)
{
	return fixture_endpoint(nodes->node[node].tables, name);
}

static struct crossing judge(const struct nodes *nodes, unsigned int node,
			     const struct frame *frame, struct ingress ingress, uint16_t network,
			     bool reply, struct walk *walk, struct packet *packet)
{
	const struct layer_fixture *fixture = &nodes->node[node];
	struct crossing crossing = {.allowed = false};
	enum verdict verdict;

	assert_int_equal(frame_parse(frame, packet), DROP_NONE);
	packet->key.network = network;
	*walk = (struct walk){
		.tables = fixture->tables, .packet = packet, .ingress = ingress, .reply = reply};
	verdict = walk_begin(walk);
	if (verdict == VERDICT_NEXT)
		verdict = walk_run(walk);
	fixture_check_recall(fixture, walk, verdict);
	if (verdict != VERDICT_NEXT)
		return crossing;
	crossing.allowed = true;
	crossing.direction.key = packet->key;
	crossing.direction.ingress =
		flow_ingress_make(ingress, &packet->destination_mac, &packet->source_mac);
	flow_action_set(&crossing.direction, walk->action, fixture->tables->generation);
	walk_predict_reply(walk, &crossing.predicted);
	return crossing;
}

// A packet from one host to another over one or two nodes: fills what each node made of it.
static unsigned int cross(const struct nodes *nodes, const struct host *from, const struct host *to,
			  bool v6, bool reply, bool by_gateway, struct crossing *crossings)
{
	unsigned int node = from->name[0] - 'a';
	const struct endpoint *source = endpoint_on(nodes, node, from->name);
	const struct endpoint *destination = endpoint_on(nodes, node, to->name);
	bool same = source->network == destination->network && !by_gateway;
	struct ingress ingress = {.port = source->port};
	char source_text[MAC_TEXT_SIZE], destination_text[MAC_TEXT_SIZE];
	struct packet packet;
	struct frame frame;
	struct walk walk;
	uint32_t vni;

	mac_format(&source->mac, source_text);
	mac_format(same ? &destination->mac : &source->gateway_mac, destination_text);
	frame_ethernet(&frame, destination_text, source_text, 0);
	frame_ip(&frame, from->addresses[v6], to->addresses[v6], 64, 0);
	if (reply)
		frame_tcp(&frame, 80, 1234, TCP_SYN | TCP_ACK);
	else
		frame_tcp(&frame, 1234, 80, TCP_SYN);
	frame_finish(&frame);
	crossings[0] = judge(nodes, node, &frame, ingress, source->network, reply, &walk, &packet);
	if (!crossings[0].allowed)
		return 0;
	assert_ptr_equal(walk.destination, destination);
	if (walk.action.flags & FLOW_ACTION_ROUTE) {
		memcpy(frame.data, &destination->mac, 6);
		memcpy(frame.data + 6, &destination->gateway_mac, 6);
		if (!v6)
			ipv4_decrement_ttl(frame.data + 14);
		else
			frame.data[14 + 7]--;
	}
	if (!(walk.action.flags & FLOW_ACTION_TUNNEL))
		return 1;
	vni = destination->vni;
	ingress = (struct ingress){
		.port = PORT_UPLINK,
		.peer = fixture_peer(nodes->node[!node].tables, nodes->node[node].node)};
	crossings[1] = judge(nodes, !node, &frame, ingress,
			     (uint16_t)lookup_find(&nodes->node[!node].tables->by_vni,
						   (struct lookup_key){{vni, 0, 0}}),
			     reply, &walk, &packet);
	return crossings[1].allowed ? 2 : 0;
}

static void check_same(const struct crossing *there, const struct crossing *back, bool same_way,
		       const char *what)
{
	struct flow_action predicted = flow_action_get(&there->predicted);
	struct flow_action real = flow_action_get(&back->direction);

	check_case(flow_key_equal(&there->predicted.key, &back->direction.key), "%s: key\n", what);
	// An answer by another way than the question (routed or not) is judged by the layers.
	if (!same_way)
		return;
	check_case(there->predicted.ingress == back->direction.ingress, "%s: ingress\n", what);
	check_case(there->predicted.generation == back->direction.generation, "%s: generation %u\n",
		   what, there->predicted.generation);
	check_case(memcmp(&predicted, &real, sizeof(real)) == 0,
		   "%s: action to %u by %u, flags %x, not to %u by %u, flags %x\n", what,
		   predicted.destination, predicted.port, predicted.flags, real.destination,
		   real.port, real.flags);
}

static void test_all_pairs(void **state)
{
	struct nodes nodes;
	unsigned int allowed = 0, tunnelled = 0, routed = 0;

	for (unsigned int i = 0; i < 2; i++) {
		fixture_open(&nodes.node[i], i ? "b" : "a");
		fixture_apply(&nodes.node[i], fixture_yaml);
	}
	for (unsigned int i = 0; i < HOSTS * HOSTS * 4; i++) {
		const struct host *from = &hosts[i / 4 / HOSTS], *to = &hosts[i / 4 % HOSTS];
		bool v6 = i & 1, by_gateway = i & 2;
		struct crossing there[2] = {0}, back[2] = {0};
		unsigned int count, again;
		char what[64];

		if (from == to || !from->addresses[v6] || !to->addresses[v6])
			continue;
		// A network without a VNI stays inside its node: nobody elsewhere can answer.
		if (from->name[0] != to->name[0] && !endpoint_on(&nodes, 0, from->name)->vni)
			continue;
		snprintf(what, sizeof(what), "%s to %s, v%d, %s", from->name, to->name, v6 ? 6 : 4,
			 by_gateway ? "by the gateway" : "direct");
		count = cross(&nodes, from, to, v6, false, by_gateway, there);
		if (!count)
			continue;
		again = cross(&nodes, to, from, v6, true, by_gateway, back);
		check_case(again == count, "%s: no way back\n", what);
		allowed++;
		tunnelled += count == 2;
		routed += (flow_action_get(&there[0].direction).flags & FLOW_ACTION_ROUTE) != 0;
		if (count == 1) {
			check_same(&there[0], &back[0], true, what);
			continue;
		}
		// Each node has both directions.
		check_same(&there[0], &back[1], true, what);
		check_same(&there[1], &back[0], true, what);
	}
	// So that the test can't pass by trying nothing.
	assert_true(allowed > 80 && tunnelled > 30 && routed > 30);
	for (unsigned int i = 0; i < 2; i++)
		fixture_close(&nodes.node[i]);
}

// Where the layers wouldn't take a reply, none is promised.
static void test_no_way_back(void **state)
{
	struct layer_fixture fixture;
	struct flow_direction reply = {.generation = 0};
	const struct endpoint *source;
	struct packet packet;
	struct frame frame;
	struct walk walk;

	fixture_open(&fixture, "a");
	fixture_apply(&fixture, fixture_yaml);
	source = fixture_endpoint(fixture.tables, "a8");
	// From an allowed prefix, which nobody routes to.
	frame_ethernet(&frame, GATEWAY_BLUE, "52:54:00:00:00:08", 0);
	frame_ip(&frame, "192.168.7.7", "10.4.0.16", 64, 0);
	frame_udp(&frame, 1, 2);
	frame_finish(&frame);
	assert_int_equal(fixture_judge(&fixture, &frame, (struct ingress){.port = source->port},
				       source->network, &packet, &walk),
			 VERDICT_NEXT);
	walk_predict_reply(&walk, &reply);
	assert_int_equal(reply.generation, 0);
	fixture_close(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_pairs),
		cmocka_unit_test(test_no_way_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
