// QosPolicies as compiled: what holds for each port of this node, and for the connections that a
// rule or a group has let in there. The layer says which of it a connection is concerned by, once;
// the worker counts each packet of those (worker/qos.c, worker/credit.c).

#pragma once

#include "base/lookup.h"
#include "layer/qos/meter.h"
#include "layer/walk.h"

extern const struct layer qos_layer;

// From the workload's view.
enum qos_direction {
	QOS_INGRESS,
	QOS_EGRESS,
};

#define QOS_NO_DSCP 255

// A policy's limit in one direction.
struct qos_limit {
	struct meter_profile profile; // committed.cost 0: none
	uint8_t excess_dscp;	      // QOS_NO_DSCP: what is yellow is dropped
};

// What a limit has done with packets, as they are on the wire.
struct qos_count {
	_Atomic uint64_t packets; // that passed, now or later
	_Atomic uint64_t bytes;	  // of them: IP packets
	_Atomic uint64_t delayed; // of them, those that had to wait
	_Atomic uint64_t marked;  // of them, those that were over the limit
	_Atomic uint64_t dropped;
	_Atomic uint64_t dropped_bytes;
};

// Of a policy what was counted where it does not hold any more. Outlives the tables.
struct qos_totals {
	uint32_t references; // control thread
	struct qos_count counts[2];
};

struct qos_policy {
	char name[TABLES_NAME_SIZE];
	struct qos_limit limits[2]; // by enum qos_direction
	uint64_t minimum;	    // on the uplink, bits a second; 0: none
	uint8_t dscp;		    // of what the workload sends; QOS_NO_DSCP: as it is
	struct qos_totals *totals;
};

// A cache line, for whoever has the packet.
struct qos_metered {
	struct meter meter;
	struct qos_count count;
} __attribute__((aligned(64)));

// What was counted outlives the tables.
struct qos_counts {
	uint32_t references;	       // control thread
	struct qos_metered metered[2]; // by enum qos_direction
};

// Of one port, or of one rule or group at one port.
struct qos_share {
	uint32_t policy;
	struct lookup_key key;
	struct qos_counts *counts;
};

// A port's own limit in one direction, where it is one bucket.
struct qos_gate {
	struct qos_metered *metered; // NULL: none
	uint64_t cost;		     // as of a bucket_profile
	uint64_t depth;
};

// What there is at a port of this node.
struct qos_port {
	uint32_t share;		  // of the port itself; 0: none
	bool rules;		  // or groups with one
	bool special;		  // there is more to it than its gates
	uint32_t advance[2];	  // bytes that may be taken from a gate for what is still to come
	struct qos_gate gates[2]; // by enum qos_direction
} __attribute__((aligned(64)));

struct qos_tables {
	struct qos_policy *policies;
	uint32_t policy_count;
	struct qos_share *shares; // from 1 on
	uint32_t share_count;
	struct lookup by_key;	// to an index of `shares`
	struct qos_port *ports; // by number
	uint32_t port_count;
	bool alone; // one worker only takes of all
	// What the uplink carries; cost 0: it is not shared out. Then by port number, how many
	// bytes its turn there has; 0: no port of a workload.
	struct bucket_profile uplink;
	uint32_t *quanta;
	uint32_t quantum_count;
};

// Group 0: the port itself. Rule: its index + 1; 0: the group's own.
static inline struct lookup_key qos_key(uint16_t port, uint32_t group, uint32_t rule)
{
	return (struct lookup_key){{(uint64_t)port << 32 | group, rule, 1}};
}

// Of a port's connections by this rule. NULL: no policy.
static inline const struct qos_share *qos_find_rule(const struct qos_tables *tables, uint16_t port,
						    struct flow_rule rule)
{
	uint32_t found;

	if (!rule.group || port >= tables->port_count || !tables->ports[port].rules)
		return NULL;
	found = lookup_find(&tables->by_key, qos_key(port, rule.group, rule.rule + 1u));
	if (!found)
		found = lookup_find(&tables->by_key, qos_key(port, rule.group, 0));
	return found ? &tables->shares[found] : NULL;
}

static inline const struct qos_share *qos_find_port(const struct qos_tables *tables, uint16_t port)
{
	uint32_t found = port < tables->port_count ? tables->ports[port].share : 0;

	return found ? &tables->shares[found] : NULL;
}

static inline const struct qos_limit *qos_limit(const struct qos_tables *tables,
						const struct qos_share *share,
						enum qos_direction direction)
{
	const struct qos_limit *limit =
		share ? &tables->policies[share->policy].limits[direction] : NULL;

	return limit && limit->profile.committed.cost ? limit : NULL;
}

static inline void qos_count_add(_Atomic uint64_t *count, uint64_t more, bool alone)
{
	if (alone)
		atomic_store_explicit(count,
				      atomic_load_explicit(count, memory_order_relaxed) + more,
				      memory_order_relaxed);
	else
		atomic_fetch_add_explicit(count, more, memory_order_relaxed);
}

static inline void qos_count_passed(struct qos_metered *metered, uint32_t packets, uint32_t bytes,
				    bool alone)
{
	qos_count_add(&metered->count.packets, packets, alone);
	qos_count_add(&metered->count.bytes, bytes, alone);
}

// Is what the port sends by the uplink to wait there for its turn?
static inline uint32_t qos_quantum(const struct qos_tables *tables, uint16_t port)
{
	return tables && port < tables->quantum_count ? tables->quanta[port] : 0;
}

// uplink.c: how the uplink is shared, in the tables of the ports and policies. False: no memory.
bool qos_compile_uplink(const struct compile *compile, struct qos_tables *tables, uint64_t rate,
			uint64_t cycles_per_second);

// count.c: control thread. What there was before, of the same place and policy, or made anew; NULL:
// no memory.
struct qos_counts *qos_counts_keep(const struct qos_tables *before, struct lookup_key key,
				   const char *policy);
struct qos_totals *qos_totals_keep(const struct qos_tables *before, uint32_t place,
				   const char *policy);
// The tables go.
void qos_counts_release(struct qos_tables *tables);
// What a policy has done on this node since it is there, and at how many places it does. All of
// them at once: list[2 * policy + direction] and places[policy] are zeroed.
void qos_counts_sum(const struct qos_tables *tables, struct qos_count *list, uint32_t *places);

// compile.c
int qos_compile(const struct compile *compile, void **tables, struct error *err);
void qos_free(void *tables);

// compare.c
void qos_compare(const void *have, const void *want, const struct tables *common,
		 struct differences *differences);
