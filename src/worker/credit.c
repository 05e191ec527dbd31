#include "worker/credit.h"

#include "layer/qos/qos.h"
#include "worker/worker.h"

// For fewer, each takes its own.
#define WORTH_PACKETS 4

// What a packet from one port to another has to pass.
struct gates {
	const struct qos_gate *egress, *ingress;
	uint64_t now;
};

static inline struct gates find(const struct worker *worker, uint16_t from, uint16_t to)
{
	const struct qos_tables *tables = worker->tables->qos;

	return (struct gates){.egress = &tables->ports[from].gates[QOS_EGRESS],
			      .ingress = &tables->ports[to].gates[QOS_INGRESS],
			      .now = meter_now(worker->delays.now)};
}

static inline uint64_t cost(const struct qos_gate *gate, uint32_t bytes)
{
	return gate->cost * bytes >> METER_FRACTION_BITS;
}

static inline bool take_at(const struct qos_gate *gate, uint64_t now, uint32_t bytes, bool alone)
{
	return !gate->metered || bucket_take_now(&gate->metered->meter.committed, gate->depth,
						 alone, now, cost(gate, bytes));
}

static inline void give_at(const struct qos_gate *gate, uint32_t bytes, bool alone)
{
	if (gate->metered)
		bucket_give(&gate->metered->meter.committed, cost(gate, bytes), alone);
}

// Of both or of none.
static inline bool take(const struct gates *gates, uint32_t bytes, bool alone)
{
	if (!take_at(gates->egress, gates->now, bytes, alone))
		return false;
	if (take_at(gates->ingress, gates->now, bytes, alone))
		return true;
	give_at(gates->egress, bytes, alone);
	return false;
}

static inline void count(const struct gates *gates, uint32_t packets, uint32_t bytes, bool alone)
{
	if (gates->egress->metered)
		qos_count_passed(gates->egress->metered, packets, bytes, alone);
	if (gates->ingress->metered)
		qos_count_passed(gates->ingress->metered, packets, bytes, alone);
}

static inline bool take_one(const struct gates *gates, uint32_t bytes, bool alone)
{
	if (!take(gates, bytes, alone))
		return false;
	count(gates, 1, bytes, alone);
	return true;
}

void credit_settle(struct worker *worker)
{
	struct credit *credit = &worker->credit;
	struct gates gates = find(worker, (uint16_t)(credit->way >> 16), (uint16_t)credit->way);
	bool alone = worker->tables->qos->alone;

	give_at(gates.egress, credit->left, alone);
	give_at(gates.ingress, credit->left, alone);
	count(&gates, credit->packets, credit->taken - credit->left, alone);
	credit->way = 0;
}

// For a packet of `bytes` and what follows it.
static bool begin(struct worker *worker, const struct gates *gates, uint32_t way, uint32_t bytes)
{
	const struct qos_tables *tables = worker->tables->qos;
	struct credit *credit = &worker->credit;
	uint32_t most = RTE_MIN(credit->most,
				RTE_MIN(tables->ports[way >> 16].advance[QOS_EGRESS],
					tables->ports[way & UINT16_MAX].advance[QOS_INGRESS]));

	if (bytes > most / WORTH_PACKETS || !take(gates, most, tables->alone))
		return false;
	credit->way = way;
	credit->taken = most;
	credit->left = most - bytes;
	credit->packets = 1;
	return true;
}

bool credit_take(struct worker *worker, uint16_t from, uint16_t to, uint32_t bytes)
{
	const struct qos_tables *tables = worker->tables->qos;
	struct gates gates = find(worker, from, to);
	struct credit *credit = &worker->credit;
	uint32_t way = credit_way(from, to);

	if ((tables->ports[from].special | tables->ports[to].special) ||
	    (to == PORT_UPLINK && qos_quantum(tables, from)))
		return false;
	if (credit->way)
		credit_settle(worker);
	// The second in a row: others will follow.
	if (way == credit->before && begin(worker, &gates, way, bytes))
		return true;
	credit->before = way;
	return tables->alone ? take_one(&gates, bytes, true) : take_one(&gates, bytes, false);
}
