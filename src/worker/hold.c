// Packets that wait for the MAC address of a next hop: few, and not for long.

#include "worker/worker.h"

// Its connection counts it when it comes again.
static void count_back(struct worker *worker, const struct rte_mbuf *mbuf,
		       const struct packet *packet, struct ingress ingress, struct flow_hash hash)
{
	flow_reference reference = flow_table_find(worker->flows, &packet->key, hash);
	struct flow_account *account = &flow_table_get(worker->flows, reference)->account;

	if (!reference || packet->kind != PACKET_IP)
		return;
	account->packets[reference & 1]--;
	account->bytes[reference & 1] -= packet->length;
	qos_give_back(worker, mbuf, packet, ingress, flow_table_get(worker->flows, reference),
		      reference & 1);
}

void hold_packet(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
		 struct ingress ingress, struct neighbour *neighbour, const struct flow_hash *hash)
{
	uint32_t same = 0;

	for (uint32_t i = 0; i < worker->held_count; i++)
		same += worker->held[i].neighbour == neighbour;
	if (worker->held_count == HOLD_MAX || same == HOLD_PER_NEIGHBOUR) {
		worker_drop(worker, mbuf, ingress.port, DROP_NEIGHBOUR_UNRESOLVED);
		return;
	}
	if (hash)
		count_back(worker, mbuf, packet, ingress, *hash);
	*packet_context(mbuf) = (struct packet_context){
		.port = ingress.port,
		.peer = ingress.peer,
		.network = packet->key.network,
		.kind = CONTEXT_FIRST,
	};
	worker->held[worker->held_count++] = (struct held_packet){
		.mbuf = mbuf,
		.neighbour = neighbour,
		.until = worker->now + HOLD_SECONDS,
	};
}

// The next hop does not answer.
static void give_up(struct worker *worker, struct rte_mbuf *mbuf)
{
	struct packet_context context = *packet_context(mbuf);
	struct ingress ingress = {.port = context.port, .peer = context.peer};
	struct packet packet;

	// Its port may have gone meanwhile.
	if (context.port >= worker->tables->port_count ||
	    !worker->tables->ports[context.port].counters ||
	    packet_parse(rte_pktmbuf_mtod(mbuf, const uint8_t *), rte_pktmbuf_data_len(mbuf),
			 mbuf->pkt_len, &packet) != DROP_NONE) {
		rte_pktmbuf_free(mbuf);
		return;
	}
	packet.key.network = context.network;
	worker_reject(worker, mbuf, &packet, ingress, DROP_NEIGHBOUR_UNRESOLVED);
}

bool hold_has(const struct worker *worker, const struct neighbour *neighbour)
{
	for (uint32_t i = 0; i < worker->held_count; i++)
		if (worker->held[i].neighbour == neighbour)
			return true;
	return false;
}

// In the order in which they came: those that can go on, those that waited too long, and the rest.
void hold_turn(struct worker *worker, bool new_second)
{
	uint32_t learned =
		atomic_load_explicit(&worker->engine->neighbours.learned, memory_order_relaxed);
	uint32_t kept = 0, count = worker->held_count;
	struct rte_mbuf *again[HOLD_MAX];
	uint32_t ready = 0;

	if (count == 0 || (learned == worker->held_learned && !new_second))
		return;
	worker->held_learned = learned;
	for (uint32_t i = 0; i < count; i++) {
		struct held_packet held = worker->held[i];

		if (atomic_load_explicit(&held.neighbour->mac, memory_order_relaxed))
			again[ready++] = held.mbuf;
		else if ((int32_t)(worker->now - held.until) > 0)
			give_up(worker, held.mbuf);
		else
			worker->held[kept++] = held;
	}
	worker->held_count = kept;
	for (uint32_t i = 0; i < ready; i += PORT_BURST)
		fast_path_again(worker, again + i, RTE_MIN(ready - i, (uint32_t)PORT_BURST));
}

void hold_free(struct worker *worker)
{
	while (worker->held_count)
		rte_pktmbuf_free(worker->held[--worker->held_count].mbuf);
}
