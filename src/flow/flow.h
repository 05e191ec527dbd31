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
// Leave as what answers to the packets of the other direction: with the reverse of its key's
// addresses and ports. So a translation needs no place of its own.
#define FLOW_ACTION_TRANSLATE 4
// Beside that: into the other IP family (RFC 7915).
#define FLOW_ACTION_FAMILY 8
// To a router on an external network: the destination's endpoint is that.
#define FLOW_ACTION_EXTERNAL 16
#define FLOW_ACTION_LIMIT    32 // limits of ports or of the rule hold (layer/qos)
// To a member of a LoadBalancer; of the original direction.
#define FLOW_ACTION_BALANCED 64
// Set the DSCP, which is in the bits above.
#define FLOW_ACTION_MARK       256
#define FLOW_ACTION_DSCP_SHIFT 9
// Its messages name addresses: all of its packets are its owner's (worker/helper.c).
#define FLOW_ACTION_HELPED 32768

// What happens to a packet of one direction. Numbers are those of the tables of the same
// generation.
struct flow_action {
	uint32_t destination; // endpoint: MAC addresses, network, node
	uint16_t port;	      // the packet leaves by this port
	uint16_t flags;	      // FLOW_ACTION_…
};

static inline uint16_t flow_action_mark(uint16_t flags, uint8_t dscp)
{
	return (uint16_t)((flags & ~(63u << FLOW_ACTION_DSCP_SHIFT)) | FLOW_ACTION_MARK |
			  (uint32_t)dscp << FLOW_ACTION_DSCP_SHIFT);
}

static inline uint8_t flow_action_dscp(uint16_t flags)
{
	return flags >> FLOW_ACTION_DSCP_SHIFT & 63;
}

_Static_assert(sizeof(struct flow_action) == sizeof(uint64_t), "stored and read in one piece");

// Where a packet must come from to be taken for one of this direction: a port, behind the uplink
// the node, and both MAC addresses as a hash. A packet that comes otherwise is judged by the
// layers.
typedef uint64_t flow_ingress;

enum flow_direction_index {
	FLOW_ORIGINAL,
	FLOW_REPLY,
};

// So 32767 groups, and 131072 rules in each of them: the model refuses more.
#define FLOW_RULE_GROUP_BITS 15

// A rule that let the connection in: the group's number (control keeps their names) and the rule's
// index in it. Group 0: no rule was needed.
struct flow_rule {
	uint32_t group : FLOW_RULE_GROUP_BITS;
	uint32_t rule : 32 - FLOW_RULE_GROUP_BITS;
};

_Static_assert(sizeof(struct flow_rule) == sizeof(uint32_t), "no more room in the cache line");

struct flow_direction {
	struct flow_key key;
	flow_ingress ingress;
	_Atomic uint64_t action; // struct flow_action
	_Atomic uint32_t
		generation; // of the tables that `action` was made with; 0: the layers have to look
	union {
		// That let the connection in: for the original direction the opener's egress, for
		// the reply direction the other side's ingress.
		struct flow_rule rule;
		// Of the reply direction of a connection that has ended: the next place that is
		// free.
		uint32_t free;
	};
};

_Static_assert(sizeof(struct flow_direction) == 64, "one cache line decides");

// name, text, seconds without a packet until it ends. TCP: RFC 9293, RFC 5382; UDP: RFC 4787; SCTP:
// RFC 9260.
#define FLOW_STATES(X)                               \
	X(UNREPLIED, "unreplied", 30)                \
	X(REPLIED, "replied", 120)                   \
	X(ICMP, "icmp", 30)                          \
	X(OTHER, "other", 600)                       \
	X(SYN_SENT, "syn-sent", 60)                  \
	X(SYN_RECEIVED, "syn-received", 60)          \
	X(PICKED_UP, "picked-up", 120)               \
	X(ESTABLISHED, "established", 7440)          \
	X(CLOSING, "closing", 240)                   \
	X(TIME_WAIT, "time-wait", 60)                \
	X(CLOSED, "closed", 10)                      \
	X(SCTP_OPENING, "sctp-opening", 60)          \
	X(SCTP_ESTABLISHED, "sctp-established", 600) \
	X(SCTP_SHUTDOWN, "sctp-shutdown", 60)

enum flow_state {
#define X(name, text, seconds) FLOW_STATE_##name,
	FLOW_STATES(X)
#undef X
	FLOW_STATE_COUNT,
};

// Only one side has proved that it is there: what floods are made of. Pings are not among them,
// because no state says that one was answered.
#define FLOW_STATES_HALF_OPEN                                                                     \
	(1u << FLOW_STATE_UNREPLIED | 1u << FLOW_STATE_SYN_SENT | 1u << FLOW_STATE_SYN_RECEIVED | \
	 1u << FLOW_STATE_PICKED_UP | 1u << FLOW_STATE_SCTP_OPENING)

// What flow_account.state holds above the enum flow_state.
#define FLOW_STATE_MASK	       0xffu
#define FLOW_FIN(direction)    (0x100u << (direction)) // the direction has sent FIN
#define FLOW_SCALED(direction) (0x400u << (direction)) // its SYN had a window scale
// Sequence numbers or tags are not held against anything: the connection was picked up in the
// middle, or its network does not want it.
#define FLOW_LOOSE 0x1000u
// The opener has sent a SYN on the live connection: it may have forgotten it.
#define FLOW_RENEWED 0x2000u
// SCTP: INIT ACK seen.
#define FLOW_ANSWERED 0x4000u

// flow_account.flags
#define FLOW_LIVE    1
#define FLOW_ONE_WAY 2 // no key for replies
// Several workers have accounted packets of one direction: what one of them wrote may have been
// lost to another.
#define FLOW_RACED 4
// Its packets are forwarded elsewhere (struct flow_keeper): what is counted and remembered here is
// not all.
#define FLOW_OFFLOADED 8
// Replies have no key, or one of another network: the network is to be read where the original
// direction is.
#define FLOW_NETWORK_APART 16
// Its opener is charged with a half-open connection (charge.h). Who takes it out gives that back.
#define FLOW_HALF_OPEN 32
// It uses something that is to be told of its end (struct flow_mapped).
#define FLOW_MAPPED 64

// Counters of a direction and its windows are written by the worker that has the direction's
// packets. Arrays are by direction.
struct flow_account {
	uint64_t packets[2];
	uint64_t bytes[2];
	uint32_t last_seen; // seconds of the table's clock
	uint32_t created;   // likewise
	union {
		struct {
			_Atomic uint32_t end[2];    // behind the last octet that it has sent
			_Atomic uint32_t ack[2];    // the last octet that it has acknowledged
			_Atomic uint16_t window[2]; // largest that it has offered, not scaled
		};
		_Atomic uint32_t tag[2]; // SCTP: verification tag of its packets
	};
	_Atomic uint16_t state; // enum flow_state, and the bits above
	_Atomic uint8_t flags;	// changed by the owner only
	_Atomic uint8_t scales; // of the windows: 4 bits a direction
};

_Static_assert(sizeof(struct flow_account) == 64, "one cache line accounts");

struct flow {
	struct flow_direction direction[2];
	struct flow_account account;
} __attribute__((aligned(64)));

_Static_assert(sizeof(struct flow) == 192, "three cache lines");

const char *flow_state_name(enum flow_state state);
// Where the network does not say otherwise.
uint32_t flow_state_timeout(enum flow_state state);

static inline enum flow_state flow_state_get(const struct flow_account *account)
{
	return atomic_load_explicit(&account->state, memory_order_relaxed) & FLOW_STATE_MASK;
}

static inline bool flow_state_is_half_open(enum flow_state state)
{
	return FLOW_STATES_HALF_OPEN >> state & 1;
}

static inline bool flow_has(const struct flow_account *account, uint8_t flag)
{
	return atomic_load_explicit(&account->flags, memory_order_relaxed) & flag;
}

// The key of the packets that come back; NULL: there are none.
static inline const struct flow_key *flow_other_key(const struct flow *flow,
						    enum flow_direction_index direction)
{
	return flow_has(&flow->account, FLOW_ONE_WAY) ? NULL : &flow->direction[!direction].key;
}

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
