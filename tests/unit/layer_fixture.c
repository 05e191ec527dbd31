#include "test.h"

#include <netinet/in.h>

#include "layer_fixture.h"

#include "model/check.h"
#include "model_fixture.h"

const char fixture_yaml[] =
	"kind: Node\nname: a\nvtep: 192.0.2.1/24\nuplink: {netdev: up0}\n"
	"---\nkind: Node\nname: b\nvtep: 192.0.2.2/24\nuplink: {netdev: up0}\n"
	// Off the link, and there is no gateway.
	"---\nkind: Node\nname: far\nvtep: 198.51.100.1/24\nuplink: {netdev: up0}\n"
	"---\nkind: Node\nname: alone\n"
	"---\nkind: Vrf\nname: t1\n"
	"---\nkind: Vrf\nname: t2\n"
	"---\nkind: Network\nname: blue\nvni: 5001\nvrf: t1\nsubnets:\n"
	"- {cidr: 10.1.0.0/24, gateway: 10.1.0.1}\n- {cidr: 'fd00:1::/64', gateway: 'fd00:1::1'}\n"
	"---\nkind: Network\nname: red\nvni: 5002\nvrf: t1\nsubnets:\n"
	"- {cidr: 10.2.0.0/24, gateway: 10.2.0.1}\n- {cidr: 'fd00:2::/64', gateway: 'fd00:2::1'}\n"
	"---\nkind: Network\nname: lone\nvni: 5003\nsubnets:\n"
	"- {cidr: 10.3.0.0/24, gateway: 10.3.0.1}\n"
	"---\nkind: Network\nname: inside\nvrf: t1\nsubnets:\n"
	"- {cidr: 10.4.0.0/24, gateway: 10.4.0.1}\n"
	// The same addresses as blue, another tenant's.
	"---\nkind: Network\nname: green\nvni: 5004\nvrf: t2\nsubnets:\n"
	"- {cidr: 10.1.0.0/24, gateway: 10.1.0.1}\n"
	"---\nkind: SecurityGroup\nname: web\nrules:\n"
	"- {direction: ingress, protocol: tcp, ports: 80-81}\n"
	"- {direction: ingress, protocol: icmp, remote: {group: web}}\n"
	"- {direction: ingress, protocol: udp, remote: {cidr: 10.2.0.0/24}}\n"
	"- {direction: egress}\n"
	"---\nkind: SecurityGroup\nname: db\nrules:\n"
	"- {direction: ingress, protocol: tcp, ports: '5432', remote: {group: web}}\n"
	"- {direction: ingress, protocol: icmp, icmpType: 8, icmpCode: 0}\n"
	"- {direction: ingress, protocol: '47'}\n"
	"---\nkind: Port\nname: a1\nnode: a\nnetwork: blue\nmac: '52:54:00:00:00:01'\n"
	"addresses: [10.1.0.11, 'fd00:1::11']\ndevice: {tap: {name: a1}}\n"
	"---\nkind: Port\nname: a2\nnode: a\nnetwork: blue\nmac: '52:54:00:00:00:02'\n"
	"addresses: [10.1.0.12, 'fd00:1::12']\nsecurityGroups: [web]\ndevice: {tap: {name: a2}}\n"
	"---\nkind: Port\nname: a3\nnode: a\nnetwork: red\nmac: '52:54:00:00:00:03'\n"
	"addresses: [10.2.0.13, 'fd00:2::13']\nsecurityGroups: [db]\ndevice: {tap: {name: a3}}\n"
	"---\nkind: Port\nname: a4\nnode: a\nnetwork: lone\nmac: '52:54:00:00:00:04'\n"
	"addresses: [10.3.0.14]\ndevice: {tap: {name: a4}}\n"
	"---\nkind: Port\nname: a5\nnode: a\nnetwork: lone\nmac: '52:54:00:00:00:05'\n"
	"addresses: [10.3.0.15]\ndevice: {tap: {name: a5}}\n"
	"---\nkind: Port\nname: a6\nnode: a\nnetwork: inside\nmac: '52:54:00:00:00:06'\n"
	"addresses: [10.4.0.16]\ndevice: {tap: {name: a6}}\n"
	"---\nkind: Port\nname: a7\nnode: a\nnetwork: green\nmac: '52:54:00:00:00:01'\n"
	"addresses: [10.1.0.11]\ndevice: {tap: {name: a7}}\n"
	"---\nkind: Port\nname: a8\nnode: a\nnetwork: blue\nmac: '52:54:00:00:00:08'\n"
	"addresses: [10.1.0.18]\nallowedAddresses: [10.1.0.100/32, 192.168.0.0/16]\n"
	"device: {tap: {name: a8}}\n"
	"---\nkind: Port\nname: b1\nnode: b\nnetwork: blue\nmac: '52:54:00:00:00:11'\n"
	"addresses: [10.1.0.21, 'fd00:1::21']\nsecurityGroups: [web]\ndevice: {tap: {name: b1}}\n"
	"---\nkind: Port\nname: b2\nnode: b\nnetwork: red\nmac: '52:54:00:00:00:12'\n"
	"addresses: [10.2.0.22, 'fd00:2::22']\ndevice: {tap: {name: b2}}\n"
	"---\nkind: Port\nname: b3\nnode: b\nnetwork: blue\nmac: '52:54:00:00:00:13'\n"
	"addresses: [10.1.0.23]\nallowedAddresses: [172.16.0.0/12]\ndevice: {tap: {name: b3}}\n"
	"---\nkind: Port\nname: b4\nnode: b\nnetwork: inside\nmac: '52:54:00:00:00:14'\n"
	"addresses: [10.4.0.24]\ndevice: {tap: {name: b4}}\n"
	"---\nkind: Port\nname: f1\nnode: far\nnetwork: blue\nmac: '52:54:00:00:00:21'\n"
	"addresses: [10.1.0.31]\ndevice: {tap: {name: f1}}\n"
	"---\nkind: Port\nname: o1\nnode: alone\nnetwork: blue\nmac: '52:54:00:00:00:31'\n"
	"addresses: [10.1.0.41]\ndevice: {tap: {name: o1}}\n";

void fixture_open(struct layer_fixture *fixture, const char *node)
{
	memset(fixture, 0, sizeof(*fixture));
	fixture->node = node;
	assert_true(compile_numbers_open(&fixture->numbers));
	assert_true(neighbours_open(&fixture->neighbours));
	fixture->recall = calloc(1, sizeof(*fixture->recall));
	assert_non_null(fixture->recall);
}

void fixture_close(struct layer_fixture *fixture)
{
	tables_free(fixture->tables);
	free(fixture->recall);
	compile_numbers_close(&fixture->numbers);
	neighbours_close(&fixture->neighbours);
}

void fixture_apply(struct layer_fixture *fixture, const char *yaml)
{
	static const struct mac_address uplink = {{0x02, 0, 0, 0, 0, 0xaa}};
	struct object_set *set = object_set_new();
	struct problems problems = {0};
	struct tables *tables;
	struct error err;
	char text[512];

	set_put(set, yaml);
	set_check(set, NULL, &problems);
	if (problems.count)
		fail_msg("%s", problems_summary(&problems, text, sizeof(text)));
	if (tables_compile(set, fixture->node, &fixture->numbers, &fixture->neighbours,
			   ++fixture->generation, 1, NULL, NULL, &tables, &err) < 0)
		fail_msg("%s", err.text);
	if (!fixture->uplink_closed)
		tables_set_uplink(tables, &uplink, 1500);
	tables_free(fixture->tables);
	fixture->tables = tables;
	compile_numbers_settle(&fixture->numbers);
	object_set_free(set);
}

const struct endpoint *fixture_endpoint(const struct tables *tables, const char *port)
{
	for (uint32_t i = 1; i < tables->endpoint_count; i++)
		if (strcmp(tables->details[i].name, port) == 0)
			return &tables->endpoints[i];
	return NULL;
}

uint16_t fixture_network(const struct tables *tables, const char *name)
{
	for (uint32_t i = 1; i < tables->network_count; i++)
		if (strcmp(tables->networks[i].name, name) == 0)
			return (uint16_t)i;
	return 0;
}

uint16_t fixture_peer(const struct tables *tables, const char *name)
{
	for (uint32_t i = 1; i < tables->peer_count; i++)
		if (strcmp(tables->peers[i].name, name) == 0)
			return (uint16_t)i;
	return 0;
}

void fixture_check_recall(const struct layer_fixture *fixture, const struct walk *walk,
			  enum verdict verdict)
{
	struct walk_counts counts[2];
	struct packet packet = *walk->packet;

	memset(counts, 0, sizeof(counts));
	for (unsigned int time = 0; time < 2; time++) {
		struct flow_direction expected = {.generation = 0}, reply = {.generation = 0};
		const struct recalled *recalled;
		struct walk again = {
			.tables = fixture->tables,
			.packet = &packet,
			.ingress = walk->ingress,
			.reply = walk->reply,
			.counts = &counts[time],
		};

		// No layer looks at the opener's port.
		if (time == 1 && packet.kind == PACKET_IP && packet.key.protocol == IPPROTO_TCP)
			*(walk->reply ? &packet.key.destination_port : &packet.key.source_port) ^=
				0x1001;
		assert_int_equal(recall_run(fixture->recall, &again, &recalled), verdict);
		assert_ptr_equal(again.packet, &packet);
		assert_int_equal(again.reason, walk->reason);
		assert_int_equal(again.dropped_at, walk->dropped_at);
		assert_int_equal(again.generation, walk->generation);
		assert_ptr_equal(again.network, walk->network);
		assert_int_equal(again.to_gateway, walk->to_gateway);
		assert_memory_equal(&again.action, &walk->action, sizeof(walk->action));
		assert_memory_equal(again.rules, walk->rules, sizeof(walk->rules));
		if (!recalled || walk->reply || packet.key.flags & FLOW_KEY_ONE_WAY)
			continue;
		walk_predict_reply(walk, &expected);
		expected.key.destination_port = packet.key.source_port;
		recall_reply(recalled, &packet.key, &reply);
		assert_memory_equal(&reply, &expected, sizeof(reply));
	}
	for (unsigned int layer = 0; layers[layer]; layer++)
		for (unsigned int i = 0; i < WALK_VERDICTS; i++)
			assert_int_equal(walk_counts_get(&counts[0], layer, i),
					 walk_counts_get(&counts[1], layer, i));
}

enum verdict fixture_judge(const struct layer_fixture *fixture, const struct frame *frame,
			   struct ingress ingress, uint16_t network, struct packet *packet,
			   struct walk *walk)
{
	enum drop_reason reason = frame_parse(frame, packet);
	enum verdict verdict;

	memset(walk, 0, sizeof(*walk));
	walk->tables = fixture->tables;
	walk->packet = packet;
	walk->ingress = ingress;
	if (reason != DROP_NONE)
		return walk_drop(walk, reason);
	packet->key.network = network;
	verdict = walk_begin(walk);
	if (verdict == VERDICT_NEXT)
		verdict = walk_run(walk);
	fixture_check_recall(fixture, walk, verdict);
	return verdict;
}

void buffer_put(struct buffer *buffer, const void *data, uint32_t size)
{
	struct rte_mbuf *mbuf = &buffer->mbuf;

	memset(buffer, 0, sizeof(*buffer));
	mbuf->buf_addr = buffer->data;
	mbuf->buf_len = sizeof(buffer->data);
	mbuf->data_off = RTE_PKTMBUF_HEADROOM;
	mbuf->refcnt = 1;
	mbuf->nb_segs = 1;
	mbuf->data_len = (uint16_t)size;
	mbuf->pkt_len = size;
	memcpy(rte_pktmbuf_mtod(mbuf, void *), data, size);
}
