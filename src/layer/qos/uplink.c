// How an uplink with a rate is shared: the weights of deficit round robin. Those of all ports
// together are its rate, so that each has its minimum even when all of them send.

#include <stdlib.h>

#include <rte_common.h>

#include "layer/compile.h"
#include "layer/qos/qos.h"

// Bytes of a round in which all ports send, and what a turn has at least.
#define ROUND_BYTES 30000
#define QUANTUM_MIN 64
// Of the uplink's bytes, those of this part of a second may go at once, so that the rate is kept by
// a worker whose turn comes late: it shares its CPU. Of a fast uplink fewer, for they wait beyond
// it.
#define BURST_PART	100
#define BURST_PART_FAST 500
#define BURST_SLOW	1000000
#define BURST_MIN	20000

static uint64_t burst_of(uint64_t rate)
{
	uint64_t burst = RTE_MIN(rate / 8 / BURST_PART, (uint64_t)BURST_SLOW);

	return RTE_MAX(RTE_MAX(burst, rate / 8 / BURST_PART_FAST), (uint64_t)BURST_MIN);
}

static uint64_t minimum_of(const struct qos_tables *tables, uint16_t port)
{
	const struct qos_share *share = qos_find_port(tables, port);

	return share ? tables->policies[share->policy].minimum : 0;
}

bool qos_compile_uplink(const struct compile *compile, struct qos_tables *tables, uint64_t rate,
			uint64_t cycles_per_second)
{
	const struct tables *common = compile->tables;
	uint64_t left = rate, others = 0;

	tables->uplink = bucket_profile_make(rate, burst_of(rate), cycles_per_second);
	tables->quantum_count = common->port_count;
	tables->quanta = calloc(common->port_count, sizeof(*tables->quanta));
	if (!tables->quanta)
		return false;
	for (uint32_t port = PORT_HOST + 1; port < common->port_count; port++) {
		uint64_t minimum = minimum_of(tables, (uint16_t)port);

		others += common->ports[port].endpoint && !minimum;
		left -= minimum < left ? minimum : left;
	}
	for (uint32_t port = PORT_HOST + 1; port < common->port_count; port++) {
		uint64_t share = minimum_of(tables, (uint16_t)port), quantum;

		if (!common->ports[port].endpoint)
			continue;
		if (!share)
			share = left / others;
		quantum = share * ROUND_BYTES / rate;
		tables->quanta[port] = quantum > QUANTUM_MIN ? (uint32_t)quantum : QUANTUM_MIN;
	}
	return true;
}
