// Packets that wait for their port's turn on an uplink that is shared (layer/qos/uplink.c): deficit
// round robin (SIGCOMM '95) over a queue for each port, at the uplink's rate. The worker that sends
// by the uplink has it.

#pragma once

#include <stdint.h>

struct rte_mbuf;
struct worker;
struct uplink_queue;

struct uplink_queues {
	struct uplink_queue *ports; // by number; NULL: not used yet
	uint64_t full_at;	    // of the bucket (layer/qos/meter.h)
	uint64_t ready;		    // cycles of the time stamp counter: nothing can go before
	uint64_t bytes_max;	    // of one queue
	uint32_t count;		    // packet buffers that wait
	uint32_t max;
	uint16_t first, last; // ports with packets, in their order; 0: none
};

void uplink_queues_close(struct worker *worker);

// A packet that `port` sends by the uplink. Takes the mbuf over.
void uplink_queue_add(struct worker *worker, struct rte_mbuf *mbuf, uint16_t port);

// The worker ends: all go now, in turn.
void uplink_queues_flush(struct worker *worker);

// Sends what may go by now. Returns how many packets.
uint32_t uplink_queues_turn(struct worker *worker, uint64_t now);
