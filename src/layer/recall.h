// What the layers have decided, kept for packets that differ in nothing that layers look at: of two
// connections between the same addresses and to the same port, for instance. Made by a walk with a
// packet that has what is compared and nothing else, so no layer can have looked at more, but for
// one that says so (walk->unique).
//
// Threads: each worker has one of its own. A decision holds for one generation of the tables.

#pragma once

#include "layer/walk.h"

#define RECALL_ENTRIES 1024 // a power of two

// What layers look at, in words that are compared.
struct recall_key {
	struct ip_address source, destination;
	uint64_t to;   // destination MAC address, and the port that the connection is opened to
	uint64_t from; // source MAC address, and the network
	uint64_t what; // port and node of ingress, protocol, flags of the flow key, a reply or not
};

_Static_assert(sizeof(struct recall_key) == 56, "seven words");

struct recalled {
	struct recall_key key;
	uint32_t generation;	// of the tables; 0: empty
	uint16_t reply_network; // of an opening: the direction of replies, as predicted
	uint16_t reply_allowed; // 0: the layers would not forward such a reply
	flow_ingress reply_ingress;
	struct flow_action action, reply_action;
	struct flow_rule rules[2];
	bool unique; // nothing is kept: each packet has a walk of its own
} __attribute__((aligned(64)));

_Static_assert(sizeof(struct recalled) == 128, "two cache lines");

struct recall {
	struct recalled entries[RECALL_ENTRIES];
};

// Walks: walk_begin and walk_run, if not for the same packet before. `recalled`: what is kept of
// it, valid until the next walk, where it was allowed; then the walk's destination is not filled.
// NULL: it is as after any other walk.
enum verdict recall_run(struct recall *recall, struct walk *walk, const struct recalled **recalled);

// As walk_predict_reply. `key` is that of the packet that opens the connection.
static inline void recall_reply(const struct recalled *recalled, const struct flow_key *key,
				struct flow_direction *reply)
{
	reply->key = flow_key_reverse(key, recalled->reply_network);
	reply->ingress = recalled->reply_ingress;
	if (recalled->reply_allowed)
		flow_action_set(reply, recalled->reply_action, recalled->generation);
}
