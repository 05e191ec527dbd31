// Hashes that spread connections over several: not secret, the same on every node.

#pragma once

#include "flow/hash.h"

static inline uint64_t spread_hash_end(const struct ip_address *address, uint16_t port)
{
	return flow_hash_mix(address->halves[0] ^ 0xa0761d6478bd642f,
			     address->halves[1] ^ port ^ 0xe7037ed1a0b428db);
}

// Of a connection, the same for both directions.
static inline uint64_t spread_hash(const struct flow_key *key)
{
	uint64_t sum = spread_hash_end(&key->source, key->source_port) +
		       spread_hash_end(&key->destination, key->destination_port);

	return flow_hash_mix(sum ^ 0x8ebc6af09c88c6e3, key->protocol ^ 0x589965cc75374cc3);
}

// Of its source address alone.
static inline uint64_t spread_hash_client(const struct flow_key *key)
{
	return flow_hash_mix(spread_hash_end(&key->source, 0) ^ 0x8ebc6af09c88c6e3,
			     0x589965cc75374cc3);
}
