// How an uplink with a rate is shared: the weights of deficit round robin. Those of all ports
// together are its rate, so that each has its minimum even when all of them send.

#include <stdlib.h>

#include "layer/compile.h"
#include "layer/qos/qos.h"

// Bytes of a round in which all ports send, and what a turn has at least.
#define ROUND_BYTES 30000
#define QUANTUM_MIN 64
// Of the uplink's bytes, those of this part of a second may go at once; and at least so many.
#define BURST_PART 500
#define BURST_MIN  20000

static uint64_t minimum_of(const struct qos_tables *tables, uint16_t port)
{
	const struct qos_share *share = qos_find_port(tables, port);

	return share ? tables->policies[share->policy].minimum : 0;
}

bool qos_compile_uplink(const struct compile *compile, struct qos_tables *tables, uint64_t rate,
			uint64_t cycles_per_second)
{
	const struct tables *common = compile->tables;
	uint64_t left = rate, others = 0, burst = rate / 8 / BURST_PART;

	tables->uplink =
		bucket_profile_make(rate, burst > BURST_MIN ? burst : BURST_MIN, cycles_per_second);
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
