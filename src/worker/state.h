// What a worker has, and what a packet takes along that it hands on.

#pragma once

#include <pthread.h>

#include <rte_cycles.h>
#include <rte_mbuf.h>
#include <rte_mbuf_dyn.h>
#include <rte_ring.h>

#include "base/rate_limit.h"
#include "layer/nat/nat.h"
#include "layer/recall.h"
#include "layer/walk.h"
#include "port/landing.h"
#include "worker/capture.h"
#include "worker/conflict.h"
#include "worker/credit.h"
#include "worker/delay.h"
#include "worker/engine.h"
#include "worker/multicast.h"
#include "worker/replicate.h"
#include "worker/uplink_queue.h"

#define TRANSMIT_BUFFERS   64 // a power of two
#define HOLD_MAX	   256
#define HOLD_PER_NEIGHBOUR 64 // all fragments of a datagram
#define HOLD_SECONDS	   2
#define HAND_OVER_RING	   4096

struct transmit_buffer {
	uint16_t port;
	uint16_t count;
	struct rte_mbuf *packets[PORT_BURST];
};

struct held_packet {
	struct rte_mbuf *mbuf;
	struct neighbour *neighbour;
	uint32_t until; // second
};

enum burst_form {
	BURST_ANY,
	// packet_parse_plain has taken it, so that its headers are where they usually are.
	BURST_PLAIN,
	// Likewise, and it is from outside. If no connection has it, it has to be asked still
	// whether it is for an address of ours.
	BURST_OUTSIDE,
};

// A burst on its way through the fast path.
struct burst {
	uint32_t count;
	// Received with a tag, and counted for the port that has the VLAN.
	uint32_t elsewhere_packets;
	uint64_t elsewhere_bytes;
	struct rte_mbuf *mbufs[PORT_BURST];
	flow_ingress ingress[PORT_BURST];
	struct flow_hash hashes[PORT_BURST];
	const struct flow_bucket *buckets[PORT_BURST];
	flow_reference references[PORT_BURST];
	struct packet packets[PORT_BURST];
	uint8_t forms[PORT_BURST]; // enum burst_form
};

struct worker {
	struct engine *engine;
	const struct tables *tables;	 // in force in this turn of the loop
	const struct captures *captures; // likewise; NULL: nothing is captured
	struct flow_table *flows;
	uint32_t index;
	uint32_t now; // seconds
	int cpu;
	int event_fd;
	_Atomic bool sleeping;
	_Atomic uint32_t sleeps; // that are over
	_Atomic uint32_t quiet;	 // turns without a packet
	_Atomic bool stop;
	_Atomic bool started;

	uint64_t next_second; // time stamp counter
	uint64_t turns;	      // of its loop
	uint64_t packets;
	uint64_t busy_cycles;

	uint64_t transmit_pending; // bit of each buffer with packets
	struct transmit_buffer transmit[TRANSMIT_BUFFERS];

	struct rte_ring *inbox[ENGINE_WORKERS_MAX]; // by sender
	struct held_packet held[HOLD_MAX];
	uint32_t held_count;
	uint32_t held_learned;	     // neighbours.learned when the held packets were tried last
	uint32_t announced;	     // generation up to which external addresses were announced
	uint32_t announce_to;	     // likewise, when this is done
	uint32_t announced_at;	     // second up to which those of silent nodes were
	uint32_t announce_to_second; // likewise, when this is done
	uint32_t announce_from;	     // of them, the next one
	uint32_t announce_rounds;    // that are still to come
	uint32_t uplink_moves;	     // up to which the tunnel address was announced
	uint32_t uplink_rounds;	     // of that, still to come
	uint32_t wanted_seen;	     // neighbours.wanted when questions were sent last
	uint32_t health_round;	     // second in which other nodes were told all of members' health
	uint32_t health_rounds;	     // of these, the first ones
	uint32_t health_awaited;     // second in which other nodes' words were waited for

	struct rate_limit *reject_limits; // by port number
	struct fragment_table *fragments;
	struct helper *helper;

	// Of connections for the kernel: packets since one was looked at, how often that was; one
	// of its own that a worker has found, and for how many turns it has waited.
	uint32_t offload_passed;
	uint32_t offload_sampled;
	_Atomic flow_reference offload_wanted;
	uint32_t offload_waited;
	flow_reference offload_begun;		    // 0: none
	uint64_t offload_token;			    // when it was
	uint32_t offload_quiet[ENGINE_WORKERS_MAX]; // and how quiet the others were then
	bool offload_drained;			    // nothing comes from the others any more

	struct burst burst;
	struct credit credit;
	struct walk_counts layer_counts;
	struct recall recall;
	struct delays delays;
	struct uplink_queues uplink_queues;
	struct conflicts conflicts;
	struct replicator replicator;
	struct multicast multicast;
	struct port_landing landing; // lent to the ports that it receives from
	pthread_t thread;

	// Of a worker that only traces, else NULL: it sends nothing, and changes no state but its
	// own.
	struct engine_trace *trace;
};

// What a packet that changes hands takes along, in the mbuf.
enum context_kind {
	CONTEXT_FIRST, // to be looked at by the connection's owner, or again; starts with the inner
		       // frame
	CONTEXT_TRANSMIT, // finished; `port` is where it leaves
	CONTEXT_DATAGRAM, // like CONTEXT_FIRST; the first fragment of a whole datagram
};

struct packet_context {
	uint16_t port; // ingress, or egress for CONTEXT_TRANSMIT
	uint16_t peer;
	uint16_t network;
	uint16_t kind;
	struct rte_mbuf *next_fragment; // with MBUF_DATAGRAM; NULL behind the last one
};

// In ol_flags: it is a fragment of a datagram that is whole and decided upon as one. Who takes the
// first over takes all.
#define MBUF_DATAGRAM_BIT 39
#define MBUF_DATAGRAM	  (UINT64_C(1) << MBUF_DATAGRAM_BIT)

extern int packet_context_offset;

static inline struct packet_context *packet_context(struct rte_mbuf *mbuf)
{
	return RTE_MBUF_DYNFIELD(mbuf, packet_context_offset, struct packet_context *);
}

static inline struct port_counters *worker_counters(struct worker *worker, uint16_t port)
{
	return &worker->tables->ports[port].counters[worker->index];
}

// trace.c: what a tracing worker is told.
void trace_refusal(struct worker *worker, uint16_t port, enum drop_reason reason);
void trace_output(struct worker *worker, struct transmit_buffer *buffer);
void trace_say(struct worker *worker, const char *topic, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

// What is decided beside the layers, for a trace. Costs a comparison otherwise.
#define worker_say(worker, topic, ...)                         \
	do {                                                   \
		if (unlikely((worker)->trace))                 \
			trace_say(worker, topic, __VA_ARGS__); \
	} while (0)

// Of one copy of a packet that also goes elsewhere; NULL: what it was is not known any more.
static inline void worker_count_drop(struct worker *worker, const struct rte_mbuf *mbuf,
				     uint16_t port, enum drop_reason reason)
{
	worker_counters(worker, port)->drops[reason]++;
	if (unlikely(worker->captures) && mbuf)
		capture_dropped(worker, mbuf, port, reason);
	worker_say(worker, "drop", "%s: %s", tables_port_name(worker->tables, port),
		   drop_reason_name(reason));
}

// The packet itself ends here, whatever is made of its buffer.
static inline void worker_refuse(struct worker *worker, const struct rte_mbuf *mbuf, uint16_t port,
				 enum drop_reason reason)
{
	worker_counters(worker, port)->drops[reason]++;
	if (unlikely(worker->captures))
		capture_dropped(worker, mbuf, port, reason);
	if (unlikely(worker->trace))
		trace_refusal(worker, port, reason);
}

// fragments.c
void fragments_drop(struct worker *worker, struct rte_mbuf *mbuf, uint16_t port,
		    enum drop_reason reason);

static inline void worker_drop(struct worker *worker, struct rte_mbuf *mbuf, uint16_t port,
			       enum drop_reason reason)
{
	if (unlikely(mbuf->ol_flags & MBUF_DATAGRAM)) {
		fragments_drop(worker, mbuf, port, reason);
		return;
	}
	worker_refuse(worker, mbuf, port, reason);
	rte_pktmbuf_free(mbuf);
}

// Of a packet that was received, whose network is known.
static inline struct flow_hash worker_hash(const struct worker *worker, struct packet *packet)
{
	if (unlikely(worker->tables->floating))
		nat_key_shift(worker->tables, &packet->key);
	return flow_hash(&worker->flows->secret, &packet->key);
}

// The start of a walk; of a tracing worker's, with a listener.
static inline struct walk walk_make(struct worker *worker, const struct packet *packet,
				    struct ingress ingress)
{
	const struct engine_trace *trace = worker->trace;

	return (struct walk){
		.tables = worker->tables,
		.packet = packet,
		.ingress = ingress,
		.say = unlikely(trace) ? trace->say : NULL,
		.say_context = unlikely(trace) ? trace->context : NULL,
		.counts = unlikely(trace) ? NULL : &worker->layer_counts,
	};
}
