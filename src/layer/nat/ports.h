// The ports of an external address: which are in use, in blocks, each of which is one inside Port's
// (RFC 6888, RFC 7857). Who logs blocks need not log connections.
//
// Threads: any worker; each address has a lock, which is taken when a mapping begins or ends, not
// for each connection. Choosing reads without it: whoever takes what was chosen may find it gone.

#pragma once

#include <stdatomic.h>

#include <rte_spinlock.h>

#include "flow/hash.h"

// Ports below are left to forwards and to servers on the address itself.
#define NAT_PORT_FIRST 1024
#define NAT_PORTS      65536
#define NAT_BLOCK_MIN  64
#define NAT_BLOCK_MAX  8192

// Protocols have ports of their own; ICMP's are the identifiers of queries.
enum nat_protocol {
	NAT_TCP,
	NAT_UDP,
	NAT_ICMP,
	NAT_SCTP,
	NAT_PROTOCOLS,
	NAT_WITHOUT_PORTS = NAT_PROTOCOLS, // all others: an address is all that there is
};

enum nat_protocol nat_protocol_of(uint8_t protocol);

struct nat_ports {
	rte_spinlock_t lock;
	_Atomic uint32_t block_shift; // ports of a block, as a power of two
	uint32_t wanted_shift;	      // once no block is taken
	uint32_t blocks_taken;
	// By block: the inside Port that has it, 0: nobody; and how many of its ports are in use.
	_Atomic uint16_t owner[NAT_PORTS / NAT_BLOCK_MIN];
	uint16_t used[NAT_PORTS / NAT_BLOCK_MIN];
	// The block where an owner found a port last, by its lowest bits.
	_Atomic uint16_t hint[256];
	_Atomic uint64_t taken[NAT_PROTOCOLS][NAT_PORTS / 64]; // a bit each
};

// Who asks for a port. All of it counts for nothing but what is found.
struct nat_wish {
	const struct flow_hash_secret *secret;
	struct ip_address address; // the external one
	uint16_t share_mask;	   // the share in the shard must be this one in these bits
	uint16_t share;
	uint16_t preferred; // the inside port, in host byte order
	uint16_t owner;
	enum nat_protocol protocol; // one with ports
	uint32_t block_shift;	    // as it was when it was begun to look
	uint32_t blocks_left;	    // that the owner may still get
	uint64_t seed;		    // from where on it is looked, so that ports can't be guessed
	// May the other ends see this port? (in network byte order)
	bool (*is_free)(const void *context, const struct ip_address *address, uint16_t port);
	const void *context;
};

// A port, in host byte order, that is nobody's, or 0. UDP's is even as the preferred one is, or odd
// (RFC 4787 REQ-4), where such a one is left.
uint16_t nat_ports_choose(const struct nat_ports *ports, struct nat_wish *wish);

// One that is in use already, for other destinations: of the owner's, where it has any on the
// address, else anybody's, unless the owner has as many blocks as it may elsewhere.
uint16_t nat_ports_share(const struct nat_ports *ports, struct nat_wish *wish);

struct nat_block {
	uint16_t first; // port, in host byte order
	uint16_t count; // 0: no block
};

// Takes a port, and its block if need be: then `taken` is that. False: somebody else was quicker.
bool nat_ports_take(struct nat_ports *ports, enum nat_protocol protocol, uint16_t owner,
		    uint16_t port, struct nat_block *taken);

// Gives it back, and if its block is nobody's then, that in `given`.
void nat_ports_give(struct nat_ports *ports, enum nat_protocol protocol, uint16_t port,
		    struct nat_block *given);

// How many blocks there are.
uint32_t nat_ports_blocks(const struct nat_ports *ports);

// Other blocks, in ports, a power of two, as soon as none is taken. Control thread.
void nat_ports_set_block(struct nat_ports *ports, uint32_t block);
