// The running load: two ends, what they have counted, and the mode that decides what they send.

#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "frame.h"
#include "histogram.h"
#include "neighbour.h"
#include "options.h"
#include "port.h"

// Answers that wait for room in a ring. A power of two; a burst adds at most two a packet.
#define SEGMENTS_MAX 4096

struct segment_queue {
	uint32_t first;
	uint32_t count;
	struct segment segments[SEGMENTS_MAX];
};

struct end {
	struct port *port;
	struct segment_queue queue;
	uint64_t sent;
	uint64_t received;
	uint64_t unexpected;
	// That came without a stamp: segments of TCP's handshakes.
	uint64_t unstamped;
	// By the sequence numbers of stamped packets.
	uint64_t lost;
	uint64_t reordered;
	uint64_t sequence_sent;
	uint64_t sequence_expected;
	uint16_t neighbour_length;
	uint8_t neighbour[NEIGHBOUR_ANSWER_MAX];
	struct frames frames;
};

// A rate: what is due, in packets times ticks of the time stamp counter a second.
struct pace {
	uint64_t rate;
	uint64_t credit;
	uint64_t last;
};

// Frames of one end that are being made.
struct burst {
	uint8_t *frames[PORT_BURST];
	uint16_t lengths[PORT_BURST];
	unsigned int count;
	unsigned int room;
};

struct load;

struct mode_operations {
	// False: no memory.
	bool (*init)(struct load *load);
	// Has every packet that comes to be looked at?
	bool (*looks)(const struct load *load);
	void (*arrived)(struct load *load, unsigned int side, const struct seen *seen,
			uint64_t now);
	// Packets that are due, at most PORT_BURST; fill() then fills what room a burst has, which
	// may be less.
	unsigned int (*due)(struct load *load, unsigned int side, uint64_t now);
	void (*fill)(struct load *load, unsigned int side, struct burst *burst, uint64_t now);
	void (*free)(struct load *load);
};

extern const struct mode_operations mode_stream, mode_new, mode_tcp;

// Connections that are opened before all else, by port 0.
struct opening {
	uint32_t connections;
	uint32_t opened;
	uint32_t next;
	// What did not arrive is sent again then.
	uint64_t pause_until;
	uint64_t *bits;
	bool done;
	// All of them open, and some time for what is on its way.
	uint64_t done_at;
};

struct load {
	const struct options *options;
	const struct mode_operations *mode;
	void *mode_state;
	struct end ends[SIDES];
	struct opening opening;
	uint64_t hz;
	uint64_t start;
	// Of rounds that received or sent something, in ticks.
	uint64_t busy;
	uint64_t opened;
	uint64_t answered;
	uint64_t closed;
	// Of this interval, and of those before.
	struct histogram interval;
	struct histogram total;
};

static inline bool segment_queue_has_room(const struct segment_queue *queue)
{
	return queue->count + 2 * PORT_BURST <= SEGMENTS_MAX;
}

static inline void segment_queue_push(struct segment_queue *queue, struct segment segment)
{
	queue->segments[(queue->first + queue->count++) % SEGMENTS_MAX] = segment;
}

// What is due of a rate; all of `wanted` where the rate is 0. At most a millisecond is caught up
// with.
static inline unsigned int pace_due(struct pace *pace, uint64_t now, uint64_t hz,
				    unsigned int wanted)
{
	uint64_t most = (pace->rate / 1000 + PORT_BURST) * hz, due;

	if (pace->rate == 0)
		return wanted;
	// It begins with the first question.
	pace->credit += pace->last ? (now - pace->last) * pace->rate : 0;
	pace->last = now;
	if (pace->credit > most)
		pace->credit = most;
	due = pace->credit / hz;
	return due < wanted ? (unsigned int)due : wanted;
}

static inline void pace_spend(struct pace *pace, uint64_t hz, unsigned int count)
{
	if (pace->rate != 0)
		pace->credit -= count * hz;
}

// A packet of an open connection, stamped where that is asked for.
static inline void burst_add_stream(struct load *load, struct end *end, struct burst *burst,
				    uint32_t index, uint64_t now)
{
	struct stamp stamp = {now, end->sequence_sent};

	burst->lengths[burst->count] =
		frame_write_stream(&end->frames, burst->frames[burst->count], index,
				   end->frames.stamped ? &stamp : NULL);
	end->sequence_sent += end->frames.stamped;
	burst->count++;
}

// What is in the end's queue; UDP's are packets of the connection.
void burst_add_queued(struct load *load, struct end *end, struct burst *burst, uint64_t now);

// Opening, for the modes that begin with it.
bool opening_init(struct load *load, uint32_t connections);
// A packet that may belong to it.
void opening_arrived(struct load *load, unsigned int side, const struct seen *seen, uint64_t now);
unsigned int opening_due(struct load *load, uint64_t now);
void opening_fill(struct load *load, struct burst *burst, uint64_t now);
// Are all open, and is it time for what comes after it?
bool opening_is_over(struct load *load, uint64_t now);

// False: no memory.
bool load_init(struct load *load, const struct options *options, struct port *ports[SIDES]);
// Until a signal or --seconds; then waits for what is on its way. False: the device is gone
// (reported).
bool load_run(struct load *load, const volatile sig_atomic_t *stopping);
void load_free(struct load *load);
// A line of JSON on standard output.
void load_report(struct load *load, uint64_t now, bool final);
