#include "worker/capture.h"

#include <stdlib.h>

#include "base/pages.h"

// Of all workers together; and of one, in which any packet has to find room.
#define RINGS_SIZE    (16u << 20)
#define RING_SIZE_MIN (1u << 20)

static uint64_t ring_size(const struct engine *engine)
{
	uint64_t size = RINGS_SIZE;

	while (size > RING_SIZE_MIN && size * engine->options.worker_count > RINGS_SIZE)
		size /= 2;
	return size;
}

static bool lanes_open(struct capture *capture)
{
	uint64_t size = ring_size(capture->engine);

	for (uint32_t i = 0; i < capture->engine->options.worker_count; i++) {
		struct capture_lane *lane = aligned_alloc(64, sizeof(*lane));

		if (!lane)
			return false;
		*lane = (struct capture_lane){.ring.size = size};
		capture->lanes[i] = lane;
		lane->ring.memory = pages_get(size);
		if (!lane->ring.memory)
			return false;
	}
	return true;
}

// Puts the list in force (NULL: nothing is captured), and frees the old one.
static void publish(struct engine *engine, struct captures *captures)
{
	struct captures *old = atomic_exchange(&engine->captures, captures);

	rte_rcu_qsbr_synchronize(engine->readers, RTE_QSBR_THRID_INVALID);
	free(old);
}

int capture_begin(struct engine *engine, struct capture *capture, struct error *err)
{
	const struct captures *now = atomic_load(&engine->captures);
	struct captures *next;

	if (now && now->count == CAPTURES_MAX)
		return error_set(err, "%d captures run already", CAPTURES_MAX);
	capture->engine = engine;
	next = calloc(1, sizeof(*next));
	if (!next || !lanes_open(capture)) {
		free(next);
		return error_set(err, "no memory for the capture");
	}
	if (now)
		*next = *now;
	next->list[next->count++] = capture;
	publish(engine, next);
	// From now on nothing at these ports is given to the kernel.
	if (engine->offload && (capture->points & (1 << CAPTURE_IN | 1 << CAPTURE_OUT)))
		engine_judge_anew(engine, engine_now(engine));
	return 0;
}

void capture_add_port(struct capture *capture, uint16_t port)
{
	atomic_fetch_or(&capture->ports[port / 64], UINT64_C(1) << (port % 64));
}

const struct capture_record *capture_next(struct capture *capture, uint64_t horizon)
{
	const struct capture_record *first = NULL;

	if (capture->given)
		capture_ring_free(capture->given_ring, capture->given);
	for (uint32_t i = 0; i < capture->engine->options.worker_count; i++) {
		struct capture_ring *ring = &capture->lanes[i]->ring;
		const struct capture_record *record = capture_ring_first(ring);

		if (!record || (first && first->time <= record->time) || record->time >= horizon)
			continue;
		first = record;
		capture->given_ring = ring;
	}
	capture->given = first;
	return first;
}

uint64_t capture_lost(const struct capture *capture)
{
	uint64_t lost = 0;

	for (uint32_t i = 0; i < capture->engine->options.worker_count; i++)
		lost += atomic_load_explicit(&capture->lanes[i]->ring.lost, memory_order_relaxed);
	return lost;
}

static void withdraw(struct engine *engine, const struct capture *capture)
{
	struct captures *now = atomic_load(&engine->captures), *next = NULL;
	uint32_t kept = 0, place = CAPTURES_MAX;

	for (uint32_t i = 0; now && i < now->count; i++)
		if (now->list[i] == capture)
			place = i;
	if (place == CAPTURES_MAX)
		return;
	// Without memory for another list the workers go without any: captures then say nothing.
	if (now->count > 1)
		next = calloc(1, sizeof(*next));
	for (uint32_t i = 0; next && i < now->count; i++)
		if (i != place)
			next->list[kept++] = now->list[i];
	if (next)
		next->count = kept;
	publish(engine, next);
}

void capture_close(struct capture *capture)
{
	if (!capture)
		return;
	if (capture->engine)
		withdraw(capture->engine, capture);
	for (uint32_t i = 0; i < ENGINE_WORKERS_MAX; i++) {
		struct capture_lane *lane = capture->lanes[i];

		if (lane)
			pages_free(lane->ring.memory, lane->ring.size);
		free(lane);
	}
	free(capture->filter);
	free(capture);
}
