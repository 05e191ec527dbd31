// All connections in turn, in both directions, for ever.

#include <stdlib.h>

#include "load.h"

struct stream {
	// By side: the connection of the next packet.
	uint32_t next[SIDES];
	struct pace pace[SIDES];
	// --check: the connections whose packets have come back, a bit each.
	uint64_t *answered;
};

static bool stream_init(struct load *load)
{
	struct stream *stream = calloc(1, sizeof(*stream));

	load->mode_state = stream;
	for (unsigned int i = 0; stream && i < SIDES; i++)
		// An odd rate has one packet more in one direction.
		stream->pace[i].rate = (load->options->rate + 1 - i) / 2;
	if (stream)
		stream->answered = calloc(load->options->connections / 64 + 1, sizeof(uint64_t));
	return stream && stream->answered && opening_init(load, load->options->connections);
}

static bool stream_looks(const struct load *load)
{
	return !load->opening.done;
}

static void stream_arrived(struct load *load, unsigned int side, const struct seen *seen,
			   uint64_t now)
{
	struct stream *stream = load->mode_state;
	uint32_t index = seen->segment.index;
	uint64_t bit = 1ull << index % 64;

	opening_arrived(load, side, seen, now);
	if (side != 0 || !load->options->check || index >= load->options->connections ||
	    stream->answered[index / 64] & bit)
		return;
	stream->answered[index / 64] |= bit;
	load->answered++;
}

static unsigned int stream_due(struct load *load, unsigned int side, uint64_t now)
{
	struct stream *stream = load->mode_state;

	if (opening_is_over(load, now))
		return pace_due(&stream->pace[side], now, load->hz, PORT_BURST);
	stream->pace[side].last = now;
	return side == 0 ? opening_due(load, now) : 0;
}

static void stream_fill(struct load *load, unsigned int side, struct burst *burst, uint64_t now)
{
	struct stream *stream = load->mode_state;
	struct end *end = &load->ends[side];
	uint32_t next = stream->next[side];

	if (!load->opening.done) {
		if (side == 0)
			opening_fill(load, burst, now);
		return;
	}
	pace_spend(&stream->pace[side], load->hz, burst->room - burst->count);
	while (burst->count < burst->room) {
		burst_add_stream(load, end, burst, next, now);
		next = next + 1 == load->options->connections ? 0 : next + 1;
	}
	stream->next[side] = next;
}

static void stream_free(struct load *load)
{
	struct stream *stream = load->mode_state;

	if (stream)
		free(stream->answered);
	free(stream);
}

const struct mode_operations mode_stream = {
	.init = stream_init,
	.looks = stream_looks,
	.arrived = stream_arrived,
	.due = stream_due,
	.fill = stream_fill,
	.free = stream_free,
};
