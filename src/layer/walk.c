#include "layer/walk.h"

#include <stdarg.h>
#include <stdio.h>

#include "layer/external/external.h"
#include "layer/nat/nat.h"

void walk_say_text(struct walk *walk, const char *format, ...)
{
	char text[256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	walk->say(walk->say_context, walk->layer_name, text);
}

enum verdict walk_begin(struct walk *walk)
{
	const struct tables *tables = walk->tables;
	const struct port_binding *binding = tables_port(tables, walk->ingress.port);

	walk->generation = tables_generation(tables);
	walk->dropped_at = walk->ingress.port;
	walk->network = tables_network(tables, walk->packet->key.network);
	if (!walk->network || !binding)
		return walk_drop(walk, DROP_PORT_DOWN);
	walk->source = tables_endpoint(tables, binding->endpoint);
	walk->domain = walk->network->external ? 0 : walk->network->domain;
	walk->leaving = walk->packet->key;
	walk->mapping = 0;
	walk->expected = false;
	if (walk->other) {
		walk->leaving = flow_key_reverse(walk->other, walk->leaving.network);
		if (!flow_key_equal(&walk->leaving, &walk->packet->key))
			walk_translate(walk);
	}
	return VERDICT_NEXT;
}

void walk_opening(const struct walk *walk, struct flow_key *sent, struct flow_key *arrives)
{
	const struct flow_key *key = &walk->packet->key;

	*sent = walk->reply ? flow_key_reverse(&walk->leaving, key->network) : *key;
	*arrives = walk->reply ? flow_key_reverse(key, key->network) : walk->leaving;
}

static inline enum verdict count(struct walk *walk, unsigned int layer, enum verdict verdict)
{
	if (walk->counts)
		walk->counts->verdicts[layer][verdict]++;
	return verdict;
}

static enum verdict run(struct walk *walk, bool reply)
{
	for (unsigned int i = 0; layers[i]; i++) {
		enum verdict verdict;

		if (reply && layers[i]->kind == LAYER_OPENING)
			continue;
		walk->layer_name = layers[i]->name;
		verdict = count(walk, i, layers[i]->judge(walk, walk->tables->layers[i]));
		if (verdict != VERDICT_NEXT)
			return verdict;
	}
	return walk->to_gateway ? VERDICT_ANSWER : VERDICT_NEXT;
}

enum verdict walk_run(struct walk *walk)
{
	return run(walk, false);
}

uint64_t walk_counts_get(const struct walk_counts *counts, unsigned int layer, enum verdict verdict)
{
	return counts->verdicts[layer][verdict] + (verdict == VERDICT_NEXT ? counts->recalled : 0);
}

enum verdict walk_run_sender(struct walk *walk)
{
	for (unsigned int i = 0; layers[i]; i++) {
		enum verdict verdict;

		if (!layers[i]->judge_sender)
			continue;
		walk->layer_name = layers[i]->name;
		verdict = count(walk, i, layers[i]->judge_sender(walk, walk->tables->layers[i]));
		if (verdict != VERDICT_NEXT)
			return verdict;
	}
	return VERDICT_NEXT;
}

enum verdict walk_run_receiver(struct walk *walk, uint32_t receiver)
{
	walk->destination = &walk->tables->endpoints[receiver];
	walk->action = (struct flow_action){.destination = receiver};
	walk->dropped_at = walk->ingress.port;
	for (unsigned int i = 0; layers[i]; i++) {
		enum verdict verdict;

		if (!layers[i]->judge_receiver)
			continue;
		walk->layer_name = layers[i]->name;
		verdict = count(walk, i, layers[i]->judge_receiver(walk, walk->tables->layers[i]));
		if (verdict != VERDICT_NEXT)
			return verdict;
	}
	return VERDICT_NEXT;
}

// What another node routes arrives in the network of the one who is answered; of who is outside, in
// that of the one who answers.
uint16_t walk_reply_network(const struct walk *walk)
{
	return walk->destination->peer && !walk->network->external ? walk->network->number
								   : walk->destination->network;
}

struct flow_key walk_reply_key(const struct walk *walk)
{
	struct flow_key key = flow_key_reverse(&walk->leaving, walk_reply_network(walk));

	if (walk->tables->floating)
		nat_key_shift(walk->tables, &key);
	return key;
}

void walk_predict_reply(const struct walk *walk, struct flow_direction *reply)
{
	const struct endpoint *to = walk->destination;
	bool routed = walk->action.flags & FLOW_ACTION_ROUTE, remote = to->peer != 0;
	struct packet packet = {
		.key = walk_reply_key(walk),
		.source = walk->leaving.destination,
		.destination = walk->leaving.source,
		.source_mac = to->mac,
		.destination_mac = walk->packet->source_mac,
		.ttl = 64,
	};
	struct walk back = {
		.tables = walk->tables,
		.packet = &packet,
		.ingress = {.port = to->port, .peer = to->peer},
		.reply = true,
		.other = &walk->packet->key,
		.brought_by = external_brought_by(walk->tables, walk->ingress),
		.rules = {walk->rules[0], walk->rules[1]},
	};
	// A translated connection may have its other side in the opener's own network.
	bool direct = walk_translates(walk) && walk->source &&
		      walk->source->network == to->network && !remote &&
		      ip_equal(&walk->leaving.source, &walk->packet->source);

	if (remote && walk->network->external)
		packet.source_mac = packet.destination_mac = to->gateway_mac;
	else if (routed && remote)
		packet.source_mac = walk->network->gateway_mac;
	else if (routed && !direct)
		packet.destination_mac = to->gateway_mac;
	reply->key = packet.key;
	reply->ingress =
		flow_ingress_make(back.ingress, &packet.destination_mac, &packet.source_mac);
	if (walk_begin(&back) == VERDICT_NEXT && run(&back, true) == VERDICT_NEXT)
		flow_action_set(reply, back.action, walk->generation);
}
