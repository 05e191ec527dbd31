// One packet for several receivers: multicast, broadcast, unknown unicast, and what Sluice itself
// says to all of a network.
//
// No flow is made for such a packet. It is judged for itself: the sender's port security and egress
// rules once, then each receiver's ingress rules, and each gets a copy of its own; a node with
// ports in the network gets one through the tunnel, and serves its own ports only. A network's
// multicast and broadcast is replicated by one worker, unknown unicast by the worker that would own
// the connection: each in its order, a bounded number of copies in a turn of the loop.

#pragma once

#include "base/rate_limit.h"
#include "flow/hash.h"
#include "layer/walk.h"

#define REPLICATIONS_MAX 256 // packets that wait for the rest of their copies
#define COPIES_A_TURN	 512

struct worker;

enum replication_receivers {
	REPLICATE_LOCAL = 1,
	REPLICATE_REMOTE = 2,
	// Only the members of the group that is the packet's destination.
	REPLICATE_MEMBERS = 4,
	// Sluice says it: nobody's policy is asked.
	REPLICATE_OWN = 8,
};

struct replication {
	struct rte_mbuf *mbuf;
	struct packet packet;
	struct ingress ingress; // port 0: made by Sluice
	struct flow_hash hash;
	uint32_t receivers; // enum replication_receivers
	uint32_t next;	    // receivers below were served: port number, then 0x10000 + node number
	bool served;	    // somebody was to have it
	bool given;	    // somebody got it
	bool last;	    // there are no more receivers
	uint16_t refused_at;
	enum drop_reason refused; // by the last receiver that did
};

struct replicator {
	struct replication queue[REPLICATIONS_MAX];
	uint32_t first;
	uint32_t count;
	uint32_t budget;	   // copies left in this turn
	struct rate_limit *limits; // by port number
};

// False without memory.
bool replicator_open(struct replicator *replicator);
void replicator_close(struct replicator *replicator);

// A packet with a multicast MAC address, or one with a MAC address that nobody has. Takes the mbuf
// over.
void replicate(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
	       struct ingress ingress, struct flow_hash hash);

// Gives a frame of Sluice's own making to all local ports of the network, to all of its nodes, or
// to both; `except` is a local port that doesn't get it, or 0. Takes the mbuf over. A node whose
// MAC address is not known yet is left out: whoever sends such a frame says it again.
void replicate_own(struct worker *worker, struct rte_mbuf *mbuf, uint16_t network,
		   uint32_t receivers, uint16_t except);

// Takes `packets` from what the port may send; the network's rate is not 0.
bool replicate_within_rate(struct worker *worker, const struct network *network, uint16_t port,
			   uint32_t packets);

// In each turn of the loop. Returns how many packets there were to work on.
uint32_t replicate_turn(struct worker *worker);

// One frame of Sluice's own to one node, under the VNI of the network. `port`: a port of this node
// for which it may wait for the node's MAC address; 0: it is dropped then. Takes the mbuf over.
void replicate_to_node(struct worker *worker, struct rte_mbuf *mbuf, uint16_t network,
		       uint16_t peer, uint16_t port);

// What was for one node (ingress.peer), and has waited for its MAC address. Takes the mbuf over.
void replicate_again(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
		     struct ingress ingress, struct flow_hash hash);
