#include "layer/recall.h"

static uint32_t slot_of(const struct recall_key *key)
{
	const uint64_t *words = (const uint64_t *)(const void *)key;
	uint64_t a = flow_hash_mix(words[1] ^ 0xa0761d6478bd642f, words[3] ^ 0xe7037ed1a0b428db);
	uint64_t b = flow_hash_mix(words[0] ^ words[4] ^ 0x8ebc6af09c88c6e3,
				   words[2] ^ words[5] ^ 0x589965cc75374cc3);

	return (uint32_t)flow_hash_mix(a ^ words[6], b ^ 0x1d8e4e27c47d124f) & (RECALL_ENTRIES - 1);
}

static bool keys_equal(const struct recall_key *a, const struct recall_key *b)
{
	const uint64_t *x = (const uint64_t *)(const void *)a;
	const uint64_t *y = (const uint64_t *)(const void *)b;

	return ((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3]) | (x[4] ^ y[4]) |
		(x[5] ^ y[5]) | (x[6] ^ y[6])) == 0;
}

static struct recall_key make_key(const struct walk *walk)
{
	const struct packet *packet = walk->packet;

	return (struct recall_key){
		.source = packet->key.source,
		.destination = packet->key.destination,
		.destination_mac = packet->destination_mac,
		.source_mac = packet->source_mac,
		.port = walk->reply ? packet->key.source_port : packet->key.destination_port,
		.network = packet->key.network,
		.ingress = walk->ingress,
		.protocol = packet->key.protocol,
		.flags = packet->key.flags,
		.reply = walk->reply,
	};
}

// Judges a packet that has of the real one what is compared.
static enum verdict decide(struct recalled *entry, struct walk *walk)
{
	const struct packet *real = walk->packet;
	struct packet packet = {
		.key = {.source = entry->key.source,
			.destination = entry->key.destination,
			.network = entry->key.network,
			.protocol = entry->key.protocol,
			.flags = entry->key.flags},
		.destination_mac = entry->key.destination_mac,
		.source_mac = entry->key.source_mac,
		.source = entry->key.source,
		.destination = entry->key.destination,
		.kind = PACKET_IP,
		.ttl = 64,
	};
	struct flow_direction reply = {.generation = 0};
	enum verdict verdict;

	if (walk->reply)
		packet.key.source_port = entry->key.port;
	else
		packet.key.destination_port = entry->key.port;
	walk->packet = &packet;
	verdict = walk_run(walk);
	if (verdict == VERDICT_NEXT) {
		entry->action = walk->action;
		entry->rules[0] = walk->rules[0];
		entry->rules[1] = walk->rules[1];
		entry->generation = walk->generation;
	}
	if (verdict == VERDICT_NEXT && !walk->reply && !(entry->key.flags & FLOW_KEY_ONE_WAY)) {
		walk_predict_reply(walk, &reply);
		entry->reply_network = reply.key.network;
		entry->reply_ingress = reply.ingress;
		entry->reply_action = flow_action_get(&reply);
		entry->reply_allowed = reply.generation != 0;
	}
	walk->packet = real;
	return verdict;
}

// Who has a shared address is told by packets, between two generations.
static bool may_recall(const struct walk *walk)
{
	const struct packet *packet = walk->packet;

	return !walk->say && packet->ttl > 1 && !walk->tables->shared_count &&
	       packet->kind == PACKET_IP && ip_equal(&packet->source, &packet->key.source) &&
	       ip_equal(&packet->destination, &packet->key.destination);
}

enum verdict recall_run(struct recall *recall, struct walk *walk, const struct recalled **recalled)
{
	enum verdict verdict = walk_begin(walk);
	struct recalled *entry;
	struct recall_key key;

	*recalled = NULL;
	if (verdict != VERDICT_NEXT)
		return verdict;
	if (!may_recall(walk))
		return walk_run(walk);
	key = make_key(walk);
	entry = &recall->entries[slot_of(&key)];
	if (entry->generation == walk->generation && keys_equal(&entry->key, &key)) {
		walk->action = entry->action;
		walk->rules[0] = entry->rules[0];
		walk->rules[1] = entry->rules[1];
		if (walk->counts)
			walk->counts->recalled++;
	} else {
		entry->generation = 0;
		entry->key = key;
		verdict = decide(entry, walk);
	}
	if (verdict == VERDICT_NEXT)
		*recalled = entry;
	return verdict;
}
