// A connection: both directions of it, each with the key that finds it and the rewrite that its
// packets get, and what is counted and remembered about it. Three cache lines: a packet reads its
// direction's to decide, and writes the last one to account.

#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "packet/packet.h"

// Rewrites that a direction may need.
#define FLOW_ACTION_ROUTE  1 // set MAC addresses for the destination, take one hop off
#define FLOW_ACTION_TUNNEL 2 // encapsulate towards the destination's node

// What happens to a packet of one direction. Numbers are those of the tables of the same
// generation.
struct flow_action {
	uint32_t destination; // endpoint: MAC addresses, network, node
	uint16_t port;	      // the packet leaves by this port
	uint16_t flags;	      // FLOW_ACTION_…
};

_Static_assert(sizeof(struct flow_action) == sizeof(uint64_t), "stored and read in one piece");

// Where a packet must come from to be taken for one of this direction: a port, behind the uplink
// the node, and both MAC addresses as a hash. A packet that comes otherwise is judged by the
// layers.
typedef uint64_t flow_ingress;

enum flow_direction_index {
	FLOW_ORIGINAL,
	FLOW_REPLY,
};

struct flow_direction {
	struct flow_key key;
	flow_ingress ingress;
	_Atomic uint64_t action; // struct flow_action
	_Atomic uint32_t
		generation; // of the tables that `action` was made with; 0: the layers have to look
	uint32_t spare;
};

_Static_assert(sizeof(struct flow_direction) == 64, "one cache line decides");

// name, text, seconds without a packet until it ends. TCP: RFC 9293, RFC 5382; UDP: RFC 4787.
#define FLOW_STATES(X)                      \
	X(UNREPLIED, "unreplied", 30)       \
	X(REPLIED, "replied", 120)          \
	X(ICMP, "icmp", 30)                 \
	X(OTHER, "other", 600)              \
	X(SYN_SENT, "syn-sent", 60)         \
	X(SYN_RECEIVED, "syn-received", 60) \
	X(PICKED_UP, "picked-up", 120)      \
	X(ESTABLISHED, "established", 7440) \
	X(CLOSING, "closing", 120)          \
	X(TIME_WAIT, "time-wait", 60)       \
	X(CLOSED, "closed", 10)

enum flow_state {
#define X(name, text, seconds) FLOW_STATE_##name,
	FLOW_STATES(X)
#undef X
	FLOW_STATE_COUNT,
};

// A rule that let the connection in: the group's number (control keeps their names) and the rule's
// index in it. Group 0: no rule was needed.
struct flow_rule {
	uint16_t group;
	uint16_t rule;
};

struct flow_account {
	uint64_t packets[2];
	uint64_t bytes[2];
	uint32_t last_seen;	   // seconds of the table's clock
	uint32_t created;	   // likewise
	struct flow_rule rules[2]; // of the opener's egress and of the other side's ingress
	_Atomic uint8_t state;	   // enum flow_state
	_Atomic uint8_t closed;	   // bit of each direction that sent FIN
	uint8_t one_way;	   // no key for replies
	uint8_t live;
	uint32_t next;	     // in a list of free entries
	uint64_t free_after; // token of the grace period that ends its use by other workers
};

struct flow {
	struct flow_direction direction[2];
	struct flow_account account;
} __attribute__((aligned(64)));

_Static_assert(sizeof(struct flow) == 192, "three cache lines");

const char *flow_state_name(enum flow_state state);
uint32_t flow_state_timeout(enum flow_state state);

static inline struct flow_action flow_action_get(const struct flow_direction *direction)
{
	uint64_t word = atomic_load_explicit(&direction->action, memory_order_acquire);
	struct flow_action action;

	memcpy(&action, &word, sizeof(action));
	return action;
}

// Publishes a new action: a reader sees either the old generation, or none, or both new ones.
static inline void flow_action_set(struct flow_direction *direction, struct flow_action action,
				   uint32_t generation)
{
	uint64_t word;

	memcpy(&word, &action, sizeof(word));
	atomic_store_explicit(&direction->generation, 0, memory_order_relaxed);
	atomic_store_explicit(&direction->action, word, memory_order_release);
	atomic_store_explicit(&direction->generation, generation, memory_order_release);
}
