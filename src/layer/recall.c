#include "layer/recall.h"

// An address and two bytes more.
static inline uint64_t pack(const struct mac_address *mac, uint16_t more)
{
	uint32_t first;
	uint16_t last;

	memcpy(&first, mac->bytes, sizeof(first));
	memcpy(&last, mac->bytes + sizeof(first), sizeof(last));
	return first | (uint64_t)last << 32 | (uint64_t)more << 48;
}

static uint16_t unpack(uint64_t word, struct mac_address *mac)
{
	uint32_t first = (uint32_t)word;
	uint16_t last = (uint16_t)(word >> 32);

	memcpy(mac->bytes, &first, sizeof(first));
	memcpy(mac->bytes + sizeof(first), &last, sizeof(last));
	return (uint16_t)(word >> 48);
}

static inline struct recall_key make_key(const struct walk *walk)
{
	const struct packet *packet = walk->packet;
	const struct flow_key *key = &packet->key;

	return (struct recall_key){
		.source = key->source,
		.destination = key->destination,
		.to = pack(&packet->destination_mac,
			   walk->reply ? key->source_port : key->destination_port),
		.from = pack(&packet->source_mac, key->network),
		.what = walk->ingress.port | (uint64_t)walk->ingress.peer << 16 |
			(uint64_t)key->protocol << 32 | (uint64_t)key->flags << 40 |
			(uint64_t)walk->reply << 48,
	};
}

static inline uint32_t slot_of(const struct recall_key *key)
{
	uint64_t a = flow_hash_mix(key->source.halves[1] ^ 0xa0761d6478bd642f,
				   key->destination.halves[1] ^ key->what ^ 0xe7037ed1a0b428db);
	uint64_t b = flow_hash_mix(key->source.halves[0] ^ key->to ^ 0x8ebc6af09c88c6e3,
				   key->destination.halves[0] ^ key->from ^ 0x589965cc75374cc3);

	return (uint32_t)((a ^ b) >> 32) & (RECALL_ENTRIES - 1);
}

static inline bool keys_equal(const struct recall_key *a, const struct recall_key *b)
{
	return ((a->source.halves[0] ^ b->source.halves[0]) |
		(a->source.halves[1] ^ b->source.halves[1]) |
		(a->destination.halves[0] ^ b->destination.halves[0]) |
		(a->destination.halves[1] ^ b->destination.halves[1]) | (a->to ^ b->to) |
		(a->from ^ b->from) | (a->what ^ b->what)) == 0;
}

// Judges a packet that has of the real one what is compared.
static enum verdict decide(struct recalled *entry, struct walk *walk)
{
	const struct packet *real = walk->packet;
	struct packet packet = {
		.key = {.source = entry->key.source,
			.destination = entry->key.destination,
			.protocol = (uint8_t)(entry->key.what >> 32),
			.flags = (uint8_t)(entry->key.what >> 40)},
		.source = entry->key.source,
		.destination = entry->key.destination,
		.kind = PACKET_IP,
		.ttl = 64,
	};
	struct flow_direction reply = {.generation = 0};
	uint16_t port = unpack(entry->key.to, &packet.destination_mac);
	enum verdict verdict;

	packet.key.network = unpack(entry->key.from, &packet.source_mac);
	if (walk->reply)
		packet.key.source_port = port;
	else
		packet.key.destination_port = port;
	walk->packet = &packet;
	walk->leaving = packet.key;
	verdict = walk_run(walk);
	if (verdict == VERDICT_NEXT) {
		entry->action = walk->action;
		entry->rules[0] = walk->rules[0];
		entry->rules[1] = walk->rules[1];
		entry->generation = walk->generation;
	}
	if (verdict == VERDICT_NEXT && !walk->reply && !(packet.key.flags & FLOW_KEY_ONE_WAY)) {
		walk_predict_reply(walk, &reply);
		entry->reply_network = reply.key.network;
		entry->reply_ingress = reply.ingress;
		entry->reply_action = flow_action_get(&reply);
		entry->reply_allowed = reply.generation != 0;
	}
	walk->packet = real;
	walk->leaving = real->key;
	return verdict;
}

// A layer looks at more than what is compared: the packet itself has to be judged.
static enum verdict judge_unique(struct walk *walk, const struct walk *begun)
{
	struct walk_counts *counts = walk->counts;
	enum verdict verdict;

	*walk = *begun;
	// The walk that found it out has counted.
	walk->counts = NULL;
	verdict = walk_run(walk);
	walk->counts = counts;
	return verdict;
}

// Who has a shared address is told by packets, between two generations.
static bool may_recall(const struct walk *walk)
{
	const struct packet *packet = walk->packet;

	return !walk->say && packet->ttl > 1 && !walk_translates(walk) && !walk->brought_by &&
	       !walk->tables->shared_count && packet->kind == PACKET_IP &&
	       ip_equal(&packet->source, &packet->key.source) &&
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
		if (unlikely(entry->unique))
			return walk_run(walk);
		walk->action = entry->action;
		walk->rules[0] = entry->rules[0];
		walk->rules[1] = entry->rules[1];
		if (walk->counts)
			walk->counts->recalled++;
	} else {
		struct walk begun = *walk;

		entry->generation = 0;
		entry->key = key;
		verdict = decide(entry, walk);
		entry->unique = walk->unique || walk_translates(walk);
		if (unlikely(entry->unique)) {
			entry->generation = walk->generation;
			return judge_unique(walk, &begun);
		}
	}
	if (verdict == VERDICT_NEXT)
		*recalled = entry;
	return verdict;
}
