// Limits of QosPolicies, at each packet: of the sender's port and its rule, of the receiver's rule
// and its port. What one of them refuses has not cost the others anything.

#include "layer/qos/qos.h"
#include "port/offload.h"
#include "worker/worker.h"

#define LIMITS_OF_PACKET 4

// What was taken of a packet by one of them.
struct taken {
	struct qos_metered *metered;
	const struct meter_profile *profile;
	enum meter_colour colour;
	bool waits;
};

struct limited {
	const struct qos_tables *tables;
	uint64_t now;	// ticks, as the following
	uint64_t wait;	// the longest of all
	uint32_t bytes; // of IP packets on the wire
	uint32_t first; // of the first of them; 0: of what waits for nothing
	uint32_t packets;
	uint32_t count;
	struct taken taken[LIMITS_OF_PACKET];
};

// An acknowledgement and nothing else. It counts, but does not wait behind data that goes the same
// way, or what comes the other way would slow down with it. Overtaking costs TCP nothing: its
// number is within the window, and it has nothing to be put in order.
static bool is_acknowledgement(const struct packet *packet)
{
	return packet->key.protocol == IPPROTO_TCP && packet->tcp_flags == TCP_ACK &&
	       packet->tcp_seq == packet->tcp_end && packet->l4_offset && !packet->fragments;
}

// From here on limits are looked at one by one.
static void measure(struct limited *limited, struct worker *worker, const struct rte_mbuf *mbuf,
		    const struct packet *packet)
{
	uint32_t header;

	if (worker->credit.way)
		credit_settle(worker);
	limited->tables = worker->tables->qos;
	limited->now = meter_now(worker->delays.now);
	limited->wait = 0;
	limited->count = 0;
	limited->packets = 1;
	limited->bytes = limited->first = packet->ip_length;
	if (is_acknowledgement(packet)) {
		limited->first = 0;
	} else if (unlikely(packet->fragments)) {
		limited->packets += packet->fragments;
		limited->bytes = packet->length - (packet->fragments + 1u) * packet->l3_offset;
	} else if (mbuf->ol_flags & PACKET_SEGMENTATION) {
		header = mbuf->l3_len + (mbuf->ol_flags & PACKET_UFO ? 0 : mbuf->l4_len);
		limited->packets = packet_wire_count(mbuf);
		limited->bytes += (limited->packets - 1) * header;
		limited->first = packet_wire_size(mbuf) - packet->l3_offset;
	}
}

static void count_dropped(const struct limited *limited, struct qos_metered *metered, bool alone)
{
	qos_count_add(&metered->count.dropped, limited->packets, alone);
	qos_count_add(&metered->count.dropped_bytes, limited->bytes, alone);
}

static inline bool take(struct limited *limited, const struct qos_share *share,
			enum qos_direction direction, struct flow_action *action)
{
	const struct qos_limit *limit = qos_limit(limited->tables, share, direction);
	struct qos_metered *metered;
	enum meter_colour colour;
	uint64_t wait = 0;

	if (!limit)
		return true;
	metered = &share->counts->metered[direction];
	colour = meter_take(&metered->meter, &limit->profile, limited->now, limited->bytes,
			    limited->first, &wait);
	if (colour == METER_YELLOW && limit->excess_dscp == QOS_NO_DSCP) {
		meter_give(&metered->meter, &limit->profile, colour, limited->bytes);
		colour = METER_RED;
	}
	if (colour == METER_RED) {
		count_dropped(limited, metered, limit->profile.committed.alone);
		return false;
	}
	if (colour == METER_YELLOW)
		action->flags = flow_action_mark(action->flags, limit->excess_dscp);
	if (wait > limited->wait)
		limited->wait = wait;
	limited->taken[limited->count++] =
		(struct taken){metered, &limit->profile, colour, wait && limited->first};
	return true;
}

// It passes all of them.
static inline void count_taken(const struct limited *limited)
{
	for (uint32_t i = 0; i < limited->count; i++) {
		const struct taken *taken = &limited->taken[i];
		struct qos_count *count = &taken->metered->count;
		bool alone = taken->profile->committed.alone;

		qos_count_passed(taken->metered, limited->packets, limited->bytes, alone);
		if (taken->waits)
			qos_count_add(&count->delayed, limited->packets, alone);
		if (unlikely(taken->colour == METER_YELLOW))
			qos_count_add(&count->marked, limited->packets, alone);
	}
}

// There is no room for it to wait.
static void count_not_waiting(const struct limited *limited)
{
	for (uint32_t i = 0; i < limited->count; i++)
		if (limited->taken[i].waits)
			count_dropped(limited, limited->taken[i].metered,
				      limited->taken[i].profile->committed.alone);
}

static void give_back(struct limited *limited)
{
	for (uint32_t i = 0; i < limited->count; i++) {
		const struct taken *taken = &limited->taken[i];

		meter_give(&taken->metered->meter, taken->profile, taken->colour, limited->bytes);
	}
}

static inline bool take_at(struct limited *limited, uint16_t port, struct flow_rule rule,
			   enum qos_direction direction, struct flow_action *action)
{
	const struct qos_tables *tables = limited->tables;

	return take(limited, qos_find_rule(tables, port, rule), direction, action) &&
	       take(limited, qos_find_port(tables, port), direction, action);
}

bool qos_packet(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
		struct passage *passage, struct flow_rule sender, struct flow_rule receiver)
{
	struct limited limited;
	uint16_t refused = 0, from = passage->ingress.port, to = passage->action.port;

	// A trace costs nobody anything.
	if (!worker->tables->qos || worker->trace)
		return true;
	measure(&limited, worker, mbuf, packet);
	if (from != PORT_UPLINK && !take_at(&limited, from, sender, QOS_EGRESS, &passage->action)) {
		refused = from;
	} else if (to != PORT_UPLINK &&
		   !take_at(&limited, to, receiver, QOS_INGRESS, &passage->action)) {
		refused = to;
	} else if (limited.wait && limited.first && worker->delays.count >= worker->delays.max) {
		refused = from != PORT_UPLINK ? from : to;
		count_not_waiting(&limited);
	}
	if (likely(!refused)) {
		count_taken(&limited);
		if (limited.wait && limited.first)
			passage->slot = delays_slot(&worker->delays, meter_cycles(limited.wait));
		return true;
	}
	give_back(&limited);
	worker_drop(worker, mbuf, refused, DROP_RATE_LIMIT);
	return false;
}

void qos_leave(struct worker *worker, struct rte_mbuf *mbuf, const struct passage *passage)
{
	if (passage->slot)
		delays_add(worker, mbuf, passage->action.port, passage->ingress.port,
			   passage->slot);
	else
		qos_send(worker, mbuf, passage->action.port, passage->ingress.port);
}

void qos_send(struct worker *worker, struct rte_mbuf *mbuf, uint16_t port, uint16_t from)
{
	const struct port_binding *uplink;

	if (likely(port != PORT_UPLINK || worker->trace ||
		   !qos_quantum(worker->tables->qos, from))) {
		transmit_add(worker, mbuf, port);
		return;
	}
	uplink = tables_port(worker->tables, PORT_UPLINK);
	if (uplink->first_worker == worker->index)
		uplink_queue_add(worker, mbuf, from);
	else
		hand_over_queue(worker, mbuf, port, from, uplink->first_worker);
}

static void give_back_at(struct limited *limited, uint16_t port, struct flow_rule rule,
			 enum qos_direction direction)
{
	const struct qos_share *shares[] = {qos_find_rule(limited->tables, port, rule),
					    qos_find_port(limited->tables, port)};

	for (unsigned int i = 0; i < 2; i++) {
		const struct qos_limit *limit = qos_limit(limited->tables, shares[i], direction);
		struct qos_metered *metered;

		if (!limit)
			continue;
		metered = &shares[i]->counts->metered[direction];
		meter_give(&metered->meter, &limit->profile, METER_GREEN, limited->bytes);
		// It is counted when it comes again.
		qos_count_add(&metered->count.packets, -(uint64_t)limited->packets, false);
		qos_count_add(&metered->count.bytes, -(uint64_t)limited->bytes, false);
	}
}

void qos_give_back(struct worker *worker, const struct rte_mbuf *mbuf, const struct packet *packet,
		   struct ingress ingress, const struct flow *flow, unsigned int direction)
{
	struct flow_action action = flow_action_get(&flow->direction[direction]);
	struct limited limited = {.tables = worker->tables->qos};

	if (!(action.flags & FLOW_ACTION_LIMIT) || !limited.tables)
		return;
	measure(&limited, worker, mbuf, packet);
	if (ingress.port != PORT_UPLINK)
		give_back_at(&limited, ingress.port, flow->direction[direction].rule, QOS_EGRESS);
	if (action.port != PORT_UPLINK)
		give_back_at(&limited, action.port, flow->direction[!direction].rule, QOS_INGRESS);
}

bool qos_group(struct worker *worker, const struct rte_mbuf *mbuf, const struct packet *packet,
	       uint16_t port, struct flow_rule rule, bool sends)
{
	struct limited limited = {.tables = worker->tables->qos};
	struct flow_action action = {0};

	if (likely(!limited.tables) || worker->trace || port == PORT_UPLINK)
		return true;
	measure(&limited, worker, mbuf, packet);
	if (!take_at(&limited, port, rule, sends ? QOS_EGRESS : QOS_INGRESS, &action)) {
		give_back(&limited);
		return false;
	}
	// Copies for several receivers wait for nothing.
	for (uint32_t i = 0; i < limited.count; i++)
		limited.taken[i].waits = false;
	count_taken(&limited);
	return true;
}
