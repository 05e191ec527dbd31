// The loop: what comes is counted and answered, what is due is sent, at both ends in turn.

#include "load.h"

#include <stdio.h>
#include <stdlib.h>

#include <rte_cycles.h>
#include <rte_pause.h>

// Times --drain, after which all that is on its way must have come.
#define DRAINS_MAX 10
// Between looks at the clock's larger tasks.
#define ROUNDS 64
// A round takes at least so many ticks: who looks at rings all the time takes their cache lines
// away from the device, which then is slower. Not where latency is measured.
#define ROUND_TICKS 1000

bool load_init(struct load *load, const struct options *options, struct port *ports[SIDES])
{
	static const struct mode_operations *const modes[] = {
		[MODE_STREAM] = &mode_stream, [MODE_NEW] = &mode_new, [MODE_TCP] = &mode_tcp};

	load->options = options;
	load->mode = modes[options->mode];
	load->hz = rte_get_tsc_hz();
	for (unsigned int i = 0; i < SIDES; i++) {
		load->ends[i].port = ports[i];
		if (!frames_init(&load->ends[i].frames, options, i))
			return false;
	}
	return load->mode->init(load);
}

void load_free(struct load *load)
{
	load->mode->free(load);
	for (unsigned int i = 0; i < SIDES; i++)
		frames_free(&load->ends[i].frames);
	free(load->opening.bits);
}

void burst_add_queued(struct load *load, struct end *end, struct burst *burst, uint64_t now)
{
	struct segment_queue *queue = &end->queue;

	while (queue->count > 0 && burst->count < burst->room) {
		const struct segment *segment = &queue->segments[queue->first];

		if (load->options->is_tcp) {
			burst->lengths[burst->count] = frame_write_segment(
				&end->frames, burst->frames[burst->count], segment);
			burst->count++;
		} else {
			burst_add_stream(load, end, burst, segment->index, now);
		}
		queue->first = (queue->first + 1) % SEGMENTS_MAX;
		queue->count--;
	}
}

static void stamp_arrived(struct load *load, struct end *end, const struct stamp *stamp,
			  uint64_t now)
{
	if (stamp->sequence >= end->sequence_expected) {
		end->lost += stamp->sequence - end->sequence_expected;
		end->sequence_expected = stamp->sequence + 1;
	} else {
		// It was taken for lost, unless it is there twice.
		end->reordered++;
		end->lost -= end->lost > 0;
	}
	// The first packets are another matter.
	if (load->opening.done && now > stamp->time)
		histogram_add(&load->interval, now - stamp->time);
}

static void talk_arrived(struct load *load, unsigned int side, const uint8_t *frame,
			 uint16_t length)
{
	struct end *end = &load->ends[side];
	const struct options *options = load->options;
	bool underlay = end->frames.outer_length != 0;

	// One at a time: who does not hear asks again.
	if (end->neighbour_length == 0)
		end->neighbour_length = neighbour_answer(
			underlay ? &options->tunnel.local : &options->address[side][side],
			underlay ? &options->tunnel.local_mac : &options->mac[side], frame, length,
			end->neighbour);
}

// The frame that came; false: not one that counts.
static bool frame_arrived(struct load *load, unsigned int side, const uint8_t *frame,
			  uint16_t length, uint64_t now)
{
	struct end *end = &load->ends[side];
	struct seen seen;

	switch (frame_read(&end->frames, frame, length, &seen)) {
	case FRAME_TALK:
		talk_arrived(load, side, frame, length);
		return false;
	case FRAME_FOREIGN:
		end->unexpected++;
		return true;
	case FRAME_OURS:
		break;
	}
	if ((end->frames.outer_length || end->frames.outside) &&
	    rte_is_zero_ether_addr(&end->frames.next_hop)) {
		struct rte_ether_addr mac;

		memcpy(&mac, frame + sizeof(mac), sizeof(mac));
		frames_set_next_hop(&end->frames, &mac);
	}
	if (seen.stamped)
		stamp_arrived(load, end, &seen.stamp, now);
	else
		end->unstamped++;
	load->mode->arrived(load, side, &seen, now);
	return true;
}

// True: something came.
static bool end_receive(struct load *load, unsigned int side, uint64_t now)
{
	struct end *end = &load->ends[side];
	struct port *port = end->port;
	const struct options *options = load->options;
	uint8_t *frames[PORT_BURST];
	uint16_t lengths[PORT_BURST];
	bool look = options->latency || options->check || load->mode->looks(load);
	unsigned int count, looked_at;

	if (!segment_queue_has_room(&end->queue))
		return false;
	count = port->operations->receive(port, frames, lengths, look);
	if (count == 0)
		return false;
	if (options->latency)
		now = rte_rdtsc();
	end->received += count;
	looked_at = look ? count : 1;
	for (unsigned int i = 0; i < looked_at; i++)
		end->received -= !frame_arrived(load, side, frames[i], lengths[i], now);
	port->operations->release(port);
	return true;
}

static void neighbour_send(struct end *end)
{
	struct port *port = end->port;
	uint8_t *frame;

	if (port->operations->take(port, &frame, 1) != 1)
		return;
	memcpy(frame, end->neighbour, end->neighbour_length);
	*port_frame_mark(frame) = 0;
	port->operations->send(port, &end->neighbour_length, 1);
	end->neighbour_length = 0;
}

// True: something was sent.
static bool end_send(struct load *load, unsigned int side, uint64_t now, bool draining)
{
	struct end *end = &load->ends[side];
	struct port *port = end->port;
	struct burst burst = {.count = 0};
	// It is asked in any case: also when nothing new begins, what was lost is sent again (TCP).
	unsigned int wanted = load->mode->due(load, side, now);

	if (draining)
		wanted = 0;
	if (end->neighbour_length != 0)
		neighbour_send(end);
	wanted += end->queue.count;
	if (wanted == 0)
		return false;
	burst.room = port->operations->take(port, burst.frames,
					    wanted < PORT_BURST ? wanted : PORT_BURST);
	if (burst.room == 0)
		return false;
	if (load->options->latency)
		now = rte_rdtsc();
	burst_add_queued(load, end, &burst, now);
	if (!draining)
		load->mode->fill(load, side, &burst, now);
	port->operations->send(port, burst.lengths, burst.count);
	end->sent += burst.count;
	return burst.count > 0;
}

// Has everything come, or will nothing come any more? `arrived` and `since` remember.
static bool drain_is_over(const struct load *load, uint64_t now, uint64_t end, uint64_t *arrived,
			  uint64_t *since)
{
	const struct end *ends = load->ends;
	uint64_t received = ends[0].received + ends[1].received;

	if (received != *arrived) {
		*arrived = received;
		*since = now;
	}
	if (now > end || now - *since > load->hz / 1000 * load->options->drain_ms)
		return true;
	return ends[0].queue.count + ends[1].queue.count == 0 && ends[0].sent == ends[1].received &&
	       ends[1].sent == ends[0].received;
}

static void load_drain(struct load *load)
{
	uint64_t now = rte_rdtsc(), since = now, arrived = 0;
	const uint64_t end = now + load->hz / 1000 * load->options->drain_ms * DRAINS_MAX;

	while (!drain_is_over(load, now, end, &arrived, &since)) {
		now = rte_rdtsc();
		for (unsigned int side = 0; side < SIDES; side++) {
			end_receive(load, side, now);
			end_send(load, side, now, true);
		}
	}
	for (unsigned int side = 0; side < SIDES; side++) {
		struct end *from = &load->ends[!side], *to = &load->ends[side];

		// Those at the end that nothing followed. What no ring took is not lost.
		if (from->sequence_sent - from->port->pending > to->sequence_expected)
			to->lost +=
				from->sequence_sent - from->port->pending - to->sequence_expected;
	}
}

static bool ports_alive(const struct load *load)
{
	for (unsigned int side = 0; side < SIDES; side++) {
		struct port *port = load->ends[side].port;

		if (!port->operations->is_alive(port)) {
			fprintf(stderr, "load: port %u: the device has closed the connection\n",
				side);
			return false;
		}
	}
	return true;
}

bool load_run(struct load *load, const volatile sig_atomic_t *stopping)
{
	const uint64_t interval = load->hz / 1000 * load->options->interval_ms;
	const double seconds = load->options->seconds;
	const uint64_t least = load->options->latency ? 0 : ROUND_TICKS;
	uint64_t now = rte_rdtsc(), next = now + interval, end;

	load->start = now;
	end = seconds > 0 ? now + (uint64_t)(seconds * (double)load->hz) : UINT64_MAX;
	for (unsigned int round = 0; !*stopping && now < end; round++) {
		bool busy = false;

		now = rte_rdtsc();
		for (unsigned int side = 0; side < SIDES; side++) {
			busy |= end_receive(load, side, now);
			busy |= end_send(load, side, now, false);
		}
		if (busy)
			load->busy += rte_rdtsc() - now;
		while (rte_rdtsc() - now < least)
			rte_pause();
		if (round % ROUNDS != 0 || now < next)
			continue;
		next = now + interval;
		load_report(load, now, false);
		if (!ports_alive(load))
			return false;
	}
	load_drain(load);
	load_report(load, rte_rdtsc(), true);
	return true;
}
