// Which external address and port an inside address and port has, for all of its connections
// (RFC 4787 REQ-1: endpoint-independent mapping). A mapping lives as long as connections use it,
// and is held for a while afterwards, so that its port does not soon mean somebody else (RFC 6888
// REQ-8).
//
// When no port is left, one is given to several inside ends: then each connection's key of replies
// must be nobody else's, and a mapping serves only those destinations where it is.
//
// A mapping's external end has the same share in the shard of the connection table as its inside
// end (flow/hash.h). So both directions of each of its connections are one worker's. Where the
// other end is translated, too (hairpinning), that may need another share: then the inside end has
// one more mapping, apart, which nobody finds from outside.
//
// Threads: any worker chooses for a first packet, takes when it enters the connection, and releases
// when that ends. Choosing changes nothing, so `sluice trace` chooses, too. Mappings are in lanes,
// by that share; each has a lock, which is held for the time of some cache misses. Later packets
// know nothing of mappings. All of this outlives generations of the tables.
//
// addresses.c  the memory, and external addresses
// ports.c      their ports
// choose.c     for a first packet
// mappings.c   taken, released, held, ended
// blocks.c     which blocks of ports were given and returned, for the log

#pragma once

#include "layer/nat/ports.h"

struct flow_table;
struct nat_expectations;

#define NAT_ADDRESSES_MAX 4096
#define NAT_LANES_MAX	  FLOW_SHARDS

// Seconds that a mapping is held when its last connection has ended. Those of TCP end by their
// connections' TIME-WAIT.
#define NAT_HOLD 120

// The inside end of connections.
struct nat_inside {
	struct ip_address address;
	uint16_t port; // network byte order; ICMP: the identifier
	uint16_t network;
	uint16_t owner; // number of the Port that answers for it
	uint8_t protocol;
	uint8_t shift; // by which the external end's share must differ: not 0 for one apart
};

// External addresses that a Nat may use for one family.
struct nat_pool {
	const uint32_t *addresses; // numbers of nat_mappings_address
	uint32_t count;
	uint32_t blocks_max; // of a Port
};

struct nat_choice {
	struct ip_address address;
	uint16_t port;	 // network byte order
	bool shared;	 // with other inside ends
	uint32_t number; // of the address
};

enum nat_answer {
	NAT_CHOSEN,
	NAT_NO_PORT,   // none that this destination does not see already
	NAT_NO_BLOCK,  // the same, and the Port has as many blocks as it may
	NAT_NO_MEMORY, // too many mappings
};

struct nat_mappings;

struct nat_mappings_stats {
	uint64_t mappings; // now; with those that are held
	uint64_t held;
	uint64_t blocks; // now
};

// Of a pool.
struct nat_pool_stats {
	uint64_t mappings;   // now; with those that are held
	uint64_t blocks;     // now
	uint64_t blocks_max; // that there are
	uint64_t refused;    // first packets that found no port
};

// A Port has got a block of ports of an external address, or it is nobody's any more.
struct nat_block_event {
	uint64_t cycles; // when (rte_rdtsc)
	struct ip_address external;
	struct ip_address inside; // whose connection was the first or the last one
	uint16_t network;	  // the external one
	uint16_t inside_network;
	uint16_t owner; // number of the Port
	struct nat_block block;
	bool given;
};

// That wait to be read; more are counted only.
#define NAT_BLOCK_EVENTS 8192

// For at most `max` mappings. `secret` is that of the connection table `flows`, and both must stay.
struct nat_mappings *nat_mappings_open(uint32_t max, uint32_t workers,
				       const struct flow_hash_secret *secret,
				       const struct flow_table *flows);
void nat_mappings_close(struct nat_mappings *mappings);
// What messages have announced.
struct nat_expectations *nat_mappings_expectations(const struct nat_mappings *mappings);
const struct flow_table *nat_mappings_flows(const struct nat_mappings *mappings);

// What a key with the external end has in its flags to be in the shard of the inside one
// (FLOW_KEY_SHIFT). `port` of both, in network byte order.
uint8_t nat_mappings_shift(const struct nat_mappings *mappings, const struct ip_address *external,
			   const struct ip_address *internal, uint16_t port);

// The number of an external address in a network, made if need be, and its blocks; 0: no room.
// Between begin and settle or abandon those are marked that objects name; others are forgotten when
// their last mapping is. Control thread.
void nat_mappings_begin(struct nat_mappings *mappings);
uint32_t nat_mappings_address(struct nat_mappings *mappings, uint16_t network,
			      const struct ip_address *address, uint32_t block);
// 0: it is none that objects name. `network`: 0 for whichever has it.
uint32_t nat_mappings_number(const struct nat_mappings *mappings, uint16_t network,
			     const struct ip_address *address);
void nat_mappings_settle(struct nat_mappings *mappings);
void nat_mappings_abandon(struct nat_mappings *mappings);

// A mapping for a connection: the one that its inside end has, or what may become one. `is_free`
// says whether replies to an external end would be this connection's alone.
enum nat_answer nat_mappings_choose(
	struct nat_mappings *mappings, const struct nat_pool *pool, const struct nat_inside *inside,
	bool (*is_free)(const void *context, const struct ip_address *address, uint16_t port),
	const void *context, struct nat_choice *choice);

// The connection will be entered: it uses the mapping from now on. False: another worker was
// quicker to take the port or the memory.
// (`shift` of `inside` is not looked at: it shows.)
bool nat_mappings_take(struct nat_mappings *mappings, const struct nat_inside *inside,
		       const struct nat_choice *choice, uint32_t now);

// It has ended. `owner` and `shift` of `inside` are not looked at. `hold`: NAT_HOLD, or 0.
void nat_mappings_release(struct nat_mappings *mappings, const struct nat_inside *inside,
			  const struct ip_address *address, uint16_t port, uint32_t hold);

// Who has the external end, alone or first of all. False: nobody.
bool nat_mappings_find(struct nat_mappings *mappings, const struct ip_address *address,
		       uint16_t port, uint8_t protocol, struct nat_inside *inside);

// Ends some of those that were held for long enough, and says what time it is. Each worker, now
// and then; returns how many.
uint32_t nat_mappings_expire(struct nat_mappings *mappings, uint32_t worker, uint32_t now);

void nat_mappings_stats(struct nat_mappings *mappings, struct nat_mappings_stats *stats);
void nat_mappings_pool_stats(const struct nat_mappings *mappings, const struct nat_pool *pool,
			     struct nat_pool_stats *stats);

// A first packet found no port in the pool.
void nat_mappings_refused(struct nat_mappings *mappings, const struct nat_pool *pool);

// The next block that was given or returned, in their order. False: none. Control thread.
bool nat_mappings_block_event(struct nat_mappings *mappings, struct nat_block_event *event);
// How many events found no room since this was asked last. Control thread.
uint64_t nat_mappings_block_events_lost(struct nat_mappings *mappings);
