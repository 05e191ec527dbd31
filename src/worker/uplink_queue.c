#include "worker/uplink_queue.h"

#include "base/pages.h"
#include "layer/qos/qos.h"
#include "port/offload.h"
#include "worker/worker.h"

#define PORTS	    65536u
#define QUEUES_SIZE (PORTS * sizeof(struct uplink_queue))
// Of a port what waits: bytes of a few large sends, and of this part of a second.
#define BYTES_MIN  300000
#define BYTES_PART 40
#define BYTES_MAX  4000000
// Of all ports: this part of all packet buffers.
#define SHARE_OF_POOL 4

struct uplink_queue {
	struct rte_mbuf *first, *last;
	uint64_t bytes;
	uint64_t deficit;
	uint16_t next; // port behind it in the round
	bool its_turn;
};

// On the wire, of all segments with all their headers.
static uint32_t wire_bytes(const struct rte_mbuf *mbuf)
{
	uint32_t header, payload;

	if (likely(!(mbuf->ol_flags & PACKET_SEGMENTATION)))
		return mbuf->pkt_len;
	header = mbuf->l2_len + mbuf->l3_len + (mbuf->ol_flags & PACKET_UFO ? 0 : mbuf->l4_len);
	if (mbuf->ol_flags & PACKET_TUNNELLED)
		header += mbuf->outer_l2_len + mbuf->outer_l3_len;
	payload = mbuf->pkt_len - header;
	return payload + (payload + mbuf->tso_segsz - 1) / mbuf->tso_segsz * header;
}

void uplink_queues_close(struct worker *worker)
{
	struct uplink_queues *queues = &worker->uplink_queues;
	uint16_t port = queues->first;

	for (; port; port = queues->ports[port].next)
		for (struct rte_mbuf *mbuf = queues->ports[port].first, *next; mbuf; mbuf = next) {
			next = packet_context(mbuf)->next_fragment;
			rte_pktmbuf_free(mbuf);
		}
	pages_free(queues->ports, QUEUES_SIZE);
	*queues = (struct uplink_queues){0};
}

static void append(struct uplink_queues *queues, uint16_t port)
{
	queues->ports[port].next = 0;
	if (queues->last)
		queues->ports[queues->last].next = port;
	else
		queues->first = port;
	queues->last = port;
}

static void rotate(struct uplink_queues *queues, bool keep)
{
	uint16_t port = queues->first;

	queues->first = queues->ports[port].next;
	if (!queues->first)
		queues->last = 0;
	queues->ports[port].its_turn = false;
	if (keep)
		append(queues, port);
	else
		queues->ports[port].deficit = 0;
}

// Memory for the first packet of all: no worker without a shared uplink has it.
static bool open_queues(struct worker *worker)
{
	struct uplink_queues *queues = &worker->uplink_queues;

	if (likely(queues->ports))
		return true;
	queues->ports = pages_get(QUEUES_SIZE);
	queues->max = worker->engine->pool->size / SHARE_OF_POOL;
	return queues->ports;
}

void uplink_queue_add(struct worker *worker, struct rte_mbuf *mbuf, uint16_t port)
{
	struct uplink_queues *queues = &worker->uplink_queues;
	const struct bucket_profile *uplink = &worker->tables->qos->uplink;
	uint64_t most = worker->engine->cycles_per_second / BYTES_PART;
	struct uplink_queue *queue;

	if (!open_queues(worker)) {
		worker_drop(worker, mbuf, port, DROP_NO_BUFFER);
		return;
	}
	queue = &queues->ports[port];
	most = (meter_now(most) << METER_FRACTION_BITS) / uplink->cost;
	most = RTE_MIN(RTE_MAX(most, (uint64_t)BYTES_MIN), (uint64_t)BYTES_MAX);
	if (queue->bytes >= most || queues->count >= queues->max) {
		worker_drop(worker, mbuf, port, DROP_QUEUE_FULL);
		return;
	}
	packet_context(mbuf)->next_fragment = NULL;
	if (queue->first) {
		packet_context(queue->last)->next_fragment = mbuf;
	} else {
		queue->first = mbuf;
		append(queues, port);
	}
	queue->last = mbuf;
	queue->bytes += wire_bytes(mbuf);
	queues->count += mbuf->nb_segs;
}

void uplink_queues_flush(struct worker *worker)
{
	struct uplink_queues *queues = &worker->uplink_queues;

	while (queues->first) {
		struct uplink_queue *queue = &queues->ports[queues->first];
		struct rte_mbuf *mbuf = queue->first;

		queue->bytes -= wire_bytes(mbuf);
		queue->first = packet_context(mbuf)->next_fragment;
		queues->count -= mbuf->nb_segs;
		transmit_add(worker, mbuf, PORT_UPLINK);
		rotate(queues, queue->first);
	}
}

uint32_t uplink_queues_turn(struct worker *worker, uint64_t now)
{
	struct uplink_queues *queues = &worker->uplink_queues;
	const struct qos_tables *tables = worker->tables->qos;
	uint64_t ticks = meter_now(now), owed, cost;
	uint32_t sent = 0;

	while (queues->first) {
		uint16_t port = queues->first;
		struct uplink_queue *queue = &queues->ports[port];
		// Of a port that has gone, and where nothing is shared any more.
		uint32_t quantum = RTE_MAX(qos_quantum(tables, port), 64u);
		struct rte_mbuf *mbuf = queue->first;
		uint32_t bytes = wire_bytes(mbuf);

		if (!queue->its_turn) {
			queue->its_turn = true;
			queue->deficit += quantum;
		}
		if (queue->deficit < bytes) {
			rotate(queues, true);
			continue;
		}
		if (tables && tables->uplink.cost) {
			owed = bucket_owed(queues->full_at, &tables->uplink, ticks);
			if (owed >= tables->uplink.depth) {
				queues->ready = now + meter_cycles(owed - tables->uplink.depth) + 1;
				break;
			}
			cost = bucket_cost(&tables->uplink, bytes);
			queues->full_at = ticks + owed + cost;
		}
		queue->deficit -= bytes;
		queue->bytes -= bytes;
		queue->first = packet_context(mbuf)->next_fragment;
		queues->count -= mbuf->nb_segs;
		transmit_add(worker, mbuf, PORT_UPLINK);
		sent++;
		if (!queue->first)
			rotate(queues, false);
	}
	return sent;
}
