// The first two steps of the fast path (fast_path.c), of whatever port a packet came from: its
// place in the burst, what is asked of memory for it, and who it may be.

#pragma once

#include "packet/plain.h"
#include "worker/worker.h"

// Memory that is asked for ahead may need a walk through page tables, for which the CPU waits
// before it goes on. Several questions in a row wait together.
#define TOGETHER 8u
#ifndef LOOK_UP_BEHIND // bench/pipeline has its own
#define LOOK_UP_BEHIND 8u
#endif

// ---- step 2: who may it be?

// A packet that opens a connection, most likely: the reply's key is this one, where it comes in the
// same network, and will be entered, too.
static __attribute__((noinline)) void expect_opening(struct worker *worker, uint32_t place)
{
	const struct flow_key *key = &worker->burst.packets[place].key;
	struct flow_key reply = flow_key_reverse(key, key->network);

	// Both keys have the same owner.
	if (flow_table_owner(worker->flows, worker->burst.hashes[place]) == worker->index)
		flow_table_expect(worker->flows, flow_hash(&worker->flows->secret, &reply));
}

// The bucket is in the cache by now; the connection comes.
static inline void look_up(struct worker *worker, uint32_t place)
{
	struct burst *burst = &worker->burst;

	burst->references[place] = flow_table_candidate(worker->flows, burst->buckets[place],
							burst->hashes[place].signature);
	if (unlikely(!burst->references[place]))
		expect_opening(worker, place);
	// By the other direction's key packets are translated.
	else if (worker->tables->translates)
		rte_prefetch0(&flow_table_get(worker->flows, burst->references[place])
				       ->direction[!(burst->references[place] & 1)]);
}

static inline void burst_look_up_some(struct worker *worker, uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i < to; i++)
		look_up(worker, i);
}

static inline void burst_expect(const struct burst *burst, uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i < to; i++)
		rte_prefetch0(burst->buckets[i]);
}

// The rest of the burst.
static void burst_look_up(struct worker *worker)
{
	struct burst *burst = &worker->burst;
	uint32_t whole = burst->count - burst->count % TOGETHER;

	burst_expect(burst, whole, burst->count);
	burst_look_up_some(worker, RTE_MAX(whole, LOOK_UP_BEHIND) - LOOK_UP_BEHIND, burst->count);
}

// Takes a packet into the burst that is parsed in its place there; `network` and `ingress` are
// known; `frame` starts with its MAC addresses.
static inline void burst_add(struct worker *worker, struct rte_mbuf *mbuf, const uint8_t *frame,
			     struct ingress ingress, uint16_t network)
{
	struct burst *burst = &worker->burst;
	uint32_t place = burst->count;
	struct packet *packet = &burst->packets[place];
	struct flow_hash hash;

	packet->key.network = network;
	hash = worker_hash(worker, packet);
	burst->buckets[place] = flow_table_bucket(worker->flows, hash);
	burst->hashes[place] = hash;
	burst->ingress[place] = flow_ingress_make(ingress, (const struct mac_address *)frame,
						  (const struct mac_address *)(frame + 6));
	burst->mbufs[place] = mbuf;
	burst->count = place + 1;
	if (burst->count % TOGETHER)
		return;
	burst_expect(burst, burst->count - TOGETHER, burst->count);
	if (burst->count > LOOK_UP_BEHIND)
		burst_look_up_some(worker, burst->count - TOGETHER - LOOK_UP_BEHIND,
				   burst->count - LOOK_UP_BEHIND);
}

// Into the next place of the burst.
static inline enum drop_reason parse_next(struct burst *burst, struct rte_mbuf *mbuf)
{
	const uint8_t *frame = rte_pktmbuf_mtod(mbuf, const uint8_t *);
	uint32_t available = rte_pktmbuf_data_len(mbuf), length = mbuf->pkt_len;
	struct packet *packet = &burst->packets[burst->count];

	if (likely(packet_parse_plain(frame, available, length, packet))) {
		burst->forms[burst->count] = BURST_PLAIN;
		return DROP_NONE;
	}
	burst->forms[burst->count] = BURST_ANY;
	return packet_parse(frame, available, length, packet);
}
