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
#include "layer/external/external.h"
#include "layer/tunnel/tunnel.h"
#include "packet/family.h"
#include "packet/plain.h"
#include "packet/translate.h"
#include "port/offload.h"
#include "worker/forward_plain.h"
#include "worker/worker.h"

// In packets.
#define PREFETCH_AHEAD 4
#define JUDGE_AHEAD    6
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

// ---- step 1: what is it?

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
	hash = flow_hash(&worker->flows->secret, &packet->key);
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
		burst->plain[burst->count] = true;
		return DROP_NONE;
	}
	burst->plain[burst->count] = false;
	return packet_parse(frame, available, length, packet);
}

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
		burst->plain[burst->count] = true;
		burst_add(worker, mbuf, frame, (struct ingress){.port = port}, network);
	} else {
		burst->plain[burst->count] = false;
		receive_any(worker, mbuf, port, network);
	}
}

// What is behind the outer packet (padding) must not pass for inner payload.
static void cut(struct rte_mbuf *mbuf, uint32_t end)
{
	while (unlikely(mbuf->pkt_len > end)) {
		uint32_t surplus = mbuf->pkt_len - end, last = rte_pktmbuf_lastseg(mbuf)->data_len;

		// Trimming reaches into the last segment only, and an empty one would end it.
		if (surplus >= last && mbuf->nb_segs > 1) {
			struct rte_mbuf *before = mbuf;

			while (before->next->next)
				before = before->next;
			rte_pktmbuf_free_seg(before->next);
			before->next = NULL;
			mbuf->nb_segs--;
			mbuf->pkt_len -= last;
		} else {
			rte_pktmbuf_trim(mbuf, (uint16_t)surplus);
		}
	}
}

// What came as a large send in a tunnel was checked by where its headers must be: are they there?
static bool is_as_announced(const struct rte_mbuf *mbuf, const struct packet *packet)
{
	return packet->kind == PACKET_IP && packet->key.protocol == IPPROTO_TCP &&
	       packet->l3_offset == mbuf->l2_len &&
	       packet->l4_offset == mbuf->l2_len + mbuf->l3_len &&
	       packet->l3_offset + packet->ip_length == mbuf->pkt_len &&
	       ip_is_v4(&packet->source) == !!(mbuf->ol_flags & RTE_MBUF_F_TX_IPV4);
}

// What is not the tunnels' is for an address of ours on an external network, or the host's.
static void receive_beside(struct worker *worker, struct rte_mbuf *mbuf, enum drop_reason reason)
{
	struct burst *burst = &worker->burst;
	uint16_t network;

	switch (external_receive(worker, mbuf, &burst->packets[burst->count], &network)) {
	case EXTERNAL_PACKET:
		burst_add(worker, mbuf, rte_pktmbuf_mtod(mbuf, const uint8_t *),
			  (struct ingress){.port = PORT_UPLINK}, network);
		break;
	case EXTERNAL_NOT_OURS:
		underlay_to_host(worker, mbuf, reason);
		break;
	case EXTERNAL_DONE:
		break;
	}
}

// With several devices on one link, what this node sends to everybody comes back by those that do
// not send. A host would take it for another one with its addresses.
static bool is_own_frame(const struct worker *worker, const struct rte_mbuf *mbuf)
{
	return rte_pktmbuf_data_len(mbuf) >= ETHERNET_HEADER_SIZE &&
	       memcmp(rte_pktmbuf_mtod_offset(mbuf, const uint8_t *, 6),
		      worker->tables->underlay.mac.bytes, 6) == 0;
}

// From the underlay: outer headers off, then as any other.
static void receive_uplink(struct worker *worker, struct rte_mbuf *mbuf)
{
	struct burst *burst = &worker->burst;
	enum drop_reason reason = parse_next(burst, mbuf);
	struct packet *outer_packet = &burst->packets[burst->count];
	bool segments = mbuf->ol_flags & PACKET_SEGMENTATION;
	struct tunnel_outer outer;

	if (likely(reason == DROP_NONE)) {
		switch (tunnel_receive(worker->tables, outer_packet,
				       rte_pktmbuf_mtod(mbuf, const uint8_t *),
				       rte_pktmbuf_data_len(mbuf), &outer)) {
		case TUNNEL_INNER:
			cut(mbuf, outer.end);
			rte_pktmbuf_adj(mbuf, (uint16_t)outer.offset);
			if (unlikely(mbuf->ol_flags & PACKET_UNFINISHED))
				packet_decapsulate(mbuf, (uint16_t)outer.offset);
			reason = parse_next(burst, mbuf);
			// Of what passes here, or has passed, nothing is judged by these bits.
			if (unlikely(outer.ecn & ECN_ECT1) && reason == DROP_NONE)
				reason = tunnel_take_ecn(rte_pktmbuf_mtod(mbuf, uint8_t *),
							 outer.ecn);
			if (unlikely(segments && reason == DROP_NONE &&
				     !is_as_announced(mbuf, outer_packet)))
				reason = DROP_OFFLOAD;
			if (unlikely(outer_packet->l3_offset > ETHERNET_HEADER_SIZE) &&
			    !vlan_receive(worker, mbuf, outer_packet, PORT_UPLINK))
				return;
			if (likely(reason == DROP_NONE)) {
				struct ingress ingress = {.port = PORT_UPLINK, .peer = outer.peer};

				if (unlikely(relay_is(outer_packet))) {
					ingress.peer = 0;
					outer.network = relay_in(worker, outer_packet, outer.peer);
					if (!outer.network) {
						worker_drop(worker, mbuf, PORT_UPLINK,
							    DROP_TUNNEL_SOURCE);
						return;
					}
				}
				burst_add(worker, mbuf, outer_packet->destination_mac.bytes,
					  ingress, outer.network);
			} else {
				worker_drop(worker, mbuf, PORT_UPLINK, reason);
			}
			return;
		case TUNNEL_PATH_MTU:
			if (underlay_path_mtu(worker, mbuf, &outer))
				return;
			reason = DROP_NOT_FOR_US;
			break;
		case TUNNEL_NEIGHBOUR:
			if (is_own_frame(worker, mbuf))
				worker_drop(worker, mbuf, PORT_UPLINK, DROP_NOT_FOR_US);
			else
				underlay_receive(worker, mbuf, outer_packet);
			return;
		case TUNNEL_DROP:
			reason = outer.reason;
			break;
		}
		if (reason != DROP_NOT_FOR_US || is_own_frame(worker, mbuf)) {
			worker_drop(worker, mbuf, PORT_UPLINK, reason);
			return;
		}
		receive_beside(worker, mbuf, reason);
		return;
	}
	if (is_own_frame(worker, mbuf))
		worker_drop(worker, mbuf, PORT_UPLINK, DROP_NOT_FOR_US);
	else
		underlay_to_host(worker, mbuf, reason);
}

// ---- step 4: where to?

static inline void set_dscp(struct rte_mbuf *mbuf, const struct packet *packet,
			    const struct passage *passage, bool v4)
{
	if (passage->action.flags & FLOW_ACTION_MARK)
		ip_set_dscp(rte_pktmbuf_mtod(mbuf, uint8_t *) + packet->l3_offset, v4,
			    flow_action_dscp(passage->action.flags));
}

// Of what is not plain. False: it can't be, and nothing was done.
static bool rewrite_any(struct rte_mbuf *mbuf, const struct packet *packet,
			const struct passage *passage, const struct flow_key *back,
			unsigned int hops)
{
	uint8_t *data = rte_pktmbuf_mtod(mbuf, uint8_t *);
	bool v4 = ip_is_v4(&packet->source);

	if (back) {
		if (!translation_apply(mbuf, packet, back, hops))
			return false;
	} else if (hops && v4) {
		ipv4_decrement_ttl(data + packet->l3_offset);
	} else if (hops) {
		data[packet->l3_offset + 7]--;
	}
	set_dscp(mbuf, packet, passage, v4);
	return true;
}

// What the header's own fields become: one hop less, other addresses and ports, another mark.
// DROP_NONE, or why it is to be dropped.
static inline enum drop_reason rewrite(struct worker *worker, struct rte_mbuf *mbuf,
				       const struct packet *packet, const struct passage *passage)
{
	uint16_t flags = passage->action.flags;
	struct rewrite rewrite = {
		.unfinished = mbuf->ol_flags & PACKET_UNFINISHED,
		.hops = flags & FLOW_ACTION_ROUTE ? 1 : 0,
		.mark = flags & FLOW_ACTION_MARK ? flow_action_dscp(flags) : REWRITE_NO_MARK,
	};

	if (flags & FLOW_ACTION_TRANSLATE) {
		rewrite.back = &passage->flow->direction[!passage->direction].key;
		if (unlikely(worker->trace))
			translation_say(worker, packet, rewrite.back);
		// What messages say of addresses is of one family.
		if (unlikely(flags & FLOW_ACTION_FAMILY)) {
			if (!translation_change_family(mbuf, packet, rewrite.back, rewrite.hops))
				return DROP_TRANSLATION_UNFIT;
			set_dscp(mbuf, packet, passage, !ip_is_v4(&packet->source));
			return DROP_NONE;
		}
		if (unlikely(flags & FLOW_ACTION_HELPED) &&
		    !helper_apply(worker, mbuf, packet, passage,
				  worker->tables->endpoints[passage->action.destination].mtu))
			return DROP_HELPER;
	}
	if (likely(packet_is_plain(packet))) {
		packet_rewrite_plain(rte_pktmbuf_mtod(mbuf, uint8_t *), packet, &rewrite);
		return DROP_NONE;
	}
	return rewrite_any(mbuf, packet, passage, rewrite.back, rewrite.hops)
		       ? DROP_NONE
		       : DROP_TRANSLATION_UNFIT;
}

// The MAC address of a next hop on the uplink. False: the packet waits for it.
static inline bool find_next_hop(struct worker *worker, struct rte_mbuf *mbuf,
				 const struct packet *packet, const struct passage *passage,
				 struct neighbour *neighbour, struct mac_address *mac)
{
	if (unlikely(worker->trace)) {
		*mac = neighbour_known(neighbour);
		worker_say(worker, "next-hop", "%s",
			   mac_is_zero(mac) ? "its MAC address is not known yet: "
					      "the packet waits for it"
					    : "its MAC address is known");
		return true;
	}
	if (likely(neighbour_mac(&worker->engine->neighbours, neighbour, mac) &&
		   !(worker->held_count && hold_has(worker, neighbour))))
		return true;
	hold_packet(worker, mbuf, packet, passage->ingress, neighbour, &passage->hash);
	return false;
}

static void forward(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
		    const struct passage *passage)
{
	const struct tables *tables = worker->tables;
	const struct flow_action action = passage->action;

	if (action.flags) {
		const struct endpoint *endpoint = &tables->endpoints[action.destination];
		uint8_t *data;
		uint32_t size = packet_wire_size(mbuf) - packet->l3_offset;
		const struct external_hop *router = NULL;
		struct mac_address next_hop;
		uint32_t mtu = endpoint->mtu;
		enum drop_reason reason;

		// As it is received.
		if (unlikely(action.flags & FLOW_ACTION_FAMILY))
			mtu = translation_family_mtu(mbuf, packet, mtu);
		if (unlikely(size > mtu)) {
			size_exceeded(worker, mbuf, packet, passage, mtu);
			return;
		}
		// Before anything is changed: a held packet comes back as it was.
		if (action.flags & FLOW_ACTION_TUNNEL) {
			const struct peer *peer = &tables->peers[endpoint->peer];
			struct neighbour *neighbour = peer->next_hop;

			if (unlikely(size + peer->header_size >
				     atomic_load_explicit(&peer->path->path_mtu,
							  memory_order_relaxed)) &&
			    size_exceeds_path(worker, mbuf, packet, passage))
				return;
			if (!find_next_hop(worker, mbuf, packet, passage, neighbour, &next_hop))
				return;
			if (unlikely(mbuf->ol_flags & PACKET_SEGMENTATION))
				atomic_store_explicit(&neighbour->whole, worker->now,
						      memory_order_relaxed);
		} else if (unlikely(action.flags & FLOW_ACTION_EXTERNAL)) {
			router = external_hop_of(tables, endpoint);
			if (!find_next_hop(worker, mbuf, packet, passage, router->neighbour,
					   &next_hop))
				return;
		}
		if (unlikely((action.flags & FLOW_ACTION_ROUTE) && packet->ttl <= 1)) {
			worker_reject(worker, mbuf, packet, passage->ingress, DROP_TTL);
			return;
		}
		if (action.flags & FORWARD_PLAIN_REWRITES) {
			reason = rewrite(worker, mbuf, packet, passage);
			if (unlikely(reason != DROP_NONE)) {
				worker_drop(worker, mbuf, passage->ingress.port, reason);
				return;
			}
		}
		data = rte_pktmbuf_mtod(mbuf, uint8_t *);
		if (action.flags & FLOW_ACTION_ROUTE) {
			memcpy(data, &endpoint->mac, 6);
			memcpy(data + 6, &endpoint->gateway_mac, 6);
		}
		if (action.flags & FLOW_ACTION_TUNNEL) {
			reason = tunnel_encapsulate(tables, endpoint, next_hop, mbuf,
						    passage->hash.bucket);
			if (unlikely(reason != DROP_NONE)) {
				worker_drop(worker, mbuf, passage->ingress.port, reason);
				return;
			}
		} else if (unlikely(router)) {
			memcpy(data, &next_hop, 6);
			if (router->vlan && !vlan_insert(mbuf, router->vlan)) {
				worker_drop(worker, mbuf, passage->ingress.port, DROP_NO_BUFFER);
				return;
			}
		}
	}
	if (unlikely(action.flags & FLOW_ACTION_LIMIT))
		qos_leave(worker, mbuf, passage);
	else
		transmit_add(worker, mbuf, action.port);
}

void fast_path_forward(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
		       const struct passage *passage)
{
	if (unlikely(mbuf->ol_flags & MBUF_DATAGRAM))
		fragments_forward(worker, mbuf, packet, passage);
	else
		forward(worker, mbuf, packet, passage);
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
				if (likely(burst->plain[i]) &&
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
					forward(worker, burst->mbufs[i], packet, &passage);
			} else
				transmit_add(worker, burst->mbufs[i], action.port);
			continue;
		}
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
}

// ---- a burst

static void burst_run(struct worker *worker)
{
	struct burst *burst = &worker->burst;

	// A trace must not account.
	if (unlikely(worker->trace)) {
		for (uint32_t i = 0; i < burst->count; i++)
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
