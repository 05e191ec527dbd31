// What the fast path does not know: first packets of connections, packets of connections whose
// decision is out of date, and everything that is no plain packet of a connection.

#include "flow/state.h"
#include "layer/address_resolution/address_resolution.h"
#include "layer/gateway/gateway.h"
#include "layer/services/services.h"
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
static void drop_walked(struct worker *worker, struct rte_mbuf *mbuf, const struct walk *walk)
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

static enum drop_reason outside_reason(const struct packet *packet)
{
	return packet->key.protocol == IPPROTO_SCTP ? DROP_SCTP_TAG : DROP_TCP_WINDOW;
}

// An ICMP error passes if the connection that it quotes is alive and still allowed: it is judged as
// a packet of it, for itself each time.
static void related(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
		    struct ingress ingress, struct flow_hash hash)
{
	struct walk walk = walk_make(worker, packet, ingress);
	flow_reference reference = flow_table_find(worker->flows, &packet->key, hash);
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
		worker_drop(worker, mbuf, ingress.port, outside_reason(packet));
		return;
	}
	worker_say(worker, "connection", "an error about a live one");
	walk.reply = (reference & 1) == FLOW_REPLY;
	switch (run_walk(&walk)) {
	case VERDICT_NEXT:
		// By its MAC address it could be for anybody.
		if (same_place(worker, reference ^ 1,
			       (struct ingress){.port = walk.destination->port,
						.peer = walk.destination->peer}))
			fast_path_forward(worker, mbuf, packet, ingress, walk.action, hash);
		else
			worker_drop(worker, mbuf, ingress.port, DROP_NO_CONNECTION);
		break;
	case VERDICT_DROP:
		drop_walked(worker, mbuf, &walk);
		break;
	case VERDICT_ANSWER:
		worker_drop(worker, mbuf, ingress.port, DROP_GATEWAY);
		break;
	}
}

static void answer(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
		   struct ingress ingress)
{
	if (packet->fragments ? fragments_answer(worker, mbuf, packet, ingress)
			      : gateway_echo(mbuf, packet)) {
		worker_say(worker, "gateway", "answers");
		if (!packet->fragments)
			transmit_add(worker, mbuf, ingress.port);
	} else {
		worker_reject(worker, mbuf, packet, ingress, DROP_GATEWAY);
	}
}

static void set_rules(struct flow *flow, const struct walk *walk)
{
	flow->direction[FLOW_ORIGINAL].rule = walk->rules[0];
	flow->direction[FLOW_REPLY].rule = walk->rules[1];
}

// The first packet of a connection, on the worker that owns it. If it may open one, the connection
// `replaced` ends (0: there is none).
static void open_connection(struct worker *worker, struct rte_mbuf *mbuf,
			    const struct packet *packet, struct ingress ingress,
			    struct flow_hash hash, flow_reference replaced)
{
	struct walk walk = walk_make(worker, packet, ingress);
	enum drop_reason reason = flow_state_may_open(packet, true);
	const struct recalled *recalled;
	struct flow flow = {.account = {.packets = {0}}};
	struct flow_direction *original = &flow.direction[FLOW_ORIGINAL];

	if (reason != DROP_NONE) {
		worker_drop(worker, mbuf, ingress.port, reason);
		return;
	}
	// The reply's is this one, where it comes in the same network.
	flow.direction[FLOW_REPLY].key = flow_key_reverse(&packet->key, packet->key.network);
	flow_table_expect(worker->flows, &flow.direction[FLOW_REPLY].key);
	switch (recall_run(&worker->recall, &walk, &recalled)) {
	case VERDICT_DROP:
		if (walk.reason == DROP_UNKNOWN_MAC)
			replicate(worker, mbuf, packet, ingress, hash);
		else
			drop_walked(worker, mbuf, &walk);
		return;
	case VERDICT_ANSWER:
		answer(worker, mbuf, packet, ingress);
		return;
	case VERDICT_NEXT:
		break;
	}
	reason = flow_state_may_open(packet, walk.network->mid_stream_pickup);
	if (reason != DROP_NONE) {
		worker_drop(worker, mbuf, ingress.port, reason);
		return;
	}
	original->key = packet->key;
	original->ingress =
		flow_ingress_make(ingress, &packet->destination_mac, &packet->source_mac);
	flow_action_set(original, walk.action, walk.generation);
	if (packet->key.flags & FLOW_KEY_ONE_WAY)
		flow.account.flags = FLOW_ONE_WAY;
	else if (recalled)
		recall_reply(recalled, &packet->key, &flow.direction[FLOW_REPLY]);
	else
		walk_predict_reply(&walk, &flow.direction[FLOW_REPLY]);
	flow_account_count(&flow.account, FLOW_ORIGINAL, packet->length);
	flow.account.packets[FLOW_ORIGINAL] += packet->fragments;
	flow_state_open(&flow.account, packet, !walk.network->window_check);
	set_rules(&flow, &walk);
	if (unlikely(replaced || worker->trace) &&
	    !flow_table_has_room(worker->flows, flow_table_owner(worker->flows, hash))) {
		worker_drop(worker, mbuf, ingress.port, DROP_CONNECTION_TABLE_FULL);
		return;
	}
	if (replaced && !worker->trace)
		flow_table_remove(worker->flows, worker->index, replaced);
	if (!worker->trace &&
	    !flow_table_insert(worker->flows, worker->index, &flow, worker->now)) {
		worker_drop(worker, mbuf, ingress.port, DROP_CONNECTION_TABLE_FULL);
		return;
	}
	fast_path_forward(worker, mbuf, packet, ingress, walk.action, hash);
}

// Which rules of tracking hold: those of the network in which the connection was opened.
static const struct network *network_of(const struct worker *worker, const struct flow *flow)
{
	static const struct network none = {.window_check = true};
	const struct network *network =
		tables_network(worker->tables, flow->direction[FLOW_ORIGINAL].key.network);

	return network ? network : &none;
}

// Judges one direction of a live connection anew. False: the packet was dropped, and the connection
// ended if it was the policy that has changed (a packet that comes the wrong way must not end it).
static bool judge_again(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
			struct ingress ingress, flow_reference reference, struct flow *flow)
{
	struct flow_direction *direction = &flow->direction[reference & 1];
	uint32_t generation = atomic_load_explicit(&direction->generation, memory_order_relaxed);
	flow_ingress from =
		flow_ingress_make(ingress, &packet->destination_mac, &packet->source_mac);
	bool as_before = direction->ingress == from;
	struct walk walk = walk_make(worker, packet, ingress);
	const struct recalled *recalled;

	// Its rule is set, too, and by then it is near.
	__builtin_prefetch(&flow->direction[!(reference & 1)].rule, 1);
	walk.reply = (reference & 1) == FLOW_REPLY;
	switch (recall_run(&worker->recall, &walk, &recalled)) {
	case VERDICT_DROP:
	case VERDICT_ANSWER:
		if (!worker->trace && as_before && generation != 0 &&
		    generation != worker->tables->generation)
			flow_table_remove(worker->flows, worker->index, reference);
		if (!walk.reason)
			walk.reason = DROP_GATEWAY;
		drop_walked(worker, mbuf, &walk);
		return false;
	case VERDICT_NEXT:
		break;
	}
	direction->ingress = from;
	flow_action_set(direction, walk.action, walk.generation);
	set_rules(flow, &walk);
	if (flow_state_has_numbers(&flow->account) && !network_of(worker, flow)->window_check)
		flow_state_loosen(&flow->account);
	return true;
}

// Are all of the port's packets this worker's?
static bool sole_worker(const struct worker *worker, uint16_t port)
{
	const struct port_binding *binding = tables_port(worker->tables, port);

	return binding && binding->port && binding->port->queues == 1 &&
	       binding->first_worker == worker->index;
}

// May other workers than one have a direction's packets?
static bool several_workers(const struct worker *worker, const struct flow *flow)
{
	if (flow_has(&flow->account, FLOW_RACED))
		return true;
	if (worker->tables->worker_count == 1)
		return false;
	for (unsigned int i = 0; i < 2; i++) {
		const struct port_binding *binding =
			tables_port(worker->tables, (uint16_t)(flow->direction[i].ingress >> 48));

		if (!binding || !binding->port || binding->port->queues > 1)
			return true;
	}
	return false;
}

// Accounts a packet of a live connection, on the worker that owns it. False: the packet was
// dropped, or has opened a new connection.
static bool account(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
		    struct ingress ingress, struct flow_hash hash, flow_reference reference,
		    struct flow *flow)
{
	struct flow_account *account = &flow->account;

	switch (flow_account_packet(account, reference & 1, packet, packet->length, worker->now)) {
	case FLOW_GOES_ON:
		break;
	case FLOW_PASSES:
		worker_say(worker, "connection", "the packet changes nothing in it");
		flow_account_count(account, reference & 1, packet->length);
		return true;
	case FLOW_RENEWS:
		flow_state_renew(account, packet);
		flow_account_count(account, reference & 1, packet->length);
		break;
	case FLOW_OUTSIDE:
		if (flow_state_tolerates(account, reference & 1, packet,
					 several_workers(worker, flow),
					 network_of(worker, flow)->mid_stream_pickup)) {
			flow_account_count(account, reference & 1, packet->length);
			account->last_seen = worker->now;
			break;
		}
		worker_drop(worker, mbuf, ingress.port, outside_reason(packet));
		return false;
	case FLOW_REOPENS:
		worker_say(worker, "connection", "the packet opens it anew");
		open_connection(worker, mbuf, packet, ingress, hash, reference);
		return false;
	case FLOW_ENDS:
		if (!worker->trace)
			flow_table_remove(worker->flows, worker->index, reference);
		worker_drop(worker, mbuf, ingress.port, outside_reason(packet));
		return false;
	case FLOW_BREAKS:
		worker_drop(worker, mbuf, ingress.port, DROP_TCP_FLAGS);
		return false;
	}
	// Its numbers are there now, while another worker may be accounting the next packet.
	if (!sole_worker(worker, ingress.port))
		atomic_fetch_or_explicit(&account->flags, FLOW_RACED, memory_order_relaxed);
	return true;
}

static void connection(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
		       struct ingress ingress, struct flow_hash hash)
{
	flow_reference reference = flow_table_find(worker->flows, &packet->key, hash);
	uint32_t owner = flow_table_owner(worker->flows, hash);
	struct flow_direction *direction;
	struct flow *flow, copy;

	// Only the owner changes a connection: the first packet, and one that needs a new decision,
	// go there.
	if (owner != worker->index && !worker->trace) {
		hand_over_first(worker, mbuf, packet, ingress, owner);
		return;
	}
	if (!reference) {
		worker_say(worker, "connection", "new");
		open_connection(worker, mbuf, packet, ingress, hash, 0);
		return;
	}
	flow = flow_table_get(worker->flows, reference);
	if (unlikely(worker->trace)) {
		worker_say(worker, "connection", "%s a live one, %s",
			   reference & 1 ? "a reply in" : "belongs to",
			   flow_state_name(flow_state_get(&flow->account)));
		copy = *flow;
		flow_table_account(worker->flows, reference, &copy.account);
		if (flow_has(&copy.account, FLOW_OFFLOADED)) {
			worker_say(worker, "connection", "it goes on in the kernel");
			// As when it comes back for this packet (flow_offload_end).
			atomic_fetch_or_explicit(&copy.account.flags, FLOW_RACED,
						 memory_order_relaxed);
		}
		flow = &copy;
	} else if (unlikely(flow_has(&flow->account, FLOW_OFFLOADED)) &&
		   offload_receive(worker, mbuf, packet, ingress, hash, reference)) {
		return;
	}
	direction = &flow->direction[reference & 1];
	if ((worker->trace || direction->generation != worker->tables->generation ||
	     direction->ingress !=
		     flow_ingress_make(ingress, &packet->destination_mac, &packet->source_mac)) &&
	    !judge_again(worker, mbuf, packet, ingress, reference, flow))
		return;
	if (account(worker, mbuf, packet, ingress, hash, reference, flow)) {
		if (unlikely(packet->fragments))
			flow->account.packets[reference & 1] += packet->fragments;
		fast_path_forward(worker, mbuf, packet, ingress, flow_action_get(direction), hash);
	}
}

void slow_path(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
	       struct ingress ingress, struct flow_hash hash)
{
	if (unlikely(ingress.peer && ingress.port != PORT_UPLINK)) {
		replicate_again(worker, mbuf, packet, ingress, hash);
		return;
	}
	if (services_concern(packet) && services_receive(worker, mbuf, packet, ingress))
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
			connection(worker, mbuf, packet, ingress, hash);
		break;
	}
}
