#include "worker/replicate.h"

#include <arpa/inet.h>

#include "base/pages.h"
#include "layer/multicast/membership.h"
#include "layer/multicast/receivers.h"
#include "layer/tunnel/tunnel.h"
#include "port/offload.h"
#include "worker/worker.h"

#define RECEIVER_NODES GROUPS_NODE
#define LIMITS_SIZE    (65536 * sizeof(struct rate_limit))

bool replicator_open(struct replicator *replicator)
{
	replicator->limits = pages_get(LIMITS_SIZE);
	return replicator->limits != NULL;
}

void replicator_close(struct replicator *replicator)
{
	for (; replicator->count; replicator->count--)
		rte_pktmbuf_free(replicator->queue[replicator->first++ % REPLICATIONS_MAX].mbuf);
	pages_free(replicator->limits, LIMITS_SIZE);
}

// ---- receivers

// The first of `list` that is not below `number`, which is a port's or a node's.
static uint32_t first_from(const struct tables *tables, const uint32_t *list, uint32_t count,
			   bool nodes, uint32_t number)
{
	uint32_t first = 0, end = count;

	while (first < end) {
		uint32_t middle = first + (end - first) / 2;
		const struct endpoint *endpoint = &tables->endpoints[list[middle]];

		if ((nodes ? endpoint->peer : endpoint->port) < number)
			first = middle + 1;
		else
			end = middle;
	}
	return first < count ? list[first] : 0;
}

static uint32_t next_of_all(const struct tables *tables, const struct network *network,
			    const struct replication *replication)
{
	uint32_t found = 0, next = replication->next;

	if (next < RECEIVER_NODES && (replication->receivers & REPLICATE_LOCAL))
		found = first_from(tables, network->local, network->local_count, false, next);
	if (!found && (replication->receivers & REPLICATE_REMOTE))
		found = first_from(tables, network->remote, network->remote_count, true,
				   next < RECEIVER_NODES ? 0 : next - RECEIVER_NODES);
	return found;
}

// The worker that has the network's state, also where a trace asks.
static const struct worker *owner_of(const struct worker *worker, uint16_t network)
{
	return worker->engine->workers[network % worker->engine->options.worker_count];
}

static uint32_t next_member(const struct worker *worker, const struct network *network,
			    const struct replication *replication)
{
	const struct tables *tables = worker->tables;
	struct groups *groups = owner_of(worker, network->number)->multicast.groups;
	const struct group *group =
		groups_find(groups, network->number, &replication->packet.destination);
	const struct group_member *member;
	uint32_t next = replication->next;

	for (; group && (member = groups_from(groups, group, next)); next = member->key + 1) {
		const struct port_binding *binding = tables_port(tables, member->key);
		uint32_t found = 0;

		// A membership may outlive its port for a second.
		if (member->key >= GROUPS_NODE) {
			if (!(replication->receivers & REPLICATE_REMOTE))
				return 0;
			found = receivers_remote(tables, network,
						 (uint16_t)(member->key - GROUPS_NODE));
		} else if (binding && binding->endpoint &&
			   tables->endpoints[binding->endpoint].network == network->number) {
			found = binding->endpoint;
		}
		if (found)
			return found;
	}
	return 0;
}

// The receiver's endpoint, or 0 behind the last one.
static uint32_t next_receiver(const struct worker *worker, const struct network *network,
			      struct replication *replication)
{
	const struct tables *tables = worker->tables;

	for (;;) {
		uint32_t index = replication->receivers & REPLICATE_MEMBERS
					 ? next_member(worker, network, replication)
					 : next_of_all(tables, network, replication);
		const struct endpoint *endpoint = &tables->endpoints[index];

		if (!index)
			return 0;
		replication->next =
			1 + (endpoint->peer ? RECEIVER_NODES + endpoint->peer : endpoint->port);
		if (endpoint->peer || endpoint->port != replication->ingress.port)
			return index;
	}
}

// ---- copies

void replicate_to_node(struct worker *worker, struct rte_mbuf *mbuf, uint16_t network,
		       uint16_t peer, uint16_t port)
{
	const struct tables *tables = worker->tables;
	const struct peer *node = &tables->peers[peer];
	struct endpoint endpoint = {.peer = peer, .vni = tables->networks[network].vni};
	struct packet packet = {.key.network = network};
	struct ingress ingress = {.port = port, .peer = peer};
	struct mac_address next_hop;

	if (!tables->underlay.present || !endpoint.vni || !node->number || !node->next_hop) {
		rte_pktmbuf_free(mbuf);
		return;
	}
	if (unlikely(worker->trace)) {
		next_hop = neighbour_known(node->next_hop);
	} else if (!neighbour_mac(&worker->engine->neighbours, node->next_hop, &next_hop)) {
		if (port)
			hold_packet(worker, mbuf, &packet, ingress, node->next_hop, NULL);
		else
			rte_pktmbuf_free(mbuf);
		return;
	}
	if (tunnel_encapsulate(tables, &endpoint, next_hop, mbuf, 0) == DROP_NONE)
		transmit_add(worker, mbuf, PORT_UPLINK);
	else
		rte_pktmbuf_free(mbuf);
}

static void give_own(struct worker *worker, struct rte_mbuf *copy, const struct endpoint *receiver)
{
	const struct port *port = worker->tables->ports[receiver->port].port;

	if (receiver->peer)
		replicate_to_node(worker, copy, receiver->network, receiver->peer, 0);
	else if (port && port->driver->up(port))
		transmit_add(worker, copy, receiver->port);
	else
		// Nobody is there to hear it, so nothing is lost that should be counted.
		rte_pktmbuf_free(copy);
}

// In a trace the last refusal is that of the packet itself, if nobody gets it: told at the end.
static void tell_refusal(struct worker *worker, const struct replication *replication)
{
	worker->trace->copied = replication->given || !replication->last;
	if (replication->refused)
		trace_refusal(worker, replication->refused_at, replication->refused);
	worker->trace->copied = true;
}

static void refuse(struct worker *worker, struct replication *replication, uint16_t port,
		   enum drop_reason reason)
{
	worker_counters(worker, port)->drops[reason]++;
	if (unlikely(worker->captures))
		capture_dropped(worker, replication->mbuf, port, reason);
	if (unlikely(worker->trace))
		tell_refusal(worker, replication);
	replication->refused_at = port;
	replication->refused = reason;
}

static void give(struct worker *worker, struct replication *replication, uint32_t receiver)
{
	const struct endpoint *endpoint = &worker->tables->endpoints[receiver];
	bool own = replication->receivers & REPLICATE_OWN;
	struct ingress ingress = replication->ingress;
	struct walk walk = walk_make(worker, &replication->packet, ingress);
	struct rte_mbuf *copy;

	if (!own) {
		walk.network = &worker->tables->networks[replication->packet.key.network];
		if (walk_run_receiver(&walk, receiver) != VERDICT_NEXT) {
			refuse(worker, replication, walk.dropped_at, walk.reason);
			return;
		}
		if (!qos_group(worker, replication->mbuf, &replication->packet, endpoint->port,
			       walk.rules[1], false)) {
			refuse(worker, replication, endpoint->port, DROP_RATE_LIMIT);
			return;
		}
	}
	replication->given = true;
	// A whole copy: what is finished or rewritten on the way out is so for one receiver.
	copy = rte_pktmbuf_copy(replication->mbuf, worker->engine->pool, 0, UINT32_MAX);
	if (!copy) {
		worker_count_drop(worker, replication->mbuf, own ? endpoint->port : ingress.port,
				  DROP_NO_BUFFER);
		return;
	}
	if (own) {
		give_own(worker, copy, endpoint);
		return;
	}
	// Should the copy have to wait for the node's MAC address, it is known again by this.
	if (endpoint->peer)
		ingress.peer = endpoint->peer;
	fast_path_forward(worker, copy, &replication->packet,
			  &(struct passage){.ingress = ingress,
					    .action = walk.action,
					    .hash = replication->hash});
}

void replicate_again(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
		     struct ingress ingress, struct flow_hash hash)
{
	struct walk walk = walk_make(worker, packet, ingress);
	uint32_t receiver;

	walk.network = tables_network(worker->tables, packet->key.network);
	if (walk.network && (packet->kind == PACKET_ARP || packet->kind == PACKET_ND)) {
		replicate_to_node(worker, mbuf, walk.network->number, ingress.peer, ingress.port);
		return;
	}
	receiver = walk.network ? receivers_remote(worker->tables, walk.network, ingress.peer) : 0;
	if (!receiver)
		worker_drop(worker, mbuf, ingress.port, DROP_NO_RECEIVER);
	else if (walk_run_receiver(&walk, receiver) != VERDICT_NEXT)
		worker_drop(worker, mbuf, walk.dropped_at, walk.reason);
	else
		fast_path_forward(
			worker, mbuf, packet,
			&(struct passage){.ingress = ingress, .action = walk.action, .hash = hash});
}

// ---- the queue

// True: all have it.
static bool run(struct worker *worker, struct replication *replication)
{
	const struct network *network =
		tables_network(worker->tables, replication->packet.key.network);
	const struct port_binding *from = tables_port(worker->tables, replication->ingress.port);
	uint32_t receiver;

	// Network or sender may have gone since the packet came.
	if (!network || (!(replication->receivers & REPLICATE_OWN) && (!from || !from->counters)))
		return true;
	while ((receiver = next_receiver(worker, network, replication))) {
		if (!worker->trace) {
			if (!worker->replicator.budget) {
				// This one is the next turn's.
				replication->next--;
				return false;
			}
			worker->replicator.budget--;
		}
		replication->served = true;
		give(worker, replication, receiver);
	}
	if (!replication->served && !(replication->receivers & REPLICATE_OWN))
		worker_refuse(worker, replication->mbuf, replication->ingress.port,
			      DROP_NO_RECEIVER);
	replication->last = true;
	if (unlikely(worker->trace))
		tell_refusal(worker, replication);
	return true;
}

static void start(struct worker *worker, struct replication *replication)
{
	struct replicator *replicator = &worker->replicator;

	if (!replicator->count && run(worker, replication)) {
		rte_pktmbuf_free(replication->mbuf);
		return;
	}
	if (replicator->count == REPLICATIONS_MAX) {
		if (replication->receivers & REPLICATE_OWN)
			rte_pktmbuf_free(replication->mbuf);
		else
			worker_drop(worker, replication->mbuf, replication->ingress.port,
				    DROP_REPLICATION_QUEUE_FULL);
		return;
	}
	replicator->queue[(replicator->first + replicator->count++) % REPLICATIONS_MAX] =
		*replication;
}

uint32_t replicate_turn(struct worker *worker)
{
	struct replicator *replicator = &worker->replicator;
	uint32_t count = replicator->count;

	replicator->budget = COPIES_A_TURN;
	while (replicator->count) {
		struct replication *replication =
			&replicator->queue[replicator->first % REPLICATIONS_MAX];

		if (!run(worker, replication))
			break;
		rte_pktmbuf_free(replication->mbuf);
		replicator->first++;
		replicator->count--;
	}
	return count;
}

void replicate_own(struct worker *worker, struct rte_mbuf *mbuf, uint16_t network,
		   uint32_t receivers, uint16_t except)
{
	struct replication replication = {
		.mbuf = mbuf,
		.packet.key.network = network,
		.ingress.port = except,
		.receivers = receivers | REPLICATE_OWN,
	};

	start(worker, &replication);
}

// ---- packets

// What is between a workload and the network's services only: no workload is a server for others.
static bool is_service(const struct packet *packet)
{
	uint16_t port = ntohs(packet->key.destination_port);

	if (packet->key.protocol != IPPROTO_UDP)
		return false;
	return ip_is_v4(&packet->source) ? port == 67 || port == 68 : port == 546 || port == 547;
}

bool replicate_within_rate(struct worker *worker, const struct network *network, uint16_t port,
			   uint32_t packets)
{
	return worker->trace ||
	       rate_limit_take_several(&worker->replicator.limits[port], rte_rdtsc(),
				       worker->engine->cycles_per_second / network->multicast_rate,
				       network->multicast_burst, packets);
}

static enum drop_reason judge_sender(struct worker *worker, const struct rte_mbuf *mbuf,
				     const struct packet *packet, struct ingress ingress,
				     uint16_t *dropped_at)
{
	struct walk walk = walk_make(worker, packet, ingress);
	bool multicast = mac_is_multicast(&packet->destination_mac);
	const struct network *network;

	*dropped_at = ingress.port;
	if (walk_begin(&walk) != VERDICT_NEXT)
		return walk.reason;
	network = walk.network;
	// Nothing is routed to several receivers, so nothing of this kind comes from a gateway.
	if (ingress.port == PORT_UPLINK && mac_equal(&packet->source_mac, &network->gateway_mac))
		return DROP_TUNNEL_SOURCE;
	if (walk_run_sender(&walk) != VERDICT_NEXT) {
		*dropped_at = walk.dropped_at;
		return walk.reason;
	}
	if (!network->multicast_rate)
		return multicast ? DROP_MULTICAST : DROP_UNKNOWN_MAC;
	if (multicast &&
	    (is_service(packet) || receivers_of(&packet->destination) == RECEIVERS_NONE))
		return DROP_MULTICAST;
	if (ingress.port != PORT_UPLINK &&
	    !replicate_within_rate(worker, network, ingress.port, packet_wire_count(mbuf)))
		return DROP_MULTICAST_RATE;
	return qos_group(worker, mbuf, packet, ingress.port, walk.rules[0], true) ? DROP_NONE
										  : DROP_RATE_LIMIT;
}

void replicate(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
	       struct ingress ingress, struct flow_hash hash)
{
	uint32_t owner = packet->key.network % worker->engine->options.worker_count;
	struct replication replication = {
		.mbuf = mbuf,
		.packet = *packet,
		.ingress = ingress,
		.hash = hash,
		// No node relays for another.
		.receivers = ingress.port == PORT_UPLINK ? REPLICATE_LOCAL
							 : REPLICATE_LOCAL | REPLICATE_REMOTE,
	};
	enum drop_reason reason;
	uint16_t dropped_at;

	if (unlikely(mbuf->ol_flags & MBUF_DATAGRAM)) {
		fragments_replicate(worker, mbuf, packet, ingress, hash);
		return;
	}
	if (owner != worker->index && !worker->trace &&
	    mac_is_multicast(&packet->destination_mac)) {
		hand_over_first(worker, mbuf, packet, ingress, owner);
		return;
	}
	if (membership_is(packet)) {
		// To nobody: this may not be the worker that has the network's groups.
		if (!mac_is_multicast(&packet->destination_mac))
			worker_drop(worker, mbuf, ingress.port, DROP_UNKNOWN_MAC);
		else
			multicast_receive(worker, mbuf, packet, ingress);
		return;
	}
	reason = judge_sender(worker, mbuf, packet, ingress, &dropped_at);
	if (reason != DROP_NONE) {
		worker_drop(worker, mbuf, dropped_at, reason);
		return;
	}
	if (receivers_of(&packet->destination) == RECEIVERS_MEMBERS)
		replication.receivers |= REPLICATE_MEMBERS;
	worker_say(worker, "replicate", "to the %s of network %s",
		   replication.receivers & REPLICATE_MEMBERS ? "group's members" : "ports",
		   worker->tables->networks[packet->key.network].name);
	start(worker, &replication);
}
