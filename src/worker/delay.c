#include "worker/delay.h"

#include "base/pages.h"
#include "worker/worker.h"

#define SLOTS_SIZE     (DELAY_SLOTS * sizeof(struct delay_slot))
#define SLOTS_A_SECOND 32768
// What may wait at all workers together: this part of all packet buffers.
#define SHARE_OF_POOL 4

bool delays_open(struct worker *worker)
{
	struct delays *delays = &worker->delays;
	const struct engine *engine = worker->engine;

	// At most DELAY_SLOTS / 16384 of a second, and half of it at least.
	while (engine->cycles_per_second >> delays->shift > SLOTS_A_SECOND)
		delays->shift++;
	delays->max = engine->pool->size / (SHARE_OF_POOL * engine->options.worker_count);
	delays->slots = pages_get(SLOTS_SIZE);
	return delays->slots != NULL;
}

// Takes a slot's packets out; they hang from each other.
static struct rte_mbuf *take(struct delays *delays, uint64_t slot)
{
	struct delay_slot *list = &delays->slots[slot % DELAY_SLOTS];
	struct rte_mbuf *first = list->first;

	list->first = list->last = NULL;
	return first;
}

void delays_close(struct worker *worker)
{
	struct delays *delays = &worker->delays;

	for (uint32_t i = 0; delays->slots && i < DELAY_SLOTS; i++)
		for (struct rte_mbuf *mbuf = take(delays, i), *next; mbuf; mbuf = next) {
			next = packet_context(mbuf)->next_fragment;
			rte_pktmbuf_free(mbuf);
		}
	pages_free(delays->slots, SLOTS_SIZE);
	delays->slots = NULL;
}

// Gives a slot's packets to their ports.
static uint32_t release(struct worker *worker, uint64_t slot)
{
	struct delays *delays = &worker->delays;
	struct rte_mbuf *mbuf = take(delays, slot), *next;
	uint32_t released = 0;

	for (; mbuf; mbuf = next) {
		struct packet_context *context = packet_context(mbuf);

		next = context->next_fragment;
		delays->count -= mbuf->nb_segs;
		qos_send(worker, mbuf, context->port, context->peer);
		released++;
	}
	return released;
}

void delays_flush(struct worker *worker)
{
	for (uint64_t i = 1; worker->delays.count && i <= DELAY_SLOTS; i++)
		release(worker, worker->delays.slot + i);
}

uint32_t delays_turn(struct worker *worker, uint64_t now)
{
	struct delays *delays = &worker->delays;
	uint64_t end = now >> delays->shift, slot = delays->slot;
	uint32_t released = 0;

	delays->now = now;
	// After a long time each slot once.
	if (end - slot > DELAY_SLOTS)
		slot = end - DELAY_SLOTS;
	while (delays->count && slot < end)
		released += release(worker, ++slot);
	delays->slot = end;
	return released;
}

void delays_add(struct worker *worker, struct rte_mbuf *mbuf, uint16_t port, uint16_t from,
		uint64_t slot)
{
	struct delays *delays = &worker->delays;
	struct delay_slot *list;

	if (slot - delays->slot >= DELAY_SLOTS)
		slot = delays->slot + DELAY_SLOTS - 1;
	list = &delays->slots[slot % DELAY_SLOTS];
	*packet_context(mbuf) =
		(struct packet_context){.port = port, .peer = from, .kind = CONTEXT_TRANSMIT};
	if (list->first)
		packet_context(list->last)->next_fragment = mbuf;
	else
		list->first = mbuf;
	list->last = mbuf;
	delays->count += mbuf->nb_segs;
}

uint64_t delays_next(const struct delays *delays, uint64_t now)
{
	uint64_t slot = delays->slot + 1, at;

	if (!delays->count)
		return UINT64_MAX;
	while (!delays->slots[slot % DELAY_SLOTS].first)
		slot++;
	at = slot << delays->shift;
	return at > now ? at - now : 0;
}
