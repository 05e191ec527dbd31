// Who has opened how many connections: a port of this node, or behind the uplink a node. Whoever
// opens one is charged with it until it ends, by flow_direction.ingress of its original direction.
//
// Threads: connections are charged and given back by their owners, half-open ones given back by
// whoever sees the answer. Anybody may read.

#pragma once

#include "flow/flow.h"

// Numbers: those of ports, then those of nodes.
#define FLOW_CHARGE_NODES 65536
#define FLOW_CHARGES	  (2 * FLOW_CHARGE_NODES)

// A cache line of its own: several workers may open connections for one port, but few for two at
// the same moment.
struct flow_charge {
	_Atomic uint32_t connections;
	_Atomic uint32_t half_open;  // of them
	_Atomic uint64_t paid_until; // see flow_charge_take
} __attribute__((aligned(64)));

struct flow_charges {
	struct flow_charge *list; // by number
	bool alone;		  // one worker writes all of them
};

static inline uint32_t flow_charge_number(flow_ingress ingress)
{
	uint16_t port = (uint16_t)(ingress >> 48), node = (uint16_t)(ingress >> 32);

	return node ? FLOW_CHARGE_NODES + node : port;
}

static inline struct flow_charge *flow_charge_of(const struct flow_charges *charges,
						 flow_ingress from)
{
	return &charges->list[flow_charge_number(from)];
}

static inline void flow_charge_change(_Atomic uint32_t *count, int by, bool alone)
{
	if (alone)
		atomic_store_explicit(
			count, atomic_load_explicit(count, memory_order_relaxed) + (uint32_t)by,
			memory_order_relaxed);
	else
		atomic_fetch_add_explicit(count, (uint32_t)by, memory_order_relaxed);
}

// The connection's state has moved: is it still half open? If not, that is given back. Any worker.
// `charges` may be NULL.
void flow_charge_settle(struct flow_charges *charges, struct flow_account *account);

// The connection has ended, or will not begin, or (1) begins. Owner.
static inline void flow_charge_add(struct flow_charges *charges, const struct flow *flow,
				   bool half_open, int by)
{
	struct flow_charge *charge =
		flow_charge_of(charges, flow->direction[FLOW_ORIGINAL].ingress);

	flow_charge_change(&charge->connections, by, charges->alone);
	if (half_open)
		flow_charge_change(&charge->half_open, by, charges->alone);
}

// Its original direction comes from elsewhere now. Owner.
void flow_charge_move(struct flow_charges *charges, struct flow *flow, flow_ingress from);

// A token bucket that several workers share in one word (GCRA, ITU-T I.371): the time until which
// what was taken is paid for. `interval` is the cycles of a token, `burst` how many there may be at
// once. `look`: nothing is taken.
static inline bool flow_charge_take(struct flow_charge *charge, uint64_t now, uint64_t interval,
				    uint32_t burst, bool look)
{
	uint64_t paid = atomic_load_explicit(&charge->paid_until, memory_order_relaxed), from;

	do {
		from = paid > now ? paid : now;
		if (from + interval > now + burst * interval)
			return false;
	} while (!look && !atomic_compare_exchange_weak_explicit(
				  &charge->paid_until, &paid, from + interval, memory_order_relaxed,
				  memory_order_relaxed));
	return true;
}
