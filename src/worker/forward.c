// The last step of the fast path, of any packet that may pass: rewriting, and to the port's others.
// The usual ones don't come here (forward_plain.h).

#include "layer/external/external.h"
#include "layer/tunnel/tunnel.h"
#include "packet/family.h"
#include "packet/translate.h"
#include "port/offload.h"
#include "worker/forward_plain.h"
#include "worker/worker.h"

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

void forward_any(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
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
		forward_any(worker, mbuf, packet, passage);
}
