// Any bytes as a frame: from a workload, and from the underlay. Parsed, resolved, decapsulated,
// parsed again and walked through the layers, as the workers do it. Frames end at a page that can't
// be read. The first byte: bit 0, checksums are made right, which chance would not; the other bits,
// how much of the frame is in the first segment (0: all of it).

#include "flow/state.h"
#include "fuzz.h"
#include "fuzz_frame.h"
#include "layer/address_resolution/address_resolution.h"
#include "layer/gateway/gateway.h"
#include "layer/services/services.h"
#include "layer/tunnel/tunnel.h"
#include "packet/plain.h"
#include "plane/tables_from_yaml.h"

static struct tables *tables;

static const char yaml[] =
	"kind: Node\nname: a\nvtep: 192.0.2.1/24\nuplink: {netdev: up0}\n"
	"---\nkind: Node\nname: b\nvtep: 192.0.2.2/24\nuplink: {netdev: up0}\n"
	"---\nkind: Vrf\nname: t1\n"
	"---\nkind: Network\nname: blue\nvni: 5001\nvrf: t1\nsubnets:\n"
	"- {cidr: 10.1.0.0/24, gateway: 10.1.0.1}\n- {cidr: 'fd00:1::/64', gateway: 'fd00:1::1'}\n"
	"---\nkind: Network\nname: red\nvni: 5002\nvrf: t1\nsubnets:\n"
	"- {cidr: 10.2.0.0/24, gateway: 10.2.0.1}\n"
	"---\nkind: SecurityGroup\nname: web\nrules:\n"
	"- {direction: ingress, protocol: tcp, ports: 80-81}\n"
	"- {direction: ingress, protocol: icmp, remote: {group: web}}\n- {direction: egress}\n"
	"---\nkind: Port\nname: a1\nnode: a\nnetwork: blue\nmac: '52:54:00:00:00:01'\n"
	"addresses: [10.1.0.11, 'fd00:1::11']\ndevice: {tap: {name: a1}}\n"
	"---\nkind: Port\nname: a2\nnode: a\nnetwork: blue\nmac: '52:54:00:00:00:02'\n"
	"addresses: [10.1.0.12, 'fd00:1::12']\nsecurityGroups: [web]\ndevice: {tap: {name: a2}}\n"
	"---\nkind: Port\nname: a3\nnode: a\nnetwork: red\nmac: '52:54:00:00:00:03'\n"
	"addresses: [10.2.0.13]\nallowedAddresses: [192.168.0.0/16]\ndevice: {tap: {name: a3}}\n"
	"---\nkind: Port\nname: b1\nnode: b\nnetwork: blue\nmac: '52:54:00:00:00:11'\n"
	"addresses: [10.1.0.21, 'fd00:1::21']\nsecurityGroups: [web]\ndevice: {tap: {name: b1}}\n";

static void check_packet(const struct packet *packet, uint32_t available, uint32_t length)
{
	const struct flow_key *key = &packet->key;
	struct flow_key again = flow_key_reverse(key, key->network);

	again = flow_key_reverse(&again, key->network);
	require(flow_key_equal(key, &again));
	require(packet->l3_offset == 14 || packet->l3_offset == 18);
	require(packet->length == length && packet->vlan < 4096);
	if (packet->kind == PACKET_ARP)
		return;
	require(packet->l3_offset + packet->ip_length <= length);
	require(packet->l4_offset >= packet->l3_offset + 20 &&
		packet->l4_offset <= packet->l3_offset + packet->ip_length);
	require(ip_is_v4(&packet->source) == ip_is_v4(&packet->destination));
	require((key->flags & ~FLOW_KEY_ONE_WAY) == 0);
	if (packet->kind == PACKET_FRAGMENT)
		require(!key->source_port && !key->destination_port);
	if (packet->kind == PACKET_IP)
		require(ip_equal(&packet->source, &key->source) &&
			ip_equal(&packet->destination, &key->destination));
	if (packet->kind == PACKET_ICMP_ERROR)
		require(ip_is_v4(&key->source) == ip_is_v4(&packet->source));
	if (packet->kind == PACKET_ND || packet->kind == PACKET_ICMP_ERROR)
		require(packet->l4_offset + 8u <= available);
}

// Opens a connection, if it may, and accounts the packet in both directions of it.
static void track(const struct packet *packet)
{
	for (unsigned int i = 0; i < 4 && packet->kind == PACKET_IP; i++) {
		struct flow_account account = {.packets = {0}};

		if (flow_state_may_open(packet, i & 1) != DROP_NONE)
			continue;
		flow_state_open(&account, packet, i & 2);
		for (unsigned int direction = 0; direction < 4; direction++) {
			require(flow_state_get(&account) < FLOW_STATE_COUNT);
			if (flow_account_packet(NULL, &account, direction & 1, packet,
						packet->length, 1) == FLOW_OUTSIDE)
				flow_state_tolerates(&account, direction & 1, packet, direction & 2,
						     i & 1);
		}
	}
}

static void walk_packet(struct packet *packet, struct ingress ingress, uint16_t network)
{
	struct walk walk = {.tables = tables, .packet = packet, .ingress = ingress};
	struct flow_direction reply = {.free = 0};

	packet->key.network = network;
	track(packet);
	if (walk_begin(&walk) != VERDICT_NEXT)
		return;
	switch (walk_run(&walk)) {
	case VERDICT_NEXT:
		require(walk.destination && walk.action.port != 0);
		require(walk.action.destination < tables->endpoint_count);
		walk_predict_reply(&walk, &reply);
		break;
	case VERDICT_DROP:
		require(walk.reason > DROP_NONE && walk.reason < DROP_REASON_COUNT);
		break;
	case VERDICT_ANSWER:
		require(ingress.port != PORT_UPLINK);
		break;
	}
}

// The frame as the only segment of a packet buffer, which answers are written into.
static void answer(const uint8_t *data, uint32_t size, const struct packet *packet,
		   const struct endpoint *source)
{
	static uint8_t room[GUARD_MAX + 2 * RTE_PKTMBUF_HEADROOM];
	struct rte_mbuf mbuf = {.buf_addr = room,
				.buf_len = sizeof(room),
				.data_off = RTE_PKTMBUF_HEADROOM,
				.refcnt = 1,
				.nb_segs = 1,
				.data_len = (uint16_t)size,
				.pkt_len = size};
	enum drop_reason reason = DROP_NONE;
	struct address_resolution message;
	const char *about = "";
	struct packet answered;

	memcpy(room + RTE_PKTMBUF_HEADROOM, data, size);
	switch (services_from_port(tables, source, &mbuf, packet, NULL, 0, &reason, &about)) {
	case SERVICE_NONE:
		break;
	case SERVICE_ANSWERED:
		require(packet_parse(rte_pktmbuf_mtod(&mbuf, uint8_t *), mbuf.data_len,
				     mbuf.pkt_len, &answered) == DROP_NONE);
		return;
	case SERVICE_DONE:
		require(*about);
		return;
	case SERVICE_DROP:
		require(reason > DROP_NONE && reason < DROP_REASON_COUNT);
		return;
	}
	if (packet->kind == PACKET_ARP || packet->kind == PACKET_ND) {
		if (resolution_from_port(tables, &tables->networks[source->network], source, &mbuf,
					 packet, &message, &reason) != RESOLUTION_ANSWERED)
			return;
	} else if (!gateway_echo(&mbuf, packet)) {
		return;
	}
	// What Sluice says is right by its own rules.
	require(packet_parse(rte_pktmbuf_mtod(&mbuf, uint8_t *), mbuf.data_len, mbuf.pkt_len,
			     &answered) == DROP_NONE);
}

// The usual packet has a way of its own, with the same result.
static enum drop_reason parse(const uint8_t *data, uint32_t available, uint32_t length,
			      struct packet *packet)
{
	enum drop_reason reason = packet_parse(data, available, length, packet);
	struct packet plain;

	if (packet_parse_plain(data, available, length, &plain))
		require(reason == DROP_NONE && memcmp(&plain, packet, sizeof(plain)) == 0);
	return reason;
}

static void from_workload(const uint8_t *frame, uint32_t available, uint32_t length)
{
	const uint8_t *data = guard_put(frame, available);
	struct address_resolution message;
	struct packet packet;

	if (parse(data, available, length, &packet) != DROP_NONE)
		return;
	check_packet(&packet, available, length);
	if (packet.kind == PACKET_ARP)
		arp_read(data, available, &packet, &message);
	if (packet.kind == PACKET_ND)
		nd_read(data, available, &packet, &message);
	for (uint32_t i = 1; i < tables->endpoint_count; i++) {
		const struct endpoint *source = &tables->endpoints[i];

		if (source->peer || !mac_equal(&source->mac, &packet.source_mac))
			continue;
		if (available == length)
			answer(data, available, &packet, source);
		if (packet.kind == PACKET_IP || packet.kind == PACKET_ICMP_ERROR)
			walk_packet(&packet, (struct ingress){.port = source->port},
				    source->network);
	}
}

static void from_underlay(const uint8_t *frame, uint32_t available, uint32_t length)
{
	const uint8_t *data = guard_put(frame, available);
	struct tunnel_outer outer = {.offset = 0};
	struct address_resolution message;
	struct packet packet;

	if (parse(data, available, length, &packet) != DROP_NONE)
		return;
	switch (tunnel_receive(tables, &packet, data, available, &outer)) {
	case TUNNEL_NEIGHBOUR:
		if (packet.kind == PACKET_ARP)
			arp_read(data, available, &packet, &message);
		else
			nd_read(data, available, &packet, &message);
		break;
	case TUNNEL_PATH_MTU:
		require(outer.peer);
		break;
	case TUNNEL_DROP:
		require(outer.reason > DROP_NONE && outer.reason < DROP_REASON_COUNT);
		break;
	case TUNNEL_INNER:
		require(outer.offset <= available && outer.network && outer.peer);
		length = packet.l3_offset + packet.ip_length - outer.offset;
		available -= outer.offset;
		if (available > length)
			available = length;
		data += outer.offset;
		if (parse(data, available, length, &packet) != DROP_NONE)
			return;
		check_packet(&packet, available, length);
		if (packet.kind == PACKET_IP || packet.kind == PACKET_ICMP_ERROR)
			walk_packet(&packet,
				    (struct ingress){.port = PORT_UPLINK, .peer = outer.peer},
				    outer.network);
		break;
	}
}

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
	static const struct mac_address uplink = {{0x02, 0, 0, 0, 0, 0xaa}};

	tables = tables_from_yaml(yaml, sizeof(yaml) - 1, "a", 1);
	require(tables != NULL);
	tables_set_uplink(tables, &uplink, 1500);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t frame[GUARD_MAX];
	uint32_t length, available;

	if (size < 1 || size > GUARD_MAX)
		return 0;
	length = (uint32_t)size - 1;
	available = data[0] >> 1 && data[0] >> 1 < length ? data[0] >> 1 : length;
	memcpy(frame, data + 1, length);
	if (data[0] & 1)
		frame_repair(frame, length);
	from_workload(frame, available, length);
	from_underlay(frame, available, length);
	return 0;
}
