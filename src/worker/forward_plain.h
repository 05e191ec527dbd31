// The usual packet of a connection that is routed, translated, limited or marked: from its action
// to the port's others, with each thing looked at once. Whatever is not usual about it is left to
// forward_any, which knows of all.

#pragma once

#include "layer/external/external.h"
#include "layer/qos/qos.h"
#include "packet/translate.h"
#include "port/offload.h"
#include "worker/worker.h"

#define FORWARD_PLAIN_NOT (FLOW_ACTION_TUNNEL | FLOW_ACTION_FAMILY | FLOW_ACTION_HELPED)
// What changes the packet's own headers.
#define FORWARD_PLAIN_REWRITES (FLOW_ACTION_ROUTE | FLOW_ACTION_TRANSLATE | FLOW_ACTION_MARK)

_Static_assert(offsetof(struct endpoint, mac) == 0 && offsetof(struct endpoint, gateway_mac) == 6,
	       "both MAC addresses are as in a frame");

// The MAC address of a router outside, where nothing waits for it or needs a tag.
static inline bool find_router(struct worker *worker, uint32_t endpoint, struct mac_address *mac)
{
	const struct externals *externals = worker->tables->externals;
	const struct external_hop *hop = &externals->hops[endpoint - externals->first_endpoint];

	return !hop->vlan && !worker->held_count &&
	       neighbour_mac(&worker->engine->neighbours, hop->neighbour, mac);
}

static inline bool may_leave(struct worker *worker, uint32_t bytes, uint16_t from, uint16_t to)
{
	struct credit *credit = &worker->credit;

	if (unlikely(credit->way != credit_way(from, to) || bytes > credit->left))
		return credit_take(worker, from, to, bytes);
	credit->left -= bytes;
	credit->packets++;
	return true;
}

// Of a packet of a plain form that has been accounted, whose action has nothing of
// FORWARD_PLAIN_NOT. False: nothing was done.
static inline bool forward_plain(struct worker *worker, struct rte_mbuf *mbuf,
				 const struct packet *packet, flow_ingress ingress,
				 const struct flow *flow, unsigned int direction,
				 struct flow_action action)
{
	const struct endpoint *endpoint = &worker->tables->endpoints[action.destination];
	uint8_t *data = rte_pktmbuf_mtod(mbuf, uint8_t *);
	uint64_t features = mbuf->ol_flags;
	struct mac_address router;
	struct rewrite rewrite = {
		.unfinished = features & PACKET_UNFINISHED,
		.hops = action.flags & FLOW_ACTION_ROUTE,
		.mark = REWRITE_NO_MARK,
	};

	if (unlikely(features & (PACKET_SEGMENTATION | MBUF_DATAGRAM)))
		return false;
	if (rewrite.hops) {
		if (unlikely(packet->ttl <= 1 ||
			     packet->length - ETHERNET_HEADER_SIZE > endpoint->mtu))
			return false;
		if ((action.flags & FLOW_ACTION_EXTERNAL) &&
		    unlikely(!find_router(worker, action.destination, &router)))
			return false;
	}
	if ((action.flags & FLOW_ACTION_LIMIT) &&
	    unlikely(!may_leave(worker, packet->ip_length, flow_ingress_get(ingress).port,
				action.port)))
		return false;
	if (action.flags & FORWARD_PLAIN_REWRITES) {
		if (rewrite.hops) {
			memcpy(data, endpoint, 12);
			if (action.flags & FLOW_ACTION_EXTERNAL)
				memcpy(data, &router, sizeof(router));
		}
		if (action.flags & FLOW_ACTION_TRANSLATE)
			rewrite.back = &flow->direction[!direction].key;
		if (action.flags & FLOW_ACTION_MARK)
			rewrite.mark = flow_action_dscp(action.flags);
		packet_rewrite_plain(data, packet, &rewrite);
	}
	transmit_add(worker, mbuf, action.port);
	return true;
}
