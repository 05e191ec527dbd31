// Every packet of port 0 opens a connection, and port 1 answers each once; beside that, connections
// that were opened before are kept alive. Those are never answered (UDP), so that they cost little.

#include <stdlib.h>

#include "load.h"

// Distinct connections that the ports can tell.
#define INDICES ((uint32_t)CLIENT_PORTS * SERVER_PORTS)

struct opener {
	uint32_t next;
	uint32_t next_kept;
	struct pace pace;
	struct pace keep;
	// Of the burst to come.
	unsigned int keep_due;
	unsigned int open_due;
};

static bool new_init(struct load *load)
{
	struct opener *opener = calloc(1, sizeof(*opener));

	load->mode_state = opener;
	if (!opener)
		return false;
	opener->next = load->options->hold;
	opener->pace.rate = load->options->rate;
	opener->keep.rate = load->options->keep;
	if (load->options->hold == 0)
		load->opening.done = true;
	return opening_init(load, load->options->hold);
}

static bool new_looks(const struct load *load)
{
	return true;
}

static void new_arrived(struct load *load, unsigned int side, const struct seen *seen, uint64_t now)
{
	uint32_t index = seen->segment.index;
	bool held = index < load->options->hold;

	if (held) {
		opening_arrived(load, side, seen, now);
	} else if (side == 0) {
		load->answered++;
	} else {
		load->opened++;
		segment_queue_push(&load->ends[1].queue,
				   (struct segment){
					   .index = index,
					   .sequence = TCP_SERVER_START,
					   .acknowledged = seen->segment.sequence + 1,
					   .flags = TCP_SYN | TCP_ACK,
				   });
	}
}

static unsigned int new_due(struct load *load, unsigned int side, uint64_t now)
{
	struct opener *opener = load->mode_state;
	unsigned int kept;

	if (side == 1)
		return 0;
	if (!opening_is_over(load, now)) {
		opener->pace.last = now;
		opener->keep.last = now;
		return opening_due(load, now);
	}
	kept = load->options->hold == 0 || load->options->keep == 0
		       ? 0
		       : pace_due(&opener->keep, now, load->hz, PORT_BURST / 2);
	opener->keep_due = kept;
	opener->open_due = pace_due(&opener->pace, now, load->hz, PORT_BURST - kept);
	return kept + opener->open_due;
}

static void connection_add(struct load *load, struct burst *burst, uint32_t index, uint64_t now)
{
	struct end *end = &load->ends[0];
	struct segment segment = {.index = index, .sequence = TCP_CLIENT_START, .flags = TCP_SYN};

	if (!load->options->is_tcp) {
		burst_add_stream(load, end, burst, index, now);
		return;
	}
	burst->lengths[burst->count] =
		frame_write_segment(&end->frames, burst->frames[burst->count], &segment);
	burst->count++;
}

static void new_fill(struct load *load, unsigned int side, struct burst *burst, uint64_t now)
{
	struct opener *opener = load->mode_state;
	unsigned int kept = 0, opened = 0;

	if (side == 1)
		return;
	if (!load->opening.done) {
		opening_fill(load, burst, now);
		return;
	}
	for (; kept < opener->keep_due && burst->count < burst->room; kept++) {
		burst_add_stream(load, &load->ends[0], burst, opener->next_kept, now);
		if (++opener->next_kept == load->options->hold)
			opener->next_kept = 0;
	}
	for (; opened < opener->open_due && burst->count < burst->room; opened++) {
		connection_add(load, burst, opener->next, now);
		if (++opener->next == INDICES)
			opener->next = load->options->hold;
	}
	pace_spend(&opener->keep, load->hz, kept);
	pace_spend(&opener->pace, load->hz, opened);
}

static void new_free(struct load *load)
{
	free(load->mode_state);
}

const struct mode_operations mode_new = {
	.init = new_init,
	.looks = new_looks,
	.arrived = new_arrived,
	.due = new_due,
	.fill = new_fill,
	.free = new_free,
};
