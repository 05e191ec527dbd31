// A frame on its way through the workers' own code, by a worker that is none: it runs on the
// control thread, reads the connection table as any reader does, and keeps what it would send.

#include <stdarg.h>
#include <stdio.h>

#include "port/chain.h"
#include "worker/worker.h"

void trace_say(struct worker *worker, const char *topic, const char *format, ...)
{
	char text[256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	worker->trace->say(worker->trace->context, topic, text);
}

void trace_refusal(struct worker *worker, uint16_t port, enum drop_reason reason)
{
	struct engine_trace *trace = worker->trace;

	// Of a packet that was copied or cut, one piece may be dropped and another not.
	if (trace->dropped || trace->copied) {
		trace_say(worker, "drop", "%s: %s", tables_port_name(worker->tables, port),
			  drop_reason_name(reason));
		return;
	}
	trace->dropped = true;
	trace->reason = reason;
	trace->port = port;
}

// Takes the place of sending. Who can't be sent to is known only here.
void trace_output(struct worker *worker, struct transmit_buffer *buffer)
{
	struct engine_trace *trace = worker->trace;
	const struct port *port = worker->tables->ports[buffer->port].port;

	for (uint32_t i = 0; i < buffer->count; i++) {
		if (port && port->driver->up(port))
			trace->output(trace->context, buffer->port, buffer->packets[i]);
		else
			trace_refusal(worker, buffer->port, DROP_PORT_DOWN);
		rte_pktmbuf_free(buffer->packets[i]);
	}
	buffer->count = 0;
}

// In several buffers if need be, as the drivers do.
static struct rte_mbuf *frame_copy(struct rte_mempool *pool, const uint8_t *frame, uint32_t length)
{
	struct rte_mbuf *first = rte_pktmbuf_alloc(pool), *last = first;

	if (first && !chain_append(first, &last, frame, length, pool)) {
		rte_pktmbuf_free(first);
		return NULL;
	}
	return first;
}

static void receive(struct worker *worker, struct rte_mbuf *mbuf, uint16_t port, uint16_t peer,
		    uint16_t network)
{
	const struct port_binding *binding = &worker->tables->ports[port];
	struct poll_entry from = {.port = port};

	if (!binding->counters) {
		// This node has no such device: nothing can enter there.
		trace_refusal(worker, port, port == PORT_UPLINK ? DROP_NO_UPLINK : DROP_PORT_DOWN);
		rte_pktmbuf_free(mbuf);
	} else if (binding->vlan && !vlan_send(&mbuf, 1, binding->vlan)) {
		trace_refusal(worker, port, DROP_NO_BUFFER);
	} else if (peer) {
		*packet_context(mbuf) = (struct packet_context){
			.port = port, .peer = peer, .network = network, .kind = CONTEXT_FIRST};
		fast_path_again(worker, &mbuf, 1);
	} else {
		// A sub-interface's frame comes with its tag, where the device is.
		if (binding->vlan)
			from.port = binding->parent;
		fast_path_receive(worker, &from, &mbuf, 1);
	}
	transmit_flush_all(worker);
}

static void say_nothing(void *context, const char *topic, const char *text)
{
}

static void show_nothing(void *context, uint16_t port, const struct rte_mbuf *frame)
{
}

bool engine_trace_frames(struct engine *engine, const struct engine_frame *frames, uint32_t count,
			 uint16_t port, uint16_t peer, uint16_t network, struct engine_trace *trace)
{
	struct engine_trace earlier = {.say = say_nothing, .output = show_nothing};
	struct worker *worker = engine->tracer;
	bool complete = true;

	engine_read_begin(engine);
	worker->tables = atomic_load(&engine->tables);
	worker->now = engine_now(engine);
	for (uint32_t i = 0; i < count && complete; i++) {
		struct rte_mbuf *mbuf = frame_copy(engine->pool, frames[i].bytes, frames[i].length);

		worker->trace = i + 1 < count ? &earlier : trace;
		if (mbuf)
			receive(worker, mbuf, port, peer, network);
		else
			complete = false;
	}
	fragments_clear(worker);
	worker->trace = NULL;
	engine_read_end(engine);
	return complete;
}
