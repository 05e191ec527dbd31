// Networks outside: on the uplink beside the tunnels, with or without a tag. What this node needs
// of them: the addresses that are its own there, so that it answers for them; the routers that
// Routes lead to; and the subnets inside that are known there as they are.

#pragma once

#include "layer/tunnel/neighbour.h"
#include "layer/walk.h"

extern const struct layer external_source_layer;
extern const struct layer external_layer;

// Of an external network: addresses for which this node answers ARP and ND, or a subnet inside that
// is known there.
struct external_prefix {
	uint16_t network;    // number of the external one
	uint16_t domain;     // of the subnet inside
	uint32_t generation; // of the tables with which the addresses came to this node
	bool shared;	     // other nodes have them, too
	uint32_t share;	     // then index + 1, or 0: others answer ARP and ND for them
	struct ip_prefix prefix;
};

// By network, then as prefix_compare; they do not overlap.
struct external_prefixes {
	struct external_prefix *list;
	uint32_t count;
};

// A router there. Its endpoint has the MAC addresses, the MTU and the network.
struct external_hop {
	uint16_t network;
	uint16_t vlan;
	struct ip_address address;
	struct ip_address own; // from which it is asked for
	struct neighbour *neighbour;
};

// Another node there, by its own address.
struct external_watched {
	uint16_t network;
	struct ip_address address;
	struct ip_address own; // from which it is asked for
	struct neighbour *neighbour;
	uint16_t peer;
};

// Addresses in a subnet there that several nodes have. Of those with an own address in it, the
// first one that is there answers for them; this node watches those before it.
struct external_share {
	uint16_t network;
	struct ip_prefix subnet;
	uint32_t first; // of those before it, among the watched
	uint32_t count;
};

// Who is outside, for Ports in a network inside: by way of another node, which leads connections
// from there to members of LoadBalancers.
struct external_behind {
	uint16_t network;
	uint16_t peer;
};

struct externals {
	struct lookup by_vlan; // (VLAN) to the number of the network that this node is in there
	uint16_t untagged;     // that of the one without a VLAN; 0: none
	struct external_prefixes claims;
	struct external_prefixes inside;
	struct lookup by_hop;  // (network, address) to index + 1
	struct lookup members; // external_member_key to 1: the other nodes that are in a network
	struct external_hop *hops;
	uint32_t hop_count;
	struct lookup by_watched; // (network, address) to index + 1
	struct external_watched *watched;
	uint32_t watched_count;
	struct external_share *shares;
	uint32_t share_count;
	struct lookup by_behind; // (network, peer) to index + 1
	struct external_behind *behinds;
	uint32_t behind_count;
	uint32_t first_endpoint; // of the hops, in their order; then those of the nodes behind
};

static inline struct lookup_key external_member_key(uint16_t network, uint32_t peer, bool v4)
{
	return (struct lookup_key){{network, peer, v4}};
}

// NULL: this node does not answer for the address there.
const struct external_prefix *external_find_claim(const struct tables *tables, uint16_t network,
						  const struct ip_address *address);

// Is this node the first of the share that is there?
bool external_share_is_ours(const struct externals *externals, const struct external_share *share);

// Does this node answer ARP and ND for the claim's addresses now?
bool external_answers(const struct tables *tables, const struct external_prefix *claim);

// Has a node that came before this one for the claim's addresses fallen silent later than that?
bool external_fell_silent(const struct tables *tables, const struct external_prefix *claim,
			  uint32_t second);

// The other node there, or NULL: no one is watched by that address.
const struct external_watched *external_find_watched(const struct tables *tables, uint16_t network,
						     const struct ip_address *address);

// The domain inside in which the address is, where it is known outside; or 0.
uint16_t external_find_inside(const struct tables *tables, uint16_t network,
			      const struct ip_address *address);

// The network that this node is in in that VLAN (0: without a tag), or NULL.
const struct network *external_of_vlan(const struct tables *tables, uint16_t vlan);

// Has this node a part in it?
static inline bool external_is_here(const struct tables *tables, const struct network *network)
{
	return network->external && external_of_vlan(tables, network->vlan) == network;
}

// Is the node (its number among peers) in that network, with an address of its own of that family?
static inline bool external_has_part(const struct tables *tables, uint16_t network, uint16_t peer,
				     const struct ip_address *family)
{
	return lookup_find(&tables->externals->members,
			   external_member_key(network, peer, ip_is_v4(family)));
}

// What the endpoint of a router says beside; `endpoint` has the flag `external`.
static inline const struct external_hop *external_hop_of(const struct tables *tables,
							 const struct endpoint *endpoint)
{
	return &tables->externals
			->hops[endpoint - tables->endpoints - tables->externals->first_endpoint];
}

// Was it asked, and has not answered?
static inline bool external_hop_is_down(const struct external_hop *hop)
{
	return atomic_load_explicit(&hop->neighbour->down, memory_order_relaxed);
}

// The endpoint by which who is outside is reached from the network by way of the node, or 0.
uint32_t external_find_behind(const struct tables *tables, uint16_t network, uint16_t peer);

// The node that has brought a packet which may be from outside, or 0.
static inline uint16_t external_brought_by(const struct tables *tables, struct ingress ingress)
{
	return tables->externals->behind_count && ingress.port == PORT_UPLINK ? ingress.peer : 0;
}

// The same of a connection, by its first packet.
static inline uint16_t flow_brought_by(const struct tables *tables, const struct flow *flow)
{
	return external_brought_by(tables,
				   flow_ingress_get(flow->direction[FLOW_ORIGINAL].ingress));
}

// Is it a reply to who is outside, and has opened the connection by this node?
static inline bool external_is_answer(const struct walk *walk)
{
	const struct network *network = walk->reply && walk->other
						? tables_network(walk->tables, walk->other->network)
						: NULL;

	return network && network->external;
}

static inline uint32_t external_endpoint_count(const struct externals *externals)
{
	return externals->hop_count + externals->behind_count;
}

// The router's endpoint, or 0 where this node can't reach it.
uint32_t external_find_hop(const struct tables *tables, uint16_t network,
			   const struct ip_address *address);
