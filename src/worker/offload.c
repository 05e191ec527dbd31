// Connections that the kernel can forward by itself (flow_offload/): found among the packets of
// ports whose interfaces have its programs, and looked after while Sluice still gets packets of
// them.
//
// One packet in OFFLOAD_SAMPLE is looked at, so it is the busy connections that are found.

#include "flow/state.h"
#include "flow_offload/flow_offload.h"
#include "layer/tunnel/tunnel.h"
#include "worker/worker.h"

#define OFFLOAD_SAMPLE 32
// Fewer packets than this are not worth the system calls.
#define OFFLOAD_PACKETS 64
// What the kernel's programs do; a connection that needs anything else stays here.
#define OFFLOAD_ACTIONS (FLOW_ACTION_ROUTE | FLOW_ACTION_TUNNEL)
// Turns of the loop for which a moment without packets is waited for.
#define OFFLOAD_WAIT 1000

_Static_assert(OFFLOAD_NEXT_HOPS == NEIGHBOURS_MAX, "a next hop has the number of its entry");

static bool has_state(const struct flow_account *account, uint8_t protocol)
{
	uint16_t state = atomic_load_explicit(&account->state, memory_order_relaxed);

	if (protocol == IPPROTO_TCP)
		return (state & ~FLOW_LOOSE) == FLOW_STATE_ESTABLISHED;
	return protocol == IPPROTO_UDP && state == FLOW_STATE_REPLIED;
}

static const struct port *offload_port(const struct worker *worker, uint16_t number)
{
	const struct port_binding *binding = tables_port(worker->tables, number);

	return binding && !binding->vlan && binding->port && binding->port->offload_interface
		       ? binding->port
		       : NULL;
}

// The outer headers of packets that come through the tunnel, and the inner MAC addresses: those of
// the ports, or of the gateway where the other node has routed them.
static void describe_arrival(const struct worker *worker, const struct flow_direction *direction,
			     struct ingress ingress, const struct endpoint *source,
			     const struct endpoint *destination,
			     struct flow_offload_direction *result)
{
	const struct tables *tables = worker->tables;
	const struct peer *peer = &tables->peers[ingress.peer];

	result->outer_in = peer->header_size;
	result->vni = tables->networks[direction->key.network].vni;
	result->outer_source = peer->vtep;
	result->outer_destination = tables->underlay.vtep.address;
	result->outer_mac = tables->underlay.mac;
	result->received[0] = destination->mac;
	result->received[1] = destination->gateway_mac;
	if (direction->ingress !=
	    flow_ingress_make(ingress, &result->received[0], &result->received[1]))
		result->received[1] = source->mac;
}

// As tunnel_encapsulate does it. False: the next hop is not known.
static bool describe_departure(const struct worker *worker, const struct flow_direction *direction,
			       const struct endpoint *destination,
			       struct flow_offload_direction *result)
{
	const struct peer *peer = &worker->tables->peers[destination->peer];
	struct flow_hash hash = flow_hash(&worker->flows->secret, &direction->key);
	uint16_t port = rte_cpu_to_be_16(TUNNEL_SOURCE_PORT | (hash.bucket & 0x3fff));
	uint32_t vni = rte_cpu_to_be_32(destination->vni << 8), mtu;
	uint8_t *udp = result->header + peer->header_size - VXLAN_HEADER_SIZE - UDP_HEADER_SIZE;
	struct mac_address mac;

	if (!peer->next_hop)
		return false;
	mac = neighbour_known(peer->next_hop);
	mtu = atomic_load_explicit(&peer->path->path_mtu, memory_order_relaxed);
	if (mac_is_zero(&mac) || mtu <= peer->header_size)
		return false;
	result->outer_out = peer->header_size;
	memcpy(result->header, peer->header, peer->header_size);
	memcpy(result->header, &mac, sizeof(mac));
	memcpy(udp, &port, sizeof(port));
	memcpy(udp + UDP_HEADER_SIZE + 4, &vni, sizeof(vni));
	result->header_sum = peer->ipv4_sum;
	result->next_hop = (uint32_t)(peer->next_hop - worker->engine->neighbours.entries);
	if (mtu - peer->header_size < result->mtu)
		result->mtu = (uint16_t)(mtu - peer->header_size);
	return true;
}

// What the programs need to know of a direction. False: they can't do what it needs.
static bool describe(const struct worker *worker, const struct flow *flow,
		     enum flow_direction_index index, uint32_t generation,
		     struct flow_offload_direction *result)
{
	const struct flow_direction *direction = &flow->direction[index];
	const struct tables *tables = worker->tables;
	struct flow_action action = flow_action_get(direction);
	struct flow_action back = flow_action_get(&flow->direction[!index]);
	struct ingress ingress = {.port = (uint16_t)(direction->ingress >> 48),
				  .peer = (uint16_t)(direction->ingress >> 32)};
	const struct port *in = offload_port(worker, ingress.port);
	const struct port *out = offload_port(worker, action.port);
	const struct endpoint *source, *destination;

	if (!in || !out || (action.flags & ~OFFLOAD_ACTIONS) ||
	    capture_watches(worker->captures, ingress.port) ||
	    capture_watches(worker->captures, action.port) ||
	    atomic_load_explicit(&direction->generation, memory_order_acquire) != generation ||
	    action.destination >= tables->endpoint_count ||
	    back.destination >= tables->endpoint_count)
		return false;
	// Behind the uplink are many: it is the one that answers go to.
	source = tables_endpoint(tables, ingress.peer ? back.destination
						      : tables->ports[ingress.port].endpoint);
	destination = tables_endpoint(tables, action.destination);
	if (!source || !destination)
		return false;
	*result = (struct flow_offload_direction){
		.in = in->offload_interface,
		.out = out->offload_interface,
		.port_in = ingress.port,
		.port_out = action.port,
		.mtu = tables->networks[source->network].mtu,
		.routed = action.flags & FLOW_ACTION_ROUTE,
		.received = {destination->mac, source->mac},
	};
	if (result->routed) {
		result->received[0] = source->gateway_mac;
		result->sent[0] = destination->mac;
		result->sent[1] = destination->gateway_mac;
	}
	if (action.flags && destination->mtu < result->mtu)
		result->mtu = destination->mtu;
	if (ingress.peer) {
		if (result->routed || action.flags & FLOW_ACTION_TUNNEL)
			return false;
		describe_arrival(worker, direction, ingress, source, destination, result);
		// The sender's network may be another one.
		result->mtu = tables->networks[destination->network].mtu;
	}
	if (action.flags & FLOW_ACTION_TUNNEL) {
		if (!describe_departure(worker, direction, destination, result))
			return false;
	} else if (out->mtu && out->mtu < result->mtu) {
		// What the interface can't take is counted where Sluice sends it.
		result->mtu = out->mtu;
	}
	// Who uses other addresses than one expects goes on as before.
	return direction->ingress ==
	       flow_ingress_make(ingress, &result->received[0], &result->received[1]);
}

void offload_underlay_changed(struct worker *worker)
{
	if (worker->engine->offload)
		flow_offload_underlay_changed(worker->engine->offload);
}

uint32_t offload_next_hop_used(const struct worker *worker, const struct neighbour *next_hop)
{
	if (!worker->engine->offload)
		return worker->now - INT32_MAX;
	return flow_offload_next_hop_used(worker->engine->offload,
					  (uint32_t)(next_hop - worker->engine->neighbours.entries),
					  worker->now);
}

// The owner's.
static void consider(struct worker *worker, flow_reference reference)
{
	const struct flow *flow = flow_table_get(worker->flows, reference);
	const struct flow_account *account = &flow->account;
	struct flow_offload_direction directions[2];
	uint32_t generation = tables_generation(worker->tables);
	uint32_t underlay = flow_offload_underlay(worker->engine->offload);

	if (!flow_has(account, FLOW_LIVE) || flow_has(account, FLOW_OFFLOADED | FLOW_ONE_WAY) ||
	    !has_state(account, flow->direction[FLOW_ORIGINAL].key.protocol) ||
	    account->packets[0] + account->packets[1] < OFFLOAD_PACKETS)
		return;
	for (unsigned int i = 0; i < 2; i++)
		if (!describe(worker, flow, i, generation, &directions[i]))
			return;
	if (!flow_offload_begin(worker->engine->offload, worker->index, reference, directions,
				generation, underlay))
		return;
	worker->offload_begun = reference;
	worker->offload_drained = false;
	for (uint32_t i = 0; i < worker->engine->options.worker_count; i++)
		worker->offload_quiet[i] = atomic_load(&worker->engine->workers[i]->quiet);
	worker->offload_token = rte_rcu_qsbr_start(worker->engine->readers);
}

static bool others_quiet(const struct worker *worker)
{
	for (uint32_t i = 0; i < worker->engine->options.worker_count; i++) {
		const struct worker *other = worker->engine->workers[i];

		if (i != worker->index && !atomic_load(&other->sleeping) &&
		    atomic_load(&other->quiet) == worker->offload_quiet[i])
			return false;
	}
	return true;
}

// The kernel begins where Sluice has ended: a number that another worker notes too late would make
// the answer to it wrong, and packets on their way through Sluice would be overtaken. So all
// workers have passed on what they had, and this one has sent it.
static bool starts(struct worker *worker, bool quiet)
{
	if (!rte_rcu_qsbr_check(worker->engine->readers, worker->offload_token, false))
		return false;
	if (worker->offload_waited++ < OFFLOAD_WAIT && !(quiet && worker->offload_drained)) {
		worker->offload_drained = others_quiet(worker);
		return false;
	}
	flow_offload_start(worker->engine->offload, worker->index, worker->offload_begun);
	worker->offload_begun = 0;
	worker->offload_waited = 0;
	return true;
}

// By the key that is there now: the connection may end and its place be used again at any time.
static uint32_t owner_of(const struct worker *worker, flow_reference reference)
{
	const struct flow *flow = flow_table_get(worker->flows, reference);
	struct flow_hash hash =
		flow_hash(&worker->flows->secret, &flow->direction[FLOW_ORIGINAL].key);

	return flow_table_owner(worker->flows, hash);
}

void offload_sample(struct worker *worker, uint32_t count)
{
	flow_reference reference, none = 0;
	struct worker *owner;

	worker->offload_passed += count;
	if (worker->offload_passed < OFFLOAD_SAMPLE || !count)
		return;
	worker->offload_passed = 0;
	reference = worker->burst.references[worker->offload_sampled++ % count];
	if (!reference)
		return;
	owner = worker->engine->workers[owner_of(worker, reference)];
	if (atomic_compare_exchange_strong(&owner->offload_wanted, &none, reference) &&
	    atomic_load(&owner->sleeping))
		worker_wake(owner);
}

void offload_turn(struct worker *worker, bool quiet)
{
	flow_reference reference;

	if (worker->offload_begun && !starts(worker, quiet))
		return;
	reference = atomic_exchange(&worker->offload_wanted, 0);
	if (reference && owner_of(worker, reference) == worker->index)
		consider(worker, reference);
}

// Does this packet leave the connection as it is?
static bool is_plain(struct worker *worker, const struct packet *packet, flow_reference reference,
		     struct flow_account *account)
{
	uint16_t state;

	flow_table_account(worker->flows, reference, account);
	state = account->state;
	return flow_account_packet(NULL, account, reference & 1, packet, packet->length,
				   worker->now) == FLOW_GOES_ON &&
	       account->state == state;
}

bool offload_receive(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
		     struct ingress ingress, struct flow_hash hash, flow_reference reference)
{
	struct flow_offload *offload = worker->engine->offload;
	const struct flow *flow = flow_table_get(worker->flows, reference);
	const struct flow_direction *direction = &flow->direction[reference & 1];
	struct flow_account account;

	flow_offload_catch_up(offload, reference);
	if (flow_offload_holds(offload, reference, tables_generation(worker->tables)) &&
	    direction->ingress ==
		    flow_ingress_make(ingress, &packet->destination_mac, &packet->source_mac) &&
	    is_plain(worker, packet, reference, &account)) {
		flow_offload_account(offload, reference, &account, 1 + packet->fragments,
				     packet->length);
		fast_path_forward(worker, mbuf, packet,
				  &(struct passage){.ingress = ingress,
						    .action = flow_action_get(direction),
						    .hash = hash,
						    .flow = flow,
						    .direction = reference & 1});
		return true;
	}
	flow_offload_end(offload, worker->index, reference);
	return false;
}
