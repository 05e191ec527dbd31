// Limits of denial: how many connections a port of this node, or a node behind the uplink, may
// have, how many of them half open, and how many it may open a second. Who opens is charged
// (flow/charge.h).
//
// Where nothing was said, an opener may have as many as there is room for still, and half as many
// half-open ones (dynamic thresholds; Choudhury and Hahne, 1998). So one alone gets half of the
// table and n of them an equal share each, and who has few connections can always open another one.

#include "flow/state.h"
#include "worker/worker.h"

// All protocols but those of pings begin half open.
static bool begins_half_open(const struct packet *packet)
{
	return packet->key.protocol != IPPROTO_ICMP && packet->key.protocol != IPPROTO_ICMPV6;
}

enum drop_reason limits_judge(struct worker *worker, const struct packet *packet,
			      struct ingress ingress, struct flow_hash hash,
			      flow_reference replaced)
{
	const struct connection_limits *limits = &worker->tables->ports[ingress.port].limits;
	struct flow_table *flows = worker->flows;
	flow_ingress from = (uint64_t)ingress.port << 48 | (uint64_t)ingress.peer << 32;
	struct flow_charge *charge = flow_charge_of(&flows->charges, from);
	uint32_t room = flow_table_room(flows, flow_table_owner(flows, hash));
	uint32_t most = limits->connections ? limits->connections : room;
	uint32_t half_open_most = limits->half_open ? limits->half_open : (room + 1) / 2;
	uint32_t count = atomic_load_explicit(&charge->connections, memory_order_relaxed);
	uint32_t half_open = atomic_load_explicit(&charge->half_open, memory_order_relaxed);

	if (replaced) {
		const struct flow *flow = flow_table_get(flows, replaced);

		// It ends if this one begins.
		if (flow_charge_of(&flows->charges, flow->direction[FLOW_ORIGINAL].ingress) ==
		    charge) {
			count--;
			half_open -= flow_has(&flow->account, FLOW_HALF_OPEN);
		}
	}
	worker_say(worker, "limits", "%s%s%s has %u of %u connections, %u of %u half open",
		   tables_port_name(worker->tables, ingress.port), ingress.peer ? "/" : "",
		   ingress.peer ? worker->tables->peers[ingress.peer].name : "", count, most,
		   half_open, half_open_most);
	if (unlikely(count >= most))
		return room ? DROP_CONNECTION_LIMIT : DROP_CONNECTION_TABLE_FULL;
	if (unlikely(half_open >= half_open_most) && begins_half_open(packet))
		return room ? DROP_HALF_OPEN_LIMIT : DROP_CONNECTION_TABLE_FULL;
	if (limits->rate &&
	    !flow_charge_take(charge, rte_rdtsc(), worker->engine->cycles_per_second / limits->rate,
			      limits->burst, worker->trace != NULL))
		return DROP_CONNECTION_RATE;
	return DROP_NONE;
}
