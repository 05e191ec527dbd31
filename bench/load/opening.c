// Opening connections: by a first packet (UDP), which counts once it has arrived, or a handshake
// (TCP).

#include <stdlib.h>

#include "load.h"

// Between walks over those that are not open.
#define PAUSE_MS 20
// For what is on its way when all are open: a device may look at the rings in any order.
#define SETTLE_MS 10

bool opening_init(struct load *load, uint32_t connections)
{
	struct opening *opening = &load->opening;

	opening->connections = connections;
	opening->bits = calloc(connections / 64 + 1, sizeof(opening->bits[0]));
	return opening->bits != NULL;
}

static void opening_mark(struct load *load, uint32_t index, uint64_t now)
{
	struct opening *opening = &load->opening;
	uint64_t bit = 1ull << index % 64;

	if (index >= opening->connections || (opening->bits[index / 64] & bit) != 0)
		return;
	opening->bits[index / 64] |= bit;
	load->opened++;
	if (++opening->opened == opening->connections)
		opening->done_at = now + load->hz / 1000 * SETTLE_MS;
}

static void handshake_arrived(struct load *load, unsigned int side, const struct seen *seen,
			      uint64_t now)
{
	struct segment_queue *queue = &load->ends[side].queue;
	const struct segment *segment = &seen->segment;

	if (side == 1 && segment->flags == TCP_SYN) {
		segment_queue_push(queue, (struct segment){
						  .index = segment->index,
						  .sequence = TCP_SERVER_START,
						  .acknowledged = segment->sequence + 1,
						  .flags = TCP_SYN | TCP_ACK,
					  });
	} else if (side == 0 && segment->flags == (TCP_SYN | TCP_ACK)) {
		segment_queue_push(queue, (struct segment){
						  .index = segment->index,
						  .sequence = TCP_CLIENT_START + 1,
						  .acknowledged = TCP_SERVER_START + 1,
						  .flags = TCP_ACK,
					  });
		opening_mark(load, segment->index, now);
	}
}

void opening_arrived(struct load *load, unsigned int side, const struct seen *seen, uint64_t now)
{
	if (load->options->is_tcp)
		handshake_arrived(load, side, seen, now);
	else if (side == 1)
		opening_mark(load, seen->segment.index, now);
}

// The first one from `next` on that is not open, or `connections`.
static uint32_t opening_find(const struct opening *opening, uint32_t next)
{
	while (next < opening->connections) {
		uint64_t closed = ~opening->bits[next / 64] >> next % 64;

		if (closed != 0) {
			next += (uint32_t)__builtin_ctzll(closed);
			return next < opening->connections ? next : opening->connections;
		}
		next = (next / 64 + 1) * 64;
	}
	return opening->connections;
}

unsigned int opening_due(struct load *load, uint64_t now)
{
	struct opening *opening = &load->opening;
	uint64_t left = opening->connections - opening->opened;

	if (now < opening->pause_until || opening->done)
		return 0;
	return left < PORT_BURST ? (unsigned int)left : PORT_BURST;
}

void opening_fill(struct load *load, struct burst *burst, uint64_t now)
{
	struct opening *opening = &load->opening;
	struct end *end = &load->ends[0];

	while (burst->count < burst->room && now >= opening->pause_until) {
		opening->next = opening_find(opening, opening->next);
		if (opening->next == opening->connections) {
			opening->next = 0;
			opening->pause_until = now + load->hz / 1000 * PAUSE_MS;
			return;
		}
		if (load->options->is_tcp) {
			struct segment segment = {.index = opening->next,
						  .sequence = TCP_CLIENT_START,
						  .flags = TCP_SYN};

			burst->lengths[burst->count] = frame_write_segment(
				&end->frames, burst->frames[burst->count], &segment);
			burst->count++;
		} else {
			burst_add_stream(load, end, burst, opening->next, now);
		}
		opening->next++;
	}
}

bool opening_is_over(struct load *load, uint64_t now)
{
	struct opening *opening = &load->opening;
	double limit = load->options->opening_seconds;

	if (opening->done)
		return true;
	if (opening->opened == opening->connections)
		opening->done = now >= opening->done_at;
	else if (limit > 0)
		opening->done = (double)(now - load->start) > limit * (double)load->hz;
	return opening->done;
}
