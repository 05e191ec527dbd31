// The fast path: a burst of packets goes through steps, so that their memory accesses overlap. What
// is not a plain packet of a known connection takes the slow path from the last step, in its place
// in the order.
//
// step 1  what is it?              headers to a key, its hash; the bucket is asked for
// step 2  who may it be?           the bucket's candidate; its connection is asked for
// step 3  is it, and may it pass?  the key, where it comes from, the generation; accounting
// step 4  where to?                rewriting, and to the port's others
//
// Step 2 follows some packets behind step 1, and some packets at a time: memory answers so many
// questions at once, and a burst's worth of them would have to wait.

#include "flow/state.h"
#include "packet/plain.h"
#include "port/offload.h"
#include "worker/burst.h"
#include "worker/forward_plain.h"
#include "worker/receive_uplink.h"
#include "worker/worker.h"

// In packets.
#define PREFETCH_AHEAD 4
#define JUDGE_AHEAD    6

// ---- step 1: what is it? (and burst.h, receive_uplink.h)

static uint16_t port_network(const struct tables *tables, uint16_t port)
{
	return tables->endpoints[tables->ports[port].endpoint].network;
}

// Any frame of a workload's. What is behind the IP packet counts for the size too: a frame may be
// padded to any length, and no device must be given more than it was opened for.
static __attribute__((noinline)) void receive_any(struct worker *worker, struct rte_mbuf *mbuf,
						  uint16_t port, uint16_t network)
{
	struct burst *burst = &worker->burst;
	struct packet *packet = &burst->packets[burst->count];
	enum drop_reason reason = packet_parse(rte_pktmbuf_mtod(mbuf, const uint8_t *),
					       rte_pktmbuf_data_len(mbuf), mbuf->pkt_len, packet);

	if (unlikely(packet->l3_offset > ETHERNET_HEADER_SIZE)) {
		port = vlan_receive(worker, mbuf, packet, port);
		if (!port)
			return;
		network = port_network(worker->tables, port);
	}
	if (unlikely(reason != DROP_NONE)) {
		worker_drop(worker, mbuf, port, reason);
		return;
	}
	if (unlikely(packet_wire_size(mbuf) - packet->l3_offset >
		     worker->tables->networks[network].mtu)) {
		if (packet->kind != PACKET_IP && packet->kind != PACKET_FRAGMENT) {
			worker_drop(worker, mbuf, port, DROP_TOO_BIG);
			return;
		}
		// Cut or refused on the slow path, in its place in the order.
		packet->kind = PACKET_OVERSIZE;
	}
	burst_add(worker, mbuf, packet->destination_mac.bytes, (struct ingress){.port = port},
		  network);
}

// From a workload; `size_max` is what a frame of its network may have. The usual packet first.
static inline void receive_local(struct worker *worker, struct rte_mbuf *mbuf, uint16_t port,
				 uint16_t network, uint32_t size_max)
{
	const uint8_t *frame = rte_pktmbuf_mtod(mbuf, const uint8_t *);
	struct burst *burst = &worker->burst;

	if (likely(!(mbuf->ol_flags & PACKET_SEGMENTATION) && mbuf->pkt_len <= size_max &&
		   packet_parse_plain(frame, rte_pktmbuf_data_len(mbuf), mbuf->pkt_len,
				      &burst->packets[burst->count]))) {
		burst->forms[burst->count] = BURST_PLAIN;
		burst_add(worker, mbuf, frame, (struct ingress){.port = port}, network);
	} else {
		burst->forms[burst->count] = BURST_ANY;
		receive_any(worker, mbuf, port, network);
	}
}

// ---- step 3: is it, and may it pass?

static inline bool is_of(const struct flow_direction *direction, const struct packet *packet,
			 flow_ingress ingress)
{
	return flow_key_equal(&direction->key, &packet->key) && direction->ingress == ingress;
}

// True: what was decided about the connection holds for the packet, which is accounted.
static inline bool account(struct worker *worker, struct flow *flow, flow_reference reference,
			   const struct packet *packet, uint32_t generation,
			   struct flow_action *action)
{
	const struct flow_direction *direction = &flow->direction[reference & 1];
	uint32_t before = atomic_load_explicit(&direction->generation, memory_order_acquire);

	// The owner may be changing it: the action belongs to a generation that is the same before
	// and after.
	*action = flow_action_get(direction);
	return before == generation && likely(!(action->flags & FLOW_ACTION_HELPED)) &&
	       atomic_load_explicit(&direction->generation, memory_order_relaxed) == before &&
	       flow_account_packet(&worker->flows->charges, &flow->account, reference & 1, packet,
				   packet->length, worker->now) == FLOW_GOES_ON;
}

// What is changed when a packet's connection is judged anew, of both directions, comes near some
// packets ahead. Until the first one is met, nobody knows that there are any.
static void expect_judging(const struct worker *worker, uint32_t from, uint32_t to)
{
	const struct burst *burst = &worker->burst;

	for (uint32_t i = from; i < to && i < burst->count; i++)
		if (burst->references[i])
			rte_prefetch0(&flow_table_get(worker->flows, burst->references[i])
					       ->direction[!(burst->references[i] & 1)]);
}

// Steps 3 and 4 of all packets.
static void burst_apply(struct worker *worker)
{
	struct burst *burst = &worker->burst;
	uint32_t generation = worker->tables->generation, count = burst->count, near = 0;

	for (uint32_t i = 0; i < count; i++) {
		const struct packet *packet = &burst->packets[i];
		flow_reference reference = burst->references[i];
		struct flow *flow = flow_table_get(worker->flows, reference);
		struct flow_action action;
		bool known = likely(reference && packet->kind == PACKET_IP) &&
			     is_of(&flow->direction[reference & 1], packet, burst->ingress[i]);

		// Another key has the same signature, or it found no room in its bucket, or a
		// packet before has opened it.
		if (unlikely(!known && packet->kind == PACKET_IP)) {
			reference = flow_table_find(worker->flows, &packet->key, burst->hashes[i]);
			flow = flow_table_get(worker->flows, reference);
			known = reference &&
				is_of(&flow->direction[reference & 1], packet, burst->ingress[i]);
		}
		if (likely(known &&
			   account(worker, flow, reference, packet, generation, &action))) {
			if (action.flags) {
				if (likely(burst->forms[i] != BURST_ANY) &&
				    likely(!(action.flags & FORWARD_PLAIN_NOT)) &&
				    likely(forward_plain(worker, burst->mbufs[i], packet,
							 burst->ingress[i], flow, reference & 1,
							 action)))
					continue;
				struct passage passage = {
					.ingress = flow_ingress_get(burst->ingress[i]),
					.action = action,
					.hash = burst->hashes[i],
					.flow = flow,
					.direction = reference & 1,
				};

				if (qos_passes_flow(worker, burst->mbufs[i], packet, &passage))
					forward_any(worker, burst->mbufs[i], packet, &passage);
			} else
				transmit_add(worker, burst->mbufs[i], action.port);
			continue;
		}
		if (unlikely(burst->forms[i] == BURST_OUTSIDE) && !outside_is_ours(worker, i))
			continue;
		if (unlikely(packet->kind != PACKET_IP)) {
			slow_path(worker, burst->mbufs[i], packet,
				  flow_ingress_get(burst->ingress[i]), burst->hashes[i]);
			continue;
		}
		if (known) {
			expect_judging(worker, RTE_MAX(near, i), i + JUDGE_AHEAD);
			near = i + JUDGE_AHEAD;
			// A packet before has ended it.
			if (unlikely(!flow_has(&flow->account, FLOW_LIVE)))
				reference = flow_table_find(worker->flows, &packet->key,
							    burst->hashes[i]);
		}
		slow_path_found(worker, burst->mbufs[i], packet,
				flow_ingress_get(burst->ingress[i]), burst->hashes[i], reference);
	}
	burst->count = 0;
	worker->credit.most = 0;
	if (worker->credit.way)
		credit_settle(worker);
}

// ---- a burst

static void burst_run(struct worker *worker)
{
	struct burst *burst = &worker->burst;

	// A trace must not account.
	if (unlikely(worker->trace)) {
		for (uint32_t i = 0; i < burst->count; i++)
			if (burst->forms[i] != BURST_OUTSIDE || outside_is_ours(worker, i))
				slow_path(worker, burst->mbufs[i], &burst->packets[i],
					  flow_ingress_get(burst->ingress[i]), burst->hashes[i]);
		burst->count = 0;
		return;
	}
	burst_look_up(worker);
	burst_apply(worker);
}

// Step 1, and step 2 for most, of a burst from a port.
static void burst_receive(struct worker *worker, const struct poll_entry *from,
			  struct rte_mbuf **mbufs, uint32_t count)
{
	struct port_counters *counters = worker_counters(worker, from->port);
	uint32_t size_max = 0;
	uint16_t network = 0;
	uint64_t bytes = 0;

	if (from->port != PORT_UPLINK) {
		network = port_network(worker->tables, from->port);
		size_max = worker->tables->networks[network].mtu + ETHERNET_HEADER_SIZE;
	}
	for (uint32_t i = 0; i < PREFETCH_AHEAD && i < count; i++)
		rte_prefetch0(rte_pktmbuf_mtod(mbufs[i], const void *));
	for (uint32_t i = 0; i < count; i++) {
		if (i + PREFETCH_AHEAD < count)
			rte_prefetch0(rte_pktmbuf_mtod(mbufs[i + PREFETCH_AHEAD], const void *));
		bytes += mbufs[i]->pkt_len;
		if (from->port == PORT_UPLINK)
			receive_uplink(worker, mbufs[i]);
		else
			receive_local(worker, mbufs[i], from->port, network, size_max);
	}
	counters->rx_packets += count - worker->burst.elsewhere_packets;
	worker->credit.most = (uint32_t)RTE_MIN(bytes, (uint64_t)METER_BYTES_MAX);
	counters->rx_bytes += bytes - worker->burst.elsewhere_bytes;
	worker->burst.elsewhere_packets = 0;
	worker->burst.elsewhere_bytes = 0;
}

static void receive_from_host(struct worker *worker, struct rte_mbuf **mbufs, uint32_t count)
{
	struct port_counters *counters = worker_counters(worker, PORT_HOST);

	for (uint32_t i = 0; i < count; i++)
		counters->rx_bytes += mbufs[i]->pkt_len;
	counters->rx_packets += count;
	underlay_from_host(worker, mbufs, count);
}

void fast_path_receive(struct worker *worker, const struct poll_entry *from,
		       struct rte_mbuf **mbufs, uint32_t count)
{
	if (unlikely(worker->captures))
		capture_received(worker, from->port, mbufs, count);
	if (unlikely(from->port == PORT_HOST)) {
		receive_from_host(worker, mbufs, count);
		return;
	}
	burst_receive(worker, from, mbufs, count);
	count = worker->burst.count;
	burst_run(worker);
	if (unlikely(from->offload))
		offload_sample(worker, count);
}

// Packets that were put aside or come from another worker: counted as received already, outer
// headers off.
void fast_path_again(struct worker *worker, struct rte_mbuf **mbufs, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		struct packet_context context = *packet_context(mbufs[i]);
		struct ingress ingress = {.port = context.port, .peer = context.peer};
		enum drop_reason reason;

		// Its port may have gone meanwhile.
		if (context.port >= worker->tables->port_count ||
		    !worker->tables->ports[context.port].counters) {
			rte_pktmbuf_free(mbufs[i]);
			continue;
		}
		reason = parse_next(&worker->burst, mbufs[i]);
		if (reason != DROP_NONE)
			worker_drop(worker, mbufs[i], context.port, reason);
		else if (ingress.port != PORT_UPLINK || ingress.peer ||
			 !relay_out(worker, mbufs[i], &worker->burst.packets[worker->burst.count],
				    context.network))
			burst_add(worker, mbufs[i], rte_pktmbuf_mtod(mbufs[i], const uint8_t *),
				  ingress, context.network);
	}
	burst_run(worker);
}
