// What comes from outside for a Port of another node goes on to that node through the tunnel, as it
// came, and is judged there as if it had come by that node's own uplink: same network, same
// connection, whichever node the router outside chose. So nothing is kept here, replies go out by
// the Port's node itself, and that one sees both directions.

#include "layer/external/external.h"
#include "worker/worker.h"

// The VLAN of the external network, of which a node is in one only.

static uint16_t vlan_of(const struct mac_address *mac)
{
	return (uint16_t)(mac->bytes[4] << 8 | mac->bytes[5]);
}

static void mark(uint8_t *frame, const struct endpoint *endpoint, uint16_t vlan)
{
	memcpy(frame, &endpoint->mac, 6);
	memcpy(frame + 6, (uint8_t[]){RELAY_MAC, (uint8_t)(vlan >> 8), (uint8_t)vlan}, 6);
}

// Who is outside has none of the addresses that are not.
static bool is_outside(const struct worker *worker, uint16_t network,
		       const struct ip_address *address)
{
	return !external_find_claim(worker->tables, network, address) &&
	       !external_find_inside(worker->tables, network, address);
}

bool relay_out(struct worker *worker, struct rte_mbuf *mbuf, struct packet *packet,
	       uint16_t network)
{
	const struct tables *tables = worker->tables;
	uint16_t domain = external_find_inside(tables, network, &packet->destination);
	uint32_t index = domain ? tables_find_address(tables, domain, &packet->destination) : 0;
	const struct endpoint *endpoint = &tables->endpoints[index];
	struct passage passage = {
		.ingress = {.port = PORT_UPLINK},
		.action = {.port = PORT_UPLINK, .flags = FLOW_ACTION_TUNNEL, .destination = index}};

	if (!index || !endpoint->peer || !endpoint->vni ||
	    (packet->kind != PACKET_IP && packet->kind != PACKET_FRAGMENT) ||
	    !external_has_part(tables, network, endpoint->peer, &packet->destination) ||
	    !tables->peers[endpoint->peer].next_hop ||
	    !is_outside(worker, network, &packet->source))
		return false;
	packet->key.network = network;
	passage.hash = flow_hash(&worker->flows->secret, &packet->key);
	worker_say(worker, "relay", "to port %s of node %s, which answers by itself",
		   tables_detail(tables, endpoint)->name, tables->peers[endpoint->peer].name);
	mark(rte_pktmbuf_mtod(mbuf, uint8_t *), endpoint, tables->networks[network].vlan);
	fast_path_forward(worker, mbuf, packet, &passage);
	return true;
}

uint16_t relay_in(struct worker *worker, const struct packet *packet, uint16_t peer)
{
	const struct network *network =
		external_of_vlan(worker->tables, vlan_of(&packet->source_mac));

	if (!network ||
	    !external_has_part(worker->tables, network->number, peer, &packet->destination) ||
	    !external_find_inside(worker->tables, network->number, &packet->destination))
		return 0;
	worker_say(worker, "relay", "node %s has it from external network %s",
		   worker->tables->peers[peer].name, network->name);
	return network->number;
}
