// What the fast path does not do: everything that is no plain packet of a connection is decided
// upon here; connection.c has those that are.

#include "flow/state.h"
#include "layer/address_resolution/address_resolution.h"
#include "layer/external/external.h"
#include "layer/gateway/gateway.h"
#include "layer/services/services.h"
#include "worker/health.h"
#include "worker/worker.h"

static void resolve(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
		    struct ingress ingress)
{
	const struct tables *tables = worker->tables;
	const struct endpoint *source =
		tables_endpoint(tables, tables->ports[ingress.port].endpoint);
	struct address_resolution message;
	enum resolution result;
	enum drop_reason reason;

	if (!source) {
		announce_from_node(worker, mbuf, packet, ingress);
		return;
	}
	result = resolution_from_port(tables, &tables->networks[source->network], source, mbuf,
				      packet, &message, &reason);
	if (message.genuine)
		announce_heard(worker, source, &message, ingress);
	switch (result) {
	case RESOLUTION_ANSWERED:
		worker_say(worker, "address-resolution", "answered");
		transmit_add(worker, mbuf, ingress.port);
		break;
	case RESOLUTION_DONE:
		worker_say(worker, "address-resolution", "nothing to answer");
		rte_pktmbuf_free(mbuf);
		break;
	case RESOLUTION_ASK:
		announce_ask(worker, source->network, &message.target, ingress.port);
		rte_pktmbuf_free(mbuf);
		break;
	case RESOLUTION_DROP:
		worker_drop(worker, mbuf, ingress.port, reason);
		break;
	}
}

// What a walk dropped goes to the account of the port whose policy it was.
void slow_path_drop_walked(struct worker *worker, struct rte_mbuf *mbuf, const struct walk *walk)
{
	if (walk->asked && walk->ingress.port != PORT_UPLINK)
		announce_ask_owner(worker, walk->asked, walk->ingress.port);
	if (walk->dropped_at != walk->ingress.port)
		worker_drop(worker, mbuf, walk->dropped_at, walk->reason);
	else
		worker_reject(worker, mbuf, walk->packet, walk->ingress, walk->reason);
}

static enum verdict run_walk(struct walk *walk)
{
	enum verdict verdict = walk_begin(walk);

	return verdict == VERDICT_NEXT ? walk_run(walk) : verdict;
}

// Does the direction's packets' port (and node) match, whatever the MAC addresses?
static bool same_place(const struct worker *worker, flow_reference reference,
		       struct ingress ingress)
{
	const struct flow *flow = flow_table_get(worker->flows, reference);
	flow_ingress expected = flow->direction[reference & 1].ingress;
	static const struct mac_address none;

	return (expected ^ flow_ingress_make(ingress, &none, &none)) >> 32 == 0;
}

// An ICMP error passes if the connection that it quotes is alive and still allowed: it is judged as
// a packet of it, for itself each time.
static void related(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
		    struct ingress ingress, struct flow_hash hash)
{
	struct walk walk = walk_make(worker, packet, ingress);
	flow_reference reference = flow_table_find(worker->flows, &packet->key, hash);
	const struct flow *flow = flow_table_get(worker->flows, reference);
	struct flow_account account;

	// It must come from where the connection's packets come, and go to the one who sent what it
	// quotes.
	if (!reference || !same_place(worker, reference, ingress) ||
	    !ip_equal(&packet->destination, &packet->key.destination)) {
		worker_drop(worker, mbuf, ingress.port, DROP_NO_CONNECTION);
		return;
	}
	flow_table_account(worker->flows, reference, &account);
	if (!flow_state_quotes(&account, !(reference & 1), packet)) {
		worker_say(worker, "connection", "an error about nothing that a live one has sent");
		worker_drop(worker, mbuf, ingress.port, slow_path_outside(packet));
		return;
	}
	worker_say(worker, "connection", "an error about a live one");
	walk.reply = (reference & 1) == FLOW_REPLY;
	walk.other = flow_other_key(flow, reference & 1);
	walk.brought_by = walk.reply ? flow_brought_by(worker->tables, flow) : 0;
	switch (run_walk(&walk)) {
	case VERDICT_NEXT:
		// By its MAC address it could be for anybody.
		if (same_place(worker, reference ^ 1,
			       (struct ingress){.port = walk.destination->port,
						.peer = walk.destination->peer}))
			fast_path_forward(worker, mbuf, packet,
					  &(struct passage){.ingress = ingress,
							    .action = walk.action,
							    .hash = hash,
							    .flow = flow,
							    .direction = reference & 1});
		else
			worker_drop(worker, mbuf, ingress.port, DROP_NO_CONNECTION);
		break;
	case VERDICT_DROP:
		slow_path_drop_walked(worker, mbuf, &walk);
		break;
	case VERDICT_ANSWER:
		worker_drop(worker, mbuf, ingress.port, DROP_GATEWAY);
		break;
	}
}

void slow_path_answer(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
		      struct ingress ingress)
{
	if (packet->fragments ? fragments_answer(worker, mbuf, packet, ingress)
			      : gateway_echo(mbuf, packet)) {
		worker_say(worker, "gateway", "answers");
		if (!packet->fragments)
			worker_answer(worker, mbuf, packet->key.network, ingress.port);
	} else {
		worker_reject(worker, mbuf, packet, ingress, DROP_GATEWAY);
	}
}

void slow_path_found(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
		     struct ingress ingress, struct flow_hash hash, flow_reference reference)
{
	if (unlikely(ingress.peer && ingress.port != PORT_UPLINK)) {
		replicate_again(worker, mbuf, packet, ingress, hash);
		return;
	}
	if (services_concern(packet) && services_receive(worker, mbuf, packet, ingress))
		return;
	if (unlikely(health_concerns(worker->tables, packet, ingress)) &&
	    (ingress.port == PORT_UPLINK ? health_heard(worker, mbuf, packet, ingress)
					 : health_receive(worker, mbuf, packet, ingress)))
		return;
	switch (packet->kind) {
	case PACKET_ARP:
	case PACKET_ND:
		resolve(worker, mbuf, packet, ingress);
		break;
	case PACKET_FRAGMENT:
		fragments_receive(worker, mbuf, packet, ingress, hash);
		break;
	case PACKET_OVERSIZE:
		size_exceeded_at_port(worker, mbuf, packet, ingress);
		break;
	case PACKET_ICMP_ERROR:
		related(worker, mbuf, packet, ingress, hash);
		break;
	default:
		if (unlikely(mac_is_multicast(&packet->destination_mac)))
			replicate(worker, mbuf, packet, ingress, hash);
		else
			connection_packet(worker, mbuf, packet, ingress, hash, reference);
		break;
	}
}

void slow_path(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
	       struct ingress ingress, struct flow_hash hash)
{
	slow_path_found(
		worker, mbuf, packet, ingress, hash,
		packet->kind == PACKET_IP ? flow_table_find(worker->flows, &packet->key, hash) : 0);
}
