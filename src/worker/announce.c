// Addresses that several ports may use: who says that it has one, who is told, and who is asked.
//
// The port that last said by ARP or ND that it has the address has it. All ports of its network are
// told, and all nodes with ports in its routing domain, in Sluice's own words: an announcement from
// the owner's MAC address. Where nobody is known to have it, those that may are asked, from the
// gateway's MAC address; their answer is heard as any other.

#include "layer/address_resolution/address_resolution.h"
#include "layer/shared_address/owner.h"
#include "worker/worker.h"

// Who may have one address, asked in one second; the others have their turn in the next ones.
#define ASKED_MAX 64

static enum address_move move(struct worker *worker, const struct shared_address *shared,
			      const struct endpoint *endpoint)
{
	enum address_move result = address_owner_set(
		shared->owner, address_owner_port(endpoint->network, &endpoint->mac), worker->now,
		worker->trace != NULL);

	if (result == ADDRESS_MOVED && !worker->trace)
		engine_judge_anew(worker->engine, worker->now);
	return result;
}

static struct rte_mbuf *make_announcement(struct worker *worker, const struct endpoint *owner,
					  const struct ip_address *address)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(worker->engine->pool);

	if (mbuf && (ip_is_v4(address) ? arp_request(mbuf, &owner->mac, address, address)
				       : nd_announcement(mbuf, &owner->mac, address)))
		return mbuf;
	rte_pktmbuf_free(mbuf);
	return NULL;
}

static void tell_ports(struct worker *worker, const struct shared_address *shared,
		       const struct endpoint *owner)
{
	struct rte_mbuf *mbuf = make_announcement(worker, owner, &shared->address);

	if (mbuf)
		replicate_own(worker, mbuf, owner->network, REPLICATE_LOCAL,
			      owner->peer ? 0 : owner->port);
}

static void tell_nodes(struct worker *worker, const struct shared_address *shared,
		       const struct endpoint *owner)
{
	const struct domain_node *nodes = worker->tables->domain_nodes + shared->first_node;

	for (uint32_t i = 0; i < shared->node_count; i++) {
		struct rte_mbuf *mbuf = make_announcement(worker, owner, &shared->address);

		if (mbuf)
			replicate_to_node(worker, mbuf, owner->network, nodes[i].peer, owner->port);
	}
}

void announce_heard(struct worker *worker, const struct endpoint *sender,
		    const struct address_resolution *message, struct ingress ingress)
{
	const struct tables *tables = worker->tables;
	const struct shared_address *shared = tables_find_shared(
		tables, tables->networks[sender->network].domain, &message->sender);
	bool announcement = !message->solicitation || ip_equal(&message->sender, &message->target);
	enum address_move result;
	char text[IP_TEXT_SIZE];

	if (!shared || !tables_is_candidate(tables, shared, sender))
		return;
	result = move(worker, shared, sender);
	if (result == ADDRESS_MOVES_TOO_OFTEN) {
		// The message may have become an answer by now.
		worker_count_drop(worker, NULL, ingress.port, DROP_ADDRESS_MOVES);
		return;
	}
	worker_say(worker, "address-resolution", "%s %s %s", ip_format(&shared->address, text),
		   result == ADDRESS_MOVED ? "moves to" : "is at",
		   tables_detail(tables, sender)->name);
	if ((result == ADDRESS_STAYS && !announcement) ||
	    !second_count_take(&shared->owner->announcements, worker->now, ADDRESS_ANNOUNCEMENTS,
			       worker->trace != NULL))
		return;
	tell_ports(worker, shared, sender);
	if (!sender->peer)
		tell_nodes(worker, shared, sender);
}

static void ask_one(struct worker *worker, const struct shared_address *shared,
		    const struct endpoint *candidate, uint16_t port)
{
	const struct network *network = &worker->tables->networks[candidate->network];
	bool v4 = ip_is_v4(&shared->address);
	struct ip_address from = network_own_address(network, v4);
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(worker->engine->pool);
	const struct port *local = worker->tables->ports[candidate->port].port;

	if (!mbuf || !(v4 ? arp_request(mbuf, &network->gateway_mac, &from, &shared->address)
			  : nd_request(mbuf, &network->gateway_mac, &from, &shared->address)))
		rte_pktmbuf_free(mbuf);
	else if (candidate->peer)
		replicate_to_node(worker, mbuf, candidate->network, candidate->peer, port);
	else if (local && local->driver->up(local))
		transmit_add(worker, mbuf, candidate->port);
	else
		// Nobody is there to hear it, so nothing is lost that should be counted.
		rte_pktmbuf_free(mbuf);
}

// With `local` only ports of this node, in whatever network: another node asks once for each that
// may have it, and the first question speaks for all of them.
static void ask(struct worker *worker, const struct shared_address *shared, bool local,
		uint16_t port)
{
	const struct tables *tables = worker->tables;
	uint32_t count = RTE_MIN(shared->candidate_count, ASKED_MAX);
	uint32_t first = (worker->now * ASKED_MAX) % shared->candidate_count;

	worker_say(worker, "address-resolution", "those that may have it are asked");
	if (worker->trace || !second_count_take(&shared->owner->questions, worker->now, 1, false))
		return;
	for (uint32_t i = 0; i < count; i++) {
		const struct endpoint *candidate =
			&tables->endpoints[shared->candidates[(first + i) %
							      shared->candidate_count]];

		if (!local || !candidate->peer)
			ask_one(worker, shared, candidate, port);
	}
}

void announce_ask_owner(struct worker *worker, const struct shared_address *shared, uint16_t port)
{
	ask(worker, shared, false, port);
}

void announce_ask(struct worker *worker, uint16_t network, const struct ip_address *address,
		  uint16_t port)
{
	const struct tables *tables = worker->tables;
	const struct shared_address *shared =
		tables_find_shared(tables, tables->networks[network].domain, address);

	if (shared)
		announce_ask_owner(worker, shared, port);
}

void announce_from_node(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
			struct ingress ingress)
{
	const struct tables *tables = worker->tables;
	const struct network *network = tables_network(tables, packet->key.network);
	const uint8_t *data = rte_pktmbuf_mtod(mbuf, const uint8_t *);
	const struct shared_address *shared;
	const struct endpoint *sender;
	struct address_resolution message;
	enum drop_reason reason = DROP_TUNNEL_DESTINATION;

	if (network)
		reason = packet->kind == PACKET_ARP
				 ? arp_read(data, rte_pktmbuf_data_len(mbuf), packet, &message)
				 : nd_read(data, rte_pktmbuf_data_len(mbuf), packet, &message);
	if (reason != DROP_NONE) {
		worker_drop(worker, mbuf, ingress.port, reason);
		return;
	}
	sender = tables_endpoint(tables,
				 tables_find_mac(tables, network->number, &packet->source_mac));
	// Every node answers its own workloads: nothing else of this kind travels between nodes.
	if (mac_equal(&packet->source_mac, &network->gateway_mac)) {
		shared = tables_find_shared(tables, network->domain, &message.target);
		if (!message.solicitation || !shared)
			reason = DROP_TUNNEL_DESTINATION;
		else
			ask(worker, shared, true, 0);
	} else {
		shared = tables_find_shared(tables, network->domain, &message.sender);
		if (!shared)
			reason = DROP_TUNNEL_DESTINATION;
		else if (!sender || sender->peer != ingress.peer ||
			 !mac_equal(&message.sender_mac, &sender->mac) ||
			 !tables_is_candidate(tables, shared, sender))
			reason = DROP_TUNNEL_SOURCE;
		else
			announce_heard(worker, sender, &message, ingress);
	}
	if (reason == DROP_NONE)
		rte_pktmbuf_free(mbuf);
	else
		worker_drop(worker, mbuf, ingress.port, reason);
}
