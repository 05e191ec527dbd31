// What mappings are made of.

#pragma once

#include "layer/nat/mappings.h"

#define NAT_OWNERS 131072 // numbers of Ports, and two families
// nat_mapping.flags
#define NAT_SHARED 1 // its port is another one's, too
#define NAT_APART  2 // its external end is in another lane
// Those are not found by their external end.
#define NAT_HIDDEN (NAT_SHARED | NAT_APART)

struct nat_mapping {
	struct ip_address inside;
	uint16_t inside_port;
	uint16_t external_port; // network byte order, both
	uint16_t network;
	uint16_t owner;
	uint32_t address; // number of the external one
	uint8_t protocol;
	uint8_t flags;
	uint16_t spare;
	uint32_t references; // connections
	uint32_t held_until; // second; without connections
	// Others in the same bucket; of free places, the next one.
	uint32_t next_inside, next_external;
	uint32_t held_previous, held_next;
	uint32_t detail_spare[2];
};

_Static_assert(sizeof(struct nat_mapping) == 64, "a cache line");

struct nat_lane {
	rte_spinlock_t lock;
	uint32_t mask; // of buckets
	uint32_t *by_inside, *by_external;
	struct nat_mapping *mappings; // from 1 on
	uint32_t max, used, free;
	uint32_t count, held;
	uint32_t held_first, held_last; // by the time until which
} __attribute__((aligned(128)));

// An external address.
struct nat_address {
	struct ip_address address;
	uint16_t network;
	struct nat_ports *ports;
	uint32_t block;		   // ports of one, as the objects have it
	_Atomic uint32_t mappings; // that are alive
	_Atomic uint64_t refused;  // first packets, on the first address of their pool
	bool taken, kept, given;
};

// From workers to the control thread. The lock is taken where a block is given or returned.
struct nat_block_events {
	rte_spinlock_t lock;
	uint32_t first, count;
	uint64_t lost;
	struct nat_block_event ring[NAT_BLOCK_EVENTS];
};

struct nat_mappings {
	const struct flow_hash_secret *secret;
	const struct flow_table *flows;
	struct nat_expectations *expectations;
	uint32_t workers;
	_Atomic uint32_t now; // seconds, by whoever expires
	uint16_t share_mask;
	uint32_t lane_count;
	struct nat_address addresses[NAT_ADDRESSES_MAX]; // from 1 on
	uint32_t addresses_end;
	_Atomic uint32_t *blocks; // by number of the Port and family: see nat_blocks
	_Atomic uint64_t blocks_taken;
	struct nat_block_events *block_events;
	struct nat_lane lanes[NAT_LANES_MAX];
};

// Blocks that a Port has on addresses of this one's family.
static inline _Atomic uint32_t *nat_blocks(struct nat_mappings *mappings, uint16_t owner,
					   const struct ip_address *address)
{
	return &mappings->blocks[(uint32_t)owner * 2 + !ip_is_v4(address)];
}

// The block of the mapping's port was given to its Port, or returned.
void nat_block_tell(struct nat_mappings *mappings, const struct nat_mapping *mapping,
		    struct nat_block block, bool given);

static inline uint16_t nat_share(const struct nat_mappings *mappings,
				 const struct ip_address *address, uint16_t port)
{
	return flow_hash_share(mappings->secret, address, port);
}

static inline struct nat_lane *nat_lane_of(struct nat_mappings *mappings,
					   const struct ip_address *address, uint16_t port)
{
	return &mappings->lanes[nat_share(mappings, address, port) & mappings->share_mask];
}

static inline uint32_t *nat_bucket(const struct nat_mappings *mappings, const struct nat_lane *lane,
				   uint32_t *buckets, const struct ip_address *address,
				   uint16_t port, uint32_t more)
{
	uint64_t end = flow_hash_end(mappings->secret, address, port);

	return &buckets[(uint32_t)flow_hash_mix(end, more ^ mappings->secret->words[3]) &
			lane->mask];
}

static inline uint32_t *nat_inside_bucket(const struct nat_mappings *mappings,
					  struct nat_lane *lane, const struct ip_address *address,
					  uint16_t port, uint16_t network, uint8_t protocol)
{
	return nat_bucket(mappings, lane, lane->by_inside, address, port,
			  (uint32_t)network << 8 | protocol);
}

static inline uint32_t *nat_external_bucket(const struct nat_mappings *mappings,
					    struct nat_lane *lane, const struct ip_address *address,
					    uint16_t port, uint8_t protocol)
{
	return nat_bucket(mappings, lane, lane->by_external, address, port,
			  (uint32_t)nat_protocol_of(protocol));
}

static inline const struct ip_address *nat_external(const struct nat_mappings *mappings,
						    const struct nat_mapping *mapping)
{
	return &mappings->addresses[mapping->address].address;
}

static inline bool nat_is_inside(const struct nat_mapping *mapping, const struct nat_inside *inside)
{
	return mapping->inside_port == inside->port && mapping->network == inside->network &&
	       mapping->protocol == inside->protocol &&
	       ip_equal(&mapping->inside, &inside->address);
}
