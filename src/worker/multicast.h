// The querier of each network, and what the answers say: who is in which group. A network's state
// is that of one worker, the one that replicates for it.
//
// A workload's reports end here. The other nodes are told once for all of this node's members, by
// reports of Sluice's own from the gateway's MAC address; a node that starts asks the others.

#pragma once

#include "layer/multicast/groups.h"
#include "layer/walk.h"

#define MULTICAST_URGENT_MAX 64

struct rte_mbuf;
struct worker;

// Of a network.
struct querier {
	uint32_t stamp;	   // of the receivers as they were at the last query
	uint32_t interval; // seconds between the next two queries; 0: there was none
	uint32_t next;	   // second of the next query
	uint32_t tell;	   // how often all of this node's groups were to be told to the others
};

struct multicast {
	struct groups *groups;
	struct querier *queriers; // by network number
	// Where the work of this second goes on.
	uint32_t network_position;
	uint32_t group_position;
	// Groups that don't wait for the next second: their places.
	uint32_t urgent[MULTICAST_URGENT_MAX];
	uint32_t urgent_count;
};

// False without memory.
bool multicast_open(struct multicast *multicast);
void multicast_close(struct multicast *multicast);

// A packet that membership_is, on the worker that has the network. Takes the mbuf over.
void multicast_receive(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
		       struct ingress ingress);

// In each turn of the loop: some of this second's work. Returns how much there was.
uint32_t multicast_turn(struct worker *worker, bool new_second);
