// Nodes tell each other which members are unhealthy: each of its own ones, when that changes (said
// twice), and of all in rounds, so that one that has started anew knows soon, and that a node which
// says nothing is known to be silent (health_await.c). Datagrams from and to the gateway's MAC
// address, through the tunnel; a node is believed about its own Ports only. Behind the items is how
// many seconds a round has, which earlier versions neither say nor look at.

#include <arpa/inet.h>

#include "layer/load_balancer/load_balancer.h"
#include "packet/datagram.h"
#include "worker/health.h"
#include "worker/worker.h"

#define ROUND_SECONDS 3
// A process begins with so many, one each second: others may wait for its first word, and its own
// next hops are not known at once.
#define FIRST_ROUNDS 3

// Identity and state.
#define ITEM_SIZE 9
#define ITEMS_MAX 64

struct letter {
	uint16_t domain;
	uint16_t network; // through which it goes
	uint32_t count;
	uint8_t items[ITEMS_MAX * ITEM_SIZE];
};

static void letter_send(struct worker *worker, struct letter *letter)
{
	const struct tables *tables = worker->tables;
	const struct load_balancers *balancers = tables->load_balancers;
	const struct network *network = tables_network(tables, letter->network);
	struct datagram datagram = {
		.hop_limit = 1, .source_port = HEALTH_PORT, .destination_port = HEALTH_PORT};
	uint32_t items = letter->count * ITEM_SIZE, size = items + 1, offset;

	letter->count = 0;
	if (!items || !network)
		return;
	datagram.source_mac = datagram.destination_mac = network->gateway_mac;
	datagram.source = datagram.destination = ip_link_local_of(&network->gateway_mac);
	offset = datagram_udp_offset(&datagram);
	for (uint32_t i = 0; i < balancers->node_count; i++) {
		struct rte_mbuf *mbuf;
		uint8_t *frame;

		if (!balancers->nodes[i].peer || balancers->nodes[i].domain != letter->domain)
			continue;
		mbuf = rte_pktmbuf_alloc(worker->engine->pool);
		frame = mbuf ? (uint8_t *)rte_pktmbuf_append(mbuf, (uint16_t)(offset + size))
			     : NULL;
		if (!frame) {
			rte_pktmbuf_free(mbuf);
			return;
		}
		memcpy(frame + offset, letter->items, items);
		frame[offset + items] = ROUND_SECONDS;
		datagram_write_udp(&datagram, frame, size);
		replicate_to_node(worker, mbuf, letter->network, balancers->nodes[i].peer, 0);
	}
}

static bool is_round(struct worker *worker)
{
	if (worker->health_rounds == FIRST_ROUNDS &&
	    worker->now - worker->health_round < ROUND_SECONDS)
		return false;
	worker->health_round = worker->now;
	worker->health_rounds += worker->health_rounds < FIRST_ROUNDS;
	return true;
}

void health_tell(struct worker *worker)
{
	const struct tables *tables = worker->tables;
	const struct load_balancers *balancers = tables->load_balancers;
	bool round = is_round(worker);
	struct letter letter = {.count = 0};

	for (uint32_t i = 0; balancers->node_count && i < balancers->probe_count; i++) {
		const struct member_probe *probe = &balancers->probes[i];
		struct member_health *health = probe->health;
		uint16_t network;
		uint8_t *item;

		if (!member_is_asked(tables, probe) || (!round && !health->tell))
			continue;
		if (health->tell)
			health->tell--;
		network = tables->endpoints[probe->endpoint].network;
		if (letter.count == ITEMS_MAX || network != letter.network ||
		    probe->domain != letter.domain)
			letter_send(worker, &letter);
		letter.network = network;
		letter.domain = probe->domain;
		item = letter.items + letter.count++ * ITEM_SIZE;
		memcpy(item, &probe->identity, sizeof(probe->identity));
		item[ITEM_SIZE - 1] = member_found_down(health);
	}
	letter_send(worker, &letter);
}

static void hear(struct worker *worker, const uint8_t *item, uint16_t peer)
{
	const struct tables *tables = worker->tables;
	const struct load_balancers *balancers = tables->load_balancers;
	const struct member_probe *probe;
	uint64_t identity;
	uint32_t found;
	bool down = item[ITEM_SIZE - 1] != 0;

	memcpy(&identity, item, sizeof(identity));
	found = lookup_find(&balancers->probes_by_identity, (struct lookup_key){{identity, 0, 0}});
	if (!found)
		return;
	probe = &balancers->probes[found - 1];
	if (!probe->endpoint || tables->endpoints[probe->endpoint].peer != peer ||
	    member_found_down(probe->health) == down)
		return;
	atomic_store(&probe->health->down, down);
	health_changed(worker, probe);
}

bool health_heard(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
		  struct ingress ingress)
{
	const struct network *network = tables_network(worker->tables, packet->key.network);
	uint32_t offset = packet->l4_offset + 8u, end = packet->l3_offset + packet->ip_length;
	struct neighbour *path = worker->tables->peers[ingress.peer].path;
	uint8_t copy[ITEM_SIZE];
	const uint8_t *round;
	bool any = false;

	// Whoever is outside has no tunnel.
	if (worker->trace || !network || !ingress.peer ||
	    !mac_equal(&packet->source_mac, &network->gateway_mac) ||
	    !mac_equal(&packet->destination_mac, &network->gateway_mac))
		return false;
	for (; offset + ITEM_SIZE <= end; offset += ITEM_SIZE) {
		const uint8_t *item = rte_pktmbuf_read(mbuf, offset, ITEM_SIZE, copy);

		if (item)
			hear(worker, item, ingress.peer);
		any |= item != NULL;
	}
	round = offset < end ? rte_pktmbuf_read(mbuf, offset, 1, copy) : NULL;
	if (any && path)
		hearing_heard(&path->hearing, worker->now, round ? *round : 0);
	rte_pktmbuf_free(mbuf);
	return true;
}
