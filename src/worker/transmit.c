// Gathers packets for a port into bursts. Here is the one place where what a packet leaves
// unfinished is finished, for ports that don't do it themselves.

#include "port/offload.h"
#include "port/segment.h"
#include "worker/worker.h"

// Where a burst goes.
struct way_out {
	struct worker *worker;
	struct port *port;  // who sends
	struct port *whole; // the port that it is of
	struct port_counters *counters;
	uint16_t number; // of the port
	uint16_t parent; // which has the device, where it is a VLAN; else 0
	uint16_t queue;
	uint16_t tag;		  // bytes of a VLAN tag, which don't count
	enum drop_reason blocked; // why it takes no more in this turn
};

// Finds the queue of `binding` that this worker sends on. Where it has none that the other end
// takes packets on: -1, and whose one is.
static int own_queue(const struct worker *worker, const struct port_binding *binding,
		     const struct port *port, uint32_t *owner)
{
	uint32_t workers = worker->engine->options.worker_count;
	uint32_t queue = (worker->index + workers - binding->first_worker) % workers;
	uint32_t all = UINT32_MAX >> (32 - port->queues);
	uint32_t used = __atomic_load_n(&port->send_queues, __ATOMIC_RELAXED) & all;
	uint32_t next;

	if (likely(used == all || !used)) {
		*owner = binding->first_worker;
		return queue < port->queues ? (int)queue : -1;
	}
	for (next = queue; next < port->queues; next += workers)
		if (used & 1U << next)
			return (int)next;
	// Spread over those that there are.
	for (next = queue % (uint32_t)__builtin_popcount(used); next; next--)
		used &= used - 1;
	*owner = (binding->first_worker + (uint32_t)__builtin_ctz(used)) % workers;
	return -1;
}

// A packet, or `count` pieces of it, that goes no further.
static void refuse(struct way_out *way, const struct rte_mbuf *packet, enum drop_reason reason,
		   uint32_t count)
{
	way->counters->drops[reason] += count;
	if (unlikely(way->worker->captures))
		capture_dropped(way->worker, packet, way->number, reason);
}

static void send_unfinished(struct way_out *way, struct rte_mbuf **packets, uint32_t count);

// The device takes nothing. Where the port has another one, that sends these packets: it may have
// more left to do in them than the one before.
static bool change_sender(struct way_out *way, struct rte_mbuf **packets, uint32_t count)
{
	struct port *before = way->port, *next;

	if (likely(!way->whole->driver->refused))
		return false;
	next = way->whole->driver->refused(way->whole, before);
	if (next == before || next == way->whole || way->queue >= next->queues)
		return false;
	way->port = next;
	send_unfinished(way, packets, count);
	return true;
}

// Sends what the port can take as it is. What it does not take is dropped and counted.
static void send_finished(struct way_out *way, struct rte_mbuf **packets, uint32_t count)
{
	struct port *port = way->port;
	uint32_t sent = 0;
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < count; i++)
		bytes += packets[i]->pkt_len - way->tag;
	if (unlikely(way->worker->captures))
		capture_sending(way->worker, way->number, way->parent, packets, count);
	while (sent < count) {
		uint16_t taken = port->driver->send(port, way->queue, packets + sent,
						    (uint16_t)(count - sent));

		if (!taken)
			break;
		sent += taken;
	}
	if (unlikely(port->stuck && sent))
		port->stuck = 0;
	for (uint32_t i = sent; i < count; i++)
		bytes -= packets[i]->pkt_len - way->tag;
	if (unlikely(way->worker->captures))
		capture_sent(way->worker, sent);
	if (unlikely(sent < count)) {
		if (change_sender(way, packets + sent, count - sent)) {
			count = sent;
		} else {
			// Asked only now: that a port is up again may be seen by sending alone.
			way->blocked = port->driver->up(port) ? DROP_QUEUE_FULL : DROP_PORT_DOWN;
		}
		for (uint32_t i = sent; i < count; i++)
			refuse(way, packets[i], way->blocked, 1);
		rte_pktmbuf_free_bulk(packets + sent, count - sent);
	}
	way->counters->tx_packets += sent;
	way->counters->tx_bytes += bytes;
}

static uint32_t sender_offloads(const struct way_out *way)
{
	return __atomic_load_n(&way->port->offloads, __ATOMIC_RELAXED);
}

// Packets that gather behind others for a port.
struct finished {
	uint32_t count;
	struct rte_mbuf *packets[PORT_BURST];
};

static void finished_add(struct way_out *way, struct finished *finished, struct rte_mbuf *packet)
{
	// Where another device sends than the one that it was finished for.
	if (unlikely(!offload_suffices(packet->ol_flags, sender_offloads(way))) &&
	    !packet_complete_checksum(packet)) {
		refuse(way, packet, DROP_OFFLOAD, 1);
		rte_pktmbuf_free(packet);
		return;
	}
	finished->packets[finished->count++] = packet;
	if (finished->count == PORT_BURST) {
		send_finished(way, finished->packets, finished->count);
		finished->count = 0;
	}
}

static void send_segments(struct way_out *way, struct finished *finished, struct rte_mbuf *packet,
			  uint32_t offloads)
{
	uint32_t checksum = packet->ol_flags & PACKET_TUNNELLED ? PORT_OFFLOAD_TUNNEL_CHECKSUM
								: PORT_OFFLOAD_CHECKSUM;
	struct segmenter segmenter;

	if (!segmenter_begin(&segmenter, packet, !(offloads & checksum))) {
		refuse(way, packet, DROP_OFFLOAD, 1);
		rte_pktmbuf_free(packet);
		return;
	}
	while (!segmenter_done(&segmenter) && !way->blocked) {
		uint32_t left = segmenter_left(&segmenter);
		struct rte_mbuf *segment = segmenter_next(&segmenter, way->worker->engine->pool);

		if (segment)
			finished_add(way, finished, segment);
		else
			refuse(way, packet, DROP_NO_BUFFER, left - segmenter_left(&segmenter));
	}
	// The rest would only make holes.
	if (way->blocked)
		refuse(way, packet, way->blocked, segmenter_left(&segmenter));
	rte_pktmbuf_free(packet);
}

// Sends packets of which some are unfinished.
static void send_unfinished(struct way_out *way, struct rte_mbuf **packets, uint32_t count)
{
	struct finished finished = {0};

	for (uint32_t i = 0; i < count; i++) {
		struct rte_mbuf *packet = packets[i];
		uint32_t offloads = sender_offloads(way);

		if (way->blocked) {
			refuse(way, packet, way->blocked, 1);
			rte_pktmbuf_free(packet);
		} else if (offload_suffices(packet->ol_flags, offloads)) {
			finished_add(way, &finished, packet);
		} else if (packet->ol_flags & PACKET_SEGMENTATION) {
			send_segments(way, &finished, packet, offloads);
		} else if (packet_complete_checksum(packet)) {
			finished_add(way, &finished, packet);
		} else {
			refuse(way, packet, DROP_OFFLOAD, 1);
			rte_pktmbuf_free(packet);
		}
	}
	if (finished.count)
		send_finished(way, finished.packets, finished.count);
}

void transmit_flush(struct worker *worker, struct transmit_buffer *buffer)
{
	const struct port_binding *binding = tables_port(worker->tables, buffer->port);
	struct way_out way = {.worker = worker};
	uint32_t count = buffer->count, owner;
	uint64_t flags = 0;
	int queue;

	if (unlikely(worker->trace)) {
		trace_output(worker, buffer);
		return;
	}
	buffer->count = 0;
	if (unlikely(!binding || !binding->counters)) {
		// The port was removed while packets for it were under way; nobody is left to count
		// them for.
		rte_pktmbuf_free_bulk(buffer->packets, count);
		return;
	}
	way.number = buffer->port;
	way.whole = binding->port;
	way.counters = &binding->counters[worker->index];
	if (unlikely(!way.whole)) {
		for (uint32_t i = 0; i < count; i++)
			refuse(&way, buffer->packets[i], DROP_PORT_DOWN, 1);
		rte_pktmbuf_free_bulk(buffer->packets, count);
		return;
	}
	way.port = atomic_load_explicit(&way.whole->sender, memory_order_acquire);
	queue = own_queue(worker, binding, way.port, &owner);
	if (unlikely(queue < 0)) {
		hand_over_transmit(worker, buffer->packets, count, buffer->port, owner);
		return;
	}
	way.queue = (uint16_t)queue;
	if (unlikely(binding->vlan)) {
		uint32_t tagged = vlan_send(buffer->packets, count, binding->vlan);

		way.counters->drops[DROP_NO_BUFFER] += count - tagged;
		count = tagged;
		way.tag = VLAN_TAG_SIZE;
		way.parent = binding->parent;
	}
	for (uint32_t i = 0; i < count; i++)
		flags |= buffer->packets[i]->ol_flags;
	if (likely(!(flags & PACKET_UNFINISHED)))
		send_finished(&way, buffer->packets, count);
	else
		send_unfinished(&way, buffer->packets, count);
}

void transmit_flush_prompt(struct worker *worker)
{
	uint64_t pending = worker->transmit_pending;

	for (; pending; pending &= pending - 1) {
		unsigned int index = (unsigned int)__builtin_ctzll(pending);
		struct transmit_buffer *buffer = &worker->transmit[index];
		const struct port_binding *binding = tables_port(worker->tables, buffer->port);

		if (!binding || !binding->port || !binding->port->driver->prompt)
			continue;
		worker->transmit_pending &= ~(UINT64_C(1) << index);
		transmit_flush(worker, buffer);
	}
}

void transmit_flush_all(struct worker *worker)
{
	while (worker->transmit_pending) {
		unsigned int index = (unsigned int)__builtin_ctzll(worker->transmit_pending);

		worker->transmit_pending &= worker->transmit_pending - 1;
		transmit_flush(worker, &worker->transmit[index]);
	}
}
