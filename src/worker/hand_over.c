// Rings between workers, one for each pair and direction, so that nobody waits for a lock.

#include "worker/worker.h"

#define BURSTS_A_TURN 4

static bool give(struct worker *worker, struct rte_mbuf *mbuf, uint32_t owner)
{
	struct worker *other = worker->engine->workers[owner];

	return rte_ring_sp_enqueue(other->inbox[worker->index], mbuf) == 0;
}

static void wake_if_asleep(struct worker *worker, uint32_t owner)
{
	struct worker *other = worker->engine->workers[owner];

	// The other side first says that it sleeps and then looks into its rings.
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(&other->sleeping, memory_order_relaxed))
		worker_wake(other);
}

void hand_over_first(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
		     struct ingress ingress, uint32_t owner)
{
	struct packet_context *context = packet_context(mbuf);
	bool datagram = mbuf->ol_flags & MBUF_DATAGRAM;

	*context = (struct packet_context){
		.port = ingress.port,
		.peer = ingress.peer,
		.network = packet->key.network,
		.kind = datagram ? CONTEXT_DATAGRAM : CONTEXT_FIRST,
		.next_fragment = datagram ? context->next_fragment : NULL,
	};
	if (!give(worker, mbuf, owner))
		worker_drop(worker, mbuf, ingress.port, DROP_WORKER_QUEUE_FULL);
	wake_if_asleep(worker, owner);
}

void hand_over_transmit(struct worker *worker, struct rte_mbuf **mbufs, uint32_t count,
			uint16_t port, uint32_t owner)
{
	for (uint32_t i = 0; i < count; i++) {
		*packet_context(mbufs[i]) =
			(struct packet_context){.port = port, .kind = CONTEXT_TRANSMIT};
		if (!give(worker, mbufs[i], owner))
			worker_drop(worker, mbufs[i], port, DROP_WORKER_QUEUE_FULL);
	}
	wake_if_asleep(worker, owner);
}

void hand_over_queue(struct worker *worker, struct rte_mbuf *mbuf, uint16_t port, uint16_t from,
		     uint32_t owner)
{
	*packet_context(mbuf) =
		(struct packet_context){.port = port, .peer = from, .kind = CONTEXT_TRANSMIT};
	if (!give(worker, mbuf, owner))
		worker_drop(worker, mbuf, from, DROP_WORKER_QUEUE_FULL);
	wake_if_asleep(worker, owner);
}

// Takes a burst from one sender. Returns how many packets it was.
static uint32_t take(struct worker *worker, struct rte_ring *inbox)
{
	struct rte_mbuf *mbufs[PORT_BURST], *again[PORT_BURST];
	uint32_t count, first = 0;

	count = rte_ring_sc_dequeue_burst(inbox, (void **)mbufs, PORT_BURST, NULL);
	for (uint32_t i = 0; i < count; i++) {
		if (packet_context(mbufs[i])->kind == CONTEXT_TRANSMIT)
			qos_send(worker, mbufs[i], packet_context(mbufs[i])->port,
				 packet_context(mbufs[i])->peer);
		else if (packet_context(mbufs[i])->kind == CONTEXT_DATAGRAM)
			fragments_again(worker, mbufs[i]);
		else
			again[first++] = mbufs[i];
	}
	if (first)
		fast_path_again(worker, again, first);
	return count;
}

uint32_t hand_over_receive(struct worker *worker)
{
	uint32_t total = 0;

	// A sender may have several ports: more than one burst a turn, so that rings don't fill.
	for (uint32_t i = 0; i < worker->engine->options.worker_count; i++)
		for (uint32_t burst = 0; worker->inbox[i] && burst < BURSTS_A_TURN; burst++) {
			uint32_t count = take(worker, worker->inbox[i]);

			total += count;
			if (count < PORT_BURST)
				break;
		}
	return total;
}

bool hand_over_waiting(const struct worker *worker)
{
	for (uint32_t i = 0; i < worker->engine->options.worker_count; i++)
		if (worker->inbox[i] && !rte_ring_empty(worker->inbox[i]))
			return true;
	return false;
}
