#include "worker/worker.h"

// The queue of `binding` that is this worker's, or -1.
static int own_queue(const struct worker *worker, const struct port_binding *binding)
{
	uint32_t workers = worker->engine->options.worker_count;
	uint32_t queue = (worker->index + workers - binding->first_worker) % workers;

	return queue < binding->port->queues ? (int)queue : -1;
}

void transmit_flush(struct worker *worker, struct transmit_buffer *buffer)
{
	const struct port_binding *binding = tables_port(worker->tables, buffer->port);
	struct port_counters *counters;
	uint32_t count = buffer->count, sent = 0;
	uint64_t bytes = 0;
	enum drop_reason reason;
	struct port *port;
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
	port = binding->port;
	counters = &binding->counters[worker->index];
	if (unlikely(!port)) {
		counters->drops[DROP_PORT_DOWN] += count;
		rte_pktmbuf_free_bulk(buffer->packets, count);
		return;
	}
	queue = own_queue(worker, binding);
	if (unlikely(queue < 0)) {
		hand_over_transmit(worker, buffer->packets, count, buffer->port,
				   binding->first_worker);
		return;
	}
	if (unlikely(binding->vlan)) {
		uint32_t tagged = vlan_send(buffer->packets, count, binding->vlan);

		counters->drops[DROP_NO_BUFFER] += count - tagged;
		count = tagged;
	}
	for (uint32_t i = 0; i < count; i++)
		bytes += buffer->packets[i]->pkt_len;
	while (sent < count) {
		uint16_t taken = port->driver->send(port, (uint16_t)queue, buffer->packets + sent,
						    (uint16_t)(count - sent));

		if (!taken)
			break;
		sent += taken;
	}
	for (uint32_t i = sent; i < count; i++)
		bytes -= buffer->packets[i]->pkt_len;
	if (unlikely(sent < count)) {
		// Asked only now: that a port is up again may be seen by sending alone.
		reason = port->driver->up(port) ? DROP_QUEUE_FULL : DROP_PORT_DOWN;
		counters->drops[reason] += count - sent;
		rte_pktmbuf_free_bulk(buffer->packets + sent, count - sent);
	}
	counters->tx_packets += sent;
	counters->tx_bytes += bytes - (binding->vlan ? sent * VLAN_TAG_SIZE : 0);
}

void transmit_flush_all(struct worker *worker)
{
	while (worker->transmit_pending) {
		unsigned int index = (unsigned int)__builtin_ctzll(worker->transmit_pending);

		worker->transmit_pending &= worker->transmit_pending - 1;
		transmit_flush(worker, &worker->transmit[index]);
	}
}
