// The data plane as a whole: the workers and what they share. The control thread makes it, hands it
// tables and ports, and reads its counters.

#pragma once

#include <rte_mempool.h>
#include <rte_rcu_qsbr.h>

#include "flow/table.h"
#include "flow_offload/flow_offload.h"
#include "layer/shared_address/owner.h"
#include "layer/tables.h"
#include "layer/tunnel/neighbour.h"

#define ENGINE_WORKERS_MAX 64

struct worker;
struct captures;

struct engine_options {
	int cpus[ENGINE_WORKERS_MAX]; // one worker on each; -1: anywhere
	uint32_t worker_count;
	bool spin; // poll without sleeping
	uint32_t connections;
	uint32_t packet_memory; // MiB for packet buffers
	bool flow_offload;	// leave connections to the kernel where it can forward them
	struct flow_keep *keep; // where connections outlive the process; NULL: nowhere
};

// A packet to trace, and what became of it.
struct engine_trace {
	// What each step decided, and every frame that would leave: valid during the call.
	void (*say)(void *context, const char *topic, const char *text);
	void (*output)(void *context, uint16_t port, const struct rte_mbuf *frame);
	void *context;
	bool copied;  // what is refused from now on is one copy of several
	bool dropped; // the packet itself; what leaves may be an answer to that
	enum drop_reason reason;
	uint16_t port; // to whose account
};

struct engine {
	struct engine_options options;
	_Atomic(struct tables *) tables;
	_Atomic(struct captures *) captures; // NULL: nothing is captured
	_Atomic uint32_t generation;	     // given out last
	second_count judgements;	     // times that all connections are to be judged anew
	_Atomic bool judge_later;	     // once more, when a second begins
	struct flow_table *flows;
	struct flow_offload *offload; // NULL: there is none
	struct neighbours neighbours;
	struct rte_rcu_qsbr *readers; // workers by index; the control thread is number worker_count
	struct rte_mempool *pool;
	struct worker *workers[ENGINE_WORKERS_MAX];
	struct worker *tracer; // with the index behind the workers'
	uint64_t cycles_per_second;
	uint64_t start; // time stamp counter
	uint64_t clock; // that of when the connection table's clock was 0
};

struct engine_worker_stats {
	int cpu;
	uint64_t packets;
	uint64_t cycles;
	uint64_t busy_cycles;
	uint64_t connections_opened;
	uint64_t connections_ended;
};

// Makes all but the workers' threads: engine_start does, on these tables. EAL is initialised.
int engine_prepare(const struct engine_options *options, struct tables *tables,
		   struct engine **engine, struct error *err);
int engine_start(struct engine *engine, struct error *err);

// Both. The tables are empty.
int engine_open(const struct engine_options *options, struct tables *tables, struct engine **engine,
		struct error *err);

// Stops the workers: when it returns nothing touches ports or connections any more, until
// engine_start has them go on. What waited for its turn has left.
void engine_pause(struct engine *engine);
// May others run where the workers do? Not if one has a real-time policy.
bool engine_shares_cpus(const struct engine *engine);
// The device is about to be closed: workers that stand don't find it when they go on.
void engine_forget(struct engine *engine, const struct port *port);

// Ends the workers and frees what is the engine's. The tables in force and the ports are the
// caller's to free and close, afterwards.
void engine_close(struct engine *engine);

// Puts tables in force and returns the old ones, which no worker reads any more: their ports may be
// closed, they may be freed. Fills the tables' poll lists: each queue of each open port gets a
// worker.
struct tables *engine_publish(struct engine *engine, struct tables *tables, struct error *err);

// Never 0. Any thread.
uint32_t engine_next_generation(struct engine *engine);

// Has all connections judged anew at their next packet, by the tables in force; in the next second
// where it was asked for too often in this one. Worker; what has changed is changed already.
void engine_judge_anew(struct engine *engine, uint32_t now);

// Control thread, around reading the connection table.
void engine_read_begin(struct engine *engine);
void engine_read_end(struct engine *engine);

// Returns when each worker has ended the turn that it is in: what ports have sent before the call
// is in all counters then. The control thread's, and not between engine_read_begin() and _end().
void engine_settle(struct engine *engine);

struct engine_worker_stats engine_worker_stats(const struct engine *engine, uint32_t worker);

// Turns of its loop.
uint64_t engine_worker_turns(const struct engine *engine, uint32_t worker);

// What the worker's layers have decided since the start; it goes on counting.
struct walk_counts;
const struct walk_counts *engine_layer_counts(const struct engine *engine, uint32_t worker);
uint64_t engine_untranslated(const struct engine *engine);
struct conflicts *engine_conflicts(const struct engine *engine, uint32_t worker);

struct engine_frame {
	const uint8_t *bytes;
	uint32_t length;
};

// Runs a frame through the same code as a received one, on the control thread: the last of
// `frames`. Those before it say nothing; of them is known what waits for it, as fragments do.
// Nothing is sent, counted or remembered. `port`: where they enter; `peer` and `network` for
// PORT_UPLINK: the node that they come from, outer headers off. False: no packet buffers for them.
bool engine_trace_frames(struct engine *engine, const struct engine_frame *frames, uint32_t count,
			 uint16_t port, uint16_t peer, uint16_t network,
			 struct engine_trace *trace);

// Seconds of the connection table's clock.
uint32_t engine_now(const struct engine *engine);
