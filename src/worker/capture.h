// Copies of packets at chosen ports, for `sluice capture`: taken by the workers, read by the
// control thread.
//
// capture.c          what workers do: while nothing is captured, a comparison a burst and a drop
// capture_control.c  beginning, reading and ending
// capture_filter.h   which packets
// capture_ring.h     from a worker to the control thread

#pragma once

#include <rte_mbuf.h>

#include "base/drop.h"
#include "base/error.h"
#include "port/port.h"
#include "worker/capture_filter.h"
#include "worker/capture_ring.h"
#include "worker/engine.h"

#define CAPTURES_MAX	  8
#define CAPTURE_BYTES_MAX 262144 // of a packet

enum capture_point {
	CAPTURE_IN,	 // as received
	CAPTURE_OUT,	 // as sent
	CAPTURE_DROPPED, // as it was when it was dropped, at the port to whose account it goes
	CAPTURE_POINTS,
};

#define CAPTURE_PORT_WORDS (65536 / 64)

// Of one capture and worker: the worker's own.
struct capture_lane {
	struct capture_ring ring;
	// Where the records of packets that are being sent end; while `staged`.
	uint64_t ends[PORT_BURST];
	bool staged;
};

struct capture {
	uint32_t points; // bit of each capture_point
	uint32_t bytes;	 // kept of a packet
	bool all_ports;
	uint32_t filter_count; // 0: all packets
	struct sock_filter *filter;
	struct engine *engine;
	_Atomic uint64_t ports[CAPTURE_PORT_WORDS]; // bit of each port's number
	struct capture_lane *lanes[ENGINE_WORKERS_MAX];
	// The reader's: the record that was given out last.
	struct capture_ring *given_ring;
	const struct capture_record *given;
};

// What workers look at; never changed, swapped under RCU.
struct captures {
	uint32_t count;
	struct capture *list[CAPTURES_MAX];
};

static inline bool capture_wants_port(const struct capture *capture, uint16_t port)
{
	return capture->all_ports ||
	       (atomic_load_explicit(&capture->ports[port / 64], memory_order_relaxed) >>
			(port % 64) &
		1);
}

// ---- control thread

// Fields that say what is wanted are filled in, and the filter was checked; ports may be added
// later by capture_add_port. When it returns, workers take copies, and connections at these ports
// that the kernel forwards are on their way back. `capture` is the engine's until capture_close.
int capture_begin(struct engine *engine, struct capture *capture, struct error *err);
void capture_add_port(struct capture *capture, uint16_t port);

// The next packet of before `horizon` (time stamp counter), in the order of time; NULL: none. Valid
// until the next call.
const struct capture_record *capture_next(struct capture *capture, uint64_t horizon);
// Packets that found no room.
uint64_t capture_lost(const struct capture *capture);

// Ends and frees it; one that has not begun too. NULL does nothing.
void capture_close(struct capture *capture);

// ---- workers, where worker->captures is not NULL

struct worker;

// Received at a port.
void capture_received(struct worker *worker, uint16_t port, struct rte_mbuf **mbufs,
		      uint32_t count);
void capture_dropped(struct worker *worker, const struct rte_mbuf *mbuf, uint16_t port,
		     enum drop_reason reason);
// About to be sent at a port; `parent`: the port that has its device, where they have a tag, else
// 0. They are captured when capture_sent says that the first `sent` of them were sent; at most
// PORT_BURST.
void capture_sending(struct worker *worker, uint16_t port, uint16_t parent, struct rte_mbuf **mbufs,
		     uint32_t count);
void capture_sent(struct worker *worker, uint32_t sent);

// Does somebody want to see what passes there?
bool capture_watches(const struct captures *captures, uint16_t port);
