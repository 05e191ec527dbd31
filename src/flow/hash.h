// The hash of a flow key. Keyed with secrets, because workloads choose addresses and ports: who
// can't compute it can't aim at one bucket. The part that names the shard is the same for both
// directions of a connection (as long as no address is translated), so that one worker owns both.

#pragma once

#include "packet/packet.h"

#define FLOW_SHARDS 64

struct flow_hash_secret {
	uint64_t words[6]; // odd
};

struct flow_hash {
	uint32_t bucket; // spread over a shard's buckets; bits 8 to 23 are the signature
	uint16_t signature;
	uint16_t shard; // below FLOW_SHARDS
};

// The halves of a 64 by 64 bit product, folded: one multiplication mixes 16 bytes (as in wyhash).
static inline uint64_t flow_hash_mix(uint64_t a, uint64_t b)
{
	__uint128_t product = (__uint128_t)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline struct flow_hash flow_hash(const struct flow_hash_secret *secret,
					 const struct flow_key *key)
{
	const uint64_t *s = secret->words;
	uint64_t meta = (uint64_t)key->network << 16 | (uint64_t)key->protocol << 8 | key->flags;
	uint64_t source = flow_hash_mix(key->source.halves[0] ^ s[0],
					key->source.halves[1] ^ key->source_port * s[2] ^ s[1]);
	uint64_t destination =
		flow_hash_mix(key->destination.halves[0] ^ s[0],
			      key->destination.halves[1] ^ key->destination_port * s[2] ^ s[1]);
	uint64_t mixed =
		flow_hash_mix(source ^ s[3], (destination << 1 | destination >> 63) ^ meta * s[4]);

	return (struct flow_hash){
		.bucket = (uint32_t)mixed,
		.signature = (uint16_t)(mixed >> 8),
		.shard = (uint16_t)(((source + destination) * s[5]) >> 58),
	};
}
