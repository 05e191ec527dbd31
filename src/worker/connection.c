// Packets that the fast path has no decision for, or whose decision is out of date: those that open
// connections, and those of live ones that the layers have to judge anew.

#include "flow/state.h"
#include "layer/external/external.h"
#include "layer/nat/nat.h"
#include "worker/worker.h"

// Most changes leave a connection its rules, and a cache line that was only read need not go back
// to memory.
static void set_rule(struct flow_direction *direction, struct flow_rule rule)
{
	if (direction->rule.group != rule.group || direction->rule.rule != rule.rule)
		direction->rule = rule;
}

static void set_rules(struct flow *flow, const struct walk *walk)
{
	set_rule(&flow->direction[FLOW_ORIGINAL], walk->rules[0]);
	set_rule(&flow->direction[FLOW_REPLY], walk->rules[1]);
}

// Both directions of the connection that a walk has allowed. `reply` is all zero.
static void fill_directions(const struct packet *packet, struct ingress ingress,
			    const struct walk *walk, const struct recalled *recalled,
			    struct flow *flow)
{
	struct flow_direction *original = &flow->direction[FLOW_ORIGINAL];
	struct flow_direction *reply = &flow->direction[FLOW_REPLY];

	original->key = packet->key;
	original->ingress =
		flow_ingress_make(ingress, &packet->destination_mac, &packet->source_mac);
	flow_action_set(original, walk->action, walk->generation);
	memset(&flow->account, 0, sizeof(flow->account));
	memset(reply, 0, sizeof(*reply));
	if (packet->key.flags & FLOW_KEY_ONE_WAY)
		flow->account.flags = FLOW_ONE_WAY;
	else if (recalled)
		recall_reply(recalled, &packet->key, reply);
	else
		walk_predict_reply(walk, reply);
}

// Enters the connection that a walk has allowed, in place of `replaced` (0: of none). NULL, and
// `reason`: it can't be, and nothing is done.
static struct flow *enter(struct worker *worker, const struct packet *packet,
			  struct ingress ingress, struct walk *walk,
			  const struct recalled *recalled, struct flow_hash hash,
			  flow_reference replaced, enum drop_reason *reason)
{
	struct flow *flow;
	struct flow_hash back = hash;

	if (unlikely(worker->tables->translates) &&
	    !translation_fit(worker, walk, hash, replaced)) {
		*reason = DROP_TRANSLATION_FULL;
		return NULL;
	}
	if (unlikely(walk->mapping) && !nat_connection_begins(walk, worker->now)) {
		*reason = DROP_NAT_PORTS;
		return NULL;
	}
	*reason = DROP_CONNECTION_TABLE_FULL;
	flow = flow_table_place(worker->flows, worker->index);
	if (!flow) {
		if (walk->mapping)
			nat_connection_fails(walk);
		return NULL;
	}
	if (replaced)
		flow_table_remove(worker->flows, worker->index, replaced);
	// What was recalled has the packet's own addresses and ports.
	fill_directions(packet, ingress, walk, walk_translates(walk) ? NULL : recalled, flow);
	if (!(packet->key.flags & FLOW_KEY_ONE_WAY))
		back = flow_hash(&worker->flows->secret, &flow->direction[FLOW_REPLY].key);
	flow_account_count(&flow->account, FLOW_ORIGINAL, packet->length);
	flow->account.packets[FLOW_ORIGINAL] += packet->fragments;
	flow_state_open(&flow->account, packet, !walk->network->window_check);
	set_rules(flow, walk);
	if (unlikely(walk->mapping))
		flow->account.flags |= FLOW_MAPPED;
	if (likely(flow_table_enter(worker->flows, worker->index, flow, hash, back, worker->now)))
		return flow;
	if (walk->mapping)
		nat_connection_fails(walk);
	return NULL;
}

// What a trace has in place of a connection. NULL, and `reason`: as of enter.
static struct flow *enter_nowhere(const struct worker *worker, const struct packet *packet,
				  struct ingress ingress, struct walk *walk, struct flow_hash hash,
				  flow_reference replaced, struct flow *flow,
				  enum drop_reason *reason)
{
	if (worker->tables->translates && !translation_fit(worker, walk, hash, replaced)) {
		*reason = DROP_TRANSLATION_FULL;
		return NULL;
	}
	*reason = DROP_CONNECTION_TABLE_FULL;
	if (!flow_table_has_room(worker->flows, flow_table_owner(worker->flows, hash)))
		return NULL;
	fill_directions(packet, ingress, walk, NULL, flow);
	return flow;
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
	struct flow *flow, nowhere;
	struct passage passage;

	if (reason != DROP_NONE) {
		worker_drop(worker, mbuf, ingress.port, reason);
		return;
	}
	switch (recall_run(&worker->recall, &walk, &recalled)) {
	case VERDICT_DROP:
		if (walk.reason == DROP_UNKNOWN_MAC)
			replicate(worker, mbuf, packet, ingress, hash);
		else
			slow_path_drop_walked(worker, mbuf, &walk);
		return;
	case VERDICT_ANSWER:
		slow_path_answer(worker, mbuf, packet, ingress);
		return;
	case VERDICT_NEXT:
		break;
	}
	reason = flow_state_may_open(packet, walk.network->mid_stream_pickup);
	if (unlikely(walk_translates(&walk) && (packet->key.flags & FLOW_KEY_ONE_WAY)))
		reason = DROP_TRANSLATION_UNFIT;
	if (reason != DROP_NONE) {
		worker_drop(worker, mbuf, ingress.port, reason);
		return;
	}
	reason = limits_judge(worker, packet, ingress, hash, replaced);
	if (unlikely(reason != DROP_NONE)) {
		worker_drop(worker, mbuf, ingress.port, reason);
		return;
	}
	passage = (struct passage){.ingress = ingress,
				   .action = walk.action,
				   .hash = hash,
				   .direction = FLOW_ORIGINAL};
	// Who may send no more opens nothing either.
	if (!qos_passes(worker, mbuf, packet, &passage, walk.rules[0], walk.rules[1]))
		return;
	flow = unlikely(worker->trace)
		       ? enter_nowhere(worker, packet, ingress, &walk, hash, replaced, &nowhere,
				       &reason)
		       : enter(worker, packet, ingress, &walk, recalled, hash, replaced, &reason);
	if (unlikely(!flow)) {
		worker_drop(worker, mbuf, ingress.port, reason);
		return;
	}
	passage.flow = flow;
	if (likely(!passage.action.flags && !(mbuf->ol_flags & MBUF_DATAGRAM)))
		transmit_add(worker, mbuf, passage.action.port);
	else
		fast_path_forward(worker, mbuf, packet, &passage);
}

// Which rules of tracking hold: those of the network in which the connection was opened.
static const struct network *network_of(const struct worker *worker, const struct flow *flow)
{
	static const struct network none = {.window_check = true};
	const struct network *network =
		tables_network(worker->tables, flow->direction[FLOW_ORIGINAL].key.network);

	return network ? network : &none;
}

// The opener's packets come from elsewhere now. Where another node brings them from outside,
// replies go back by that one.
static void move_original(struct worker *worker, struct flow *flow, flow_ingress from)
{
	uint16_t before = flow_brought_by(worker->tables, flow);

	flow_charge_move(&worker->flows->charges, flow, from);
	if (unlikely(flow_brought_by(worker->tables, flow) != before))
		atomic_store_explicit(&flow->direction[FLOW_REPLY].generation, 0,
				      memory_order_relaxed);
}

// The connection ends, because what it was translated to is gone; and its opener begins one: again
// with the same port, or still, because nobody has answered.
static bool begins_another(const struct walk *walk)
{
	const struct packet *packet = walk->packet;

	return walk->reason == DROP_TRANSLATION_GONE && !walk->reply &&
	       packet->key.protocol == IPPROTO_TCP &&
	       (packet->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == TCP_SYN;
}

// Judges one direction of a live connection anew. False: the packet was dropped, and the connection
// ended if it was the policy that has changed (a packet that comes the wrong way must not end it);
// or it has opened a new one.
static bool judge_again(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
			struct ingress ingress, struct flow_hash hash, flow_reference reference,
			struct flow *flow)
{
	struct flow_direction *direction = &flow->direction[reference & 1];
	uint32_t generation = atomic_load_explicit(&direction->generation, memory_order_relaxed);
	flow_ingress from =
		flow_ingress_make(ingress, &packet->destination_mac, &packet->source_mac);
	bool as_before = direction->ingress == from;
	struct walk walk = walk_make(worker, packet, ingress);
	const struct recalled *recalled;

	// Its rule is set, too, and by then it is near.
	rte_prefetch0(&flow->direction[!(reference & 1)]);
	walk.reply = (reference & 1) == FLOW_REPLY;
	walk.other = flow_other_key(flow, reference & 1);
	walk.before = flow_action_get(direction).flags;
	walk.brought_by = walk.reply ? flow_brought_by(worker->tables, flow) : 0;
	switch (recall_run(&worker->recall, &walk, &recalled)) {
	case VERDICT_DROP:
	case VERDICT_ANSWER:
		if (begins_another(&walk)) {
			worker_say(worker, "connection", "the packet opens it anew");
			open_connection(worker, mbuf, packet, ingress, hash, reference);
			return false;
		}
		if (!worker->trace && as_before && generation != 0 &&
		    generation != worker->tables->generation)
			flow_table_remove(worker->flows, worker->index, reference);
		if (!walk.reason)
			walk.reason = DROP_GATEWAY;
		slow_path_drop_walked(worker, mbuf, &walk);
		return false;
	case VERDICT_NEXT:
		break;
	}
	if (unlikely(worker->trace) || (reference & 1) == FLOW_REPLY)
		direction->ingress = from;
	else
		move_original(worker, flow, from);
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
	struct flow_charges *charges = worker->trace ? NULL : &worker->flows->charges;

	switch (flow_account_packet(charges, account, reference & 1, packet, packet->length,
				    worker->now)) {
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
			flow_charge_settle(charges, account);
			flow_account_count(account, reference & 1, packet->length);
			account->last_seen = worker->now;
			break;
		}
		worker_drop(worker, mbuf, ingress.port, slow_path_outside(packet));
		return false;
	case FLOW_REOPENS:
		worker_say(worker, "connection", "the packet opens it anew");
		open_connection(worker, mbuf, packet, ingress, hash, reference);
		return false;
	case FLOW_ENDS:
		if (!worker->trace)
			flow_table_remove(worker->flows, worker->index, reference);
		worker_drop(worker, mbuf, ingress.port, slow_path_outside(packet));
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

void connection_packet(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
		       struct ingress ingress, struct flow_hash hash, flow_reference reference)
{
	uint32_t owner = flow_table_owner(worker->flows, hash);
	struct flow_direction *direction;
	struct flow *flow, copy;
	struct packet unshifted;

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
	    !judge_again(worker, mbuf, packet, ingress, hash, reference, flow))
		return;
	if (unlikely(flow_action_get(direction).flags & FLOW_ACTION_HELPED) && !worker->trace) {
		unshifted = *packet;
		helper_unshift(worker, flow, reference & 1, &unshifted);
		packet = &unshifted;
	}
	if (account(worker, mbuf, packet, ingress, hash, reference, flow)) {
		struct passage passage = {.ingress = ingress,
					  .action = flow_action_get(direction),
					  .hash = hash,
					  .flow = flow,
					  .direction = reference & 1};

		if (unlikely(packet->fragments))
			flow->account.packets[reference & 1] += packet->fragments;
		if (qos_passes_flow(worker, mbuf, packet, &passage))
			fast_path_forward(worker, mbuf, packet, &passage);
	}
}
