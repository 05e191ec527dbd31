// The hash of a flow key. Keyed with secrets, because workloads choose addresses and ports: who
// can't compute it can't aim at one bucket. The part that names the shard is the same for both
// directions of a connection, so that one worker owns both: each end has a share in it, and the
// exclusive or of the two is the shard. So an end may be translated to one with the same share, and
// whatever is at the other end, the owner stays. Where an end can't be chosen, the difference is in
// the key's flags.

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

static inline uint64_t flow_hash_end(const struct flow_hash_secret *secret,
				     const struct ip_address *address, uint16_t port)
{
	const uint64_t *s = secret->words;

	return flow_hash_mix(address->halves[0] ^ s[0], address->halves[1] ^ port * s[2] ^ s[1]);
}

// What an end adds to the shard, below FLOW_SHARDS. `port` in network byte order.
static inline uint16_t flow_hash_share(const struct flow_hash_secret *secret,
				       const struct ip_address *address, uint16_t port)
{
	return (uint16_t)(flow_hash_end(secret, address, port) * secret->words[5] >> 58);
}

static inline struct flow_hash flow_hash(const struct flow_hash_secret *secret,
					 const struct flow_key *key)
{
	const uint64_t *s = secret->words;
	uint64_t meta = (uint64_t)key->network << 16 | (uint64_t)key->protocol << 8 | key->flags;
	uint64_t source = flow_hash_end(secret, &key->source, key->source_port);
	uint64_t destination = flow_hash_end(secret, &key->destination, key->destination_port);
	uint64_t mixed =
		flow_hash_mix(source ^ s[3], (destination << 1 | destination >> 63) ^ meta * s[4]);

	return (struct flow_hash){
		.bucket = (uint32_t)mixed,
		.signature = (uint16_t)(mixed >> 8),
		.shard = (uint16_t)((source * s[5] ^ destination * s[5]) >> 58) ^
			 key->flags >> FLOW_KEY_SHIFT_BITS,
	};
}
