// The first step of the fast path for what comes by the uplink: outer headers off; what is not the
// tunnels' is for an address of ours on an external network, or the host's.

#pragma once

#include "layer/external/external.h"
#include "layer/tunnel/tunnel.h"
#include "port/offload.h"
#include "worker/burst.h"

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

// The usual packet from outside is of a connection that lives, which says all about it: so it is
// looked up first, and the rest is asked if that has failed (outside_is_ours). False: it may be
// something else, and nothing was done.
static inline bool receive_outside(struct worker *worker, struct rte_mbuf *mbuf)
{
	const struct tables *tables = worker->tables;
	struct burst *burst = &worker->burst;
	const struct packet *packet = &burst->packets[burst->count];
	uint16_t network = tables->externals->untagged;
	uint64_t own = mac_number(&tables->underlay.mac);

	if (!network || packet->key.destination_port == htons(VXLAN_PORT) ||
	    mac_number(&packet->destination_mac) != own || mac_number(&packet->source_mac) == own)
		return false;
	burst->forms[burst->count] = BURST_OUTSIDE;
	burst_add(worker, mbuf, rte_pktmbuf_mtod(mbuf, const uint8_t *),
		  (struct ingress){.port = PORT_UPLINK}, network);
	return true;
}

// Of a BURST_OUTSIDE. False: it was for somebody else, and is gone there.
static __attribute__((noinline)) bool outside_is_ours(struct worker *worker, uint32_t place)
{
	struct burst *burst = &worker->burst;
	uint16_t network;

	switch (external_receive(worker, burst->mbufs[place], &burst->packets[place], &network)) {
	case EXTERNAL_PACKET:
		return true;
	case EXTERNAL_NOT_OURS:
		underlay_to_host(worker, burst->mbufs[place], DROP_NOT_FOR_US);
		break;
	case EXTERNAL_DONE:
		break;
	}
	return false;
}

// From the underlay: outer headers off, then as any other.
static void receive_uplink(struct worker *worker, struct rte_mbuf *mbuf)
{
	struct burst *burst = &worker->burst;
	enum drop_reason reason = parse_next(burst, mbuf);
	struct packet *outer_packet = &burst->packets[burst->count];
	bool segments = mbuf->ol_flags & PACKET_SEGMENTATION;
	struct tunnel_outer outer;

	if (likely(burst->forms[burst->count] == BURST_PLAIN) && receive_outside(worker, mbuf))
		return;
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
