// What is translated between the networks inside and those outside, as workers read it.

#pragma once

#include "base/lookup.h"
#include "layer/nat/helper.h"
#include "layer/nat/mappings.h"

// 1:1: an external address and the Port's own.
struct nat_floating {
	char name[64];
	uint16_t network; // number of the external one
	uint16_t domain;  // of the Port's
	struct ip_address external;
	struct ip_address internal;
	struct nat_helpers helpers;
};

// A port of an external address that leads inside.
struct nat_forward {
	uint16_t nat;	  // index
	uint16_t to_port; // network byte order
	struct ip_address to;
};

// A Vrf and an external network.
struct nat {
	char name[64];
	uint16_t network;
	uint16_t domain;
	struct nat_pool v4, v6;
	uint32_t *addresses; // the pools' memory
	bool has_nat64;
	struct ip_prefix nat64;
	struct nat_helpers helpers;
};

struct nat_tables {
	struct nat_mappings *mappings; // kept from generation to generation; NULL: there are none
	struct nat *nats;
	uint32_t nat_count;
	uint32_t nat64_first; // of the Nats, the first with NAT64; behind all: none
	struct nat_floating *floating;
	uint32_t floating_count;
	struct nat_forward *forwards;
	uint32_t forward_count;
	// To index + 1.
	struct lookup by_domain;	    // (domain and external network) to Nats
	struct lookup by_address;	    // (external network, pool's address) to Nats
	struct lookup floating_by_external; // (external network, address)
	struct lookup floating_by_internal; // (domain and external network, address)
	struct lookup forward_by_port;	    // see nat_forward_key
};

static inline uint32_t nat_place(uint16_t domain, uint16_t network)
{
	return (uint32_t)domain << 16 | network;
}

// `port` in network byte order.
static inline struct lookup_key nat_forward_key(uint16_t network, const struct ip_address *address,
						uint8_t protocol, uint16_t port)
{
	return (struct lookup_key){{(uint64_t)network << 32 | (uint64_t)protocol << 16 | port,
				    address->halves[0], address->halves[1]}};
}
