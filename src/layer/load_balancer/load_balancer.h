// Connections to virtual addresses go to members (Eisenbud et al., "Maglev", NSDI '16, sections 3.3
// and 3.4): addresses and ports of a connection choose a place in a table of consistent hashing.
// The table is made of the object alone, the same on every node. Who takes no connections for a
// while (unhealthy, draining, without a Port) is passed over where the choice falls on it: so the
// others keep all that is theirs, and it gets its own back.

#pragma once

#include "layer/walk.h"

// Primes, see base/maglev.h: the second one from so many members on.
#define BALANCER_SPREAD_SMALL 4093
#define BALANCER_SPREAD_LARGE 65521
#define BALANCER_SMALL_MAX    40

struct member_health;

// By what the family of an address is found in arrays.
enum balancer_family {
	BALANCER_V4,
	BALANCER_V6,
	BALANCER_FAMILIES,
};

struct balancer_member {
	char name[TABLES_NAME_SIZE]; // of its Port, or its address
	struct ip_address addresses[BALANCER_FAMILIES];
	bool has[BALANCER_FAMILIES];
	bool drains;
	uint32_t weight;
	// Of each address; kept from generation to generation. NULL: nobody asks.
	struct member_health *health[BALANCER_FAMILIES];
};

// Which member takes a hash. Shared by generations in which nothing of it differs.
struct balancer_spread {
	uint32_t references; // control thread
	uint32_t size;
	uint64_t origin; // a hash of all that it was made of
	uint16_t members[];
};

struct load_balancer {
	char name[TABLES_NAME_SIZE];
	uint16_t domain;		// of the members
	bool serves[BALANCER_FAMILIES]; // has virtual addresses of the family
	bool by_client;
	bool has_datagrams;    // services of UDP, whose connections leave an unhealthy member
	char health_path[256]; // of HTTP
	struct balancer_member *members;
	uint32_t member_count;
	struct lookup by_address;			    // (0, address) to member + 1
	struct balancer_spread *spreads[BALANCER_FAMILIES]; // NULL: no member of this family
};

// A port of a virtual address.
struct balanced_service {
	uint32_t balancer;
	uint16_t member_port; // in network byte order
};

enum health_protocol {
	HEALTH_TCP,
	HEALTH_HTTP,
	HEALTH_ICMP,
};

// How one address of a member is asked, if its Port is on this node, and who it is in what nodes
// tell each other.
struct member_probe {
	struct member_health *health;
	uint64_t identity; // the same on every node
	uint32_t number;   // of `health`: the questions' source port or identifier
	uint32_t endpoint; // that has the address; 0: none
	struct ip_address address;
	struct ip_address from; // the gateway's; zero: it has none, and nobody asks
	bool awaited;		// another node asks, and is to tell this one
	uint32_t balancer;
	uint16_t domain;
	uint16_t port;
	uint16_t interval; // seconds
	uint16_t timeout;
	uint8_t protocol;
	uint8_t rise;
	uint8_t fall;
};

// A node with Ports in a domain where members are asked.
struct balancer_node {
	uint16_t domain;
	uint16_t peer; // 0: this node
};

struct load_balancers {
	// In the domain of the members, and in that of an external network.
	struct lookup addresses; // (domain, virtual address) to 1
	struct lookup services;	 // (domain, protocol, port, virtual address) to index + 1
	struct balanced_service *service;
	uint32_t service_count;
	struct load_balancer *balancer; // in the order of the objects
	uint32_t count;
	struct member_probe *probes;
	uint32_t probe_count;
	struct lookup probes_by_number;	  // of those of this node: to index + 1
	struct lookup probes_by_identity; // likewise, of all
	struct balancer_node *nodes;
	uint32_t node_count;
};

// `port` in network byte order.
static inline struct lookup_key balancer_service_key(uint16_t domain, uint8_t protocol,
						     uint16_t port,
						     const struct ip_address *address)
{
	uint64_t number = domain | (uint64_t)protocol << 16 | (uint64_t)port << 24;

	return (struct lookup_key){{number, address->halves[0], address->halves[1]}};
}

// Is it a virtual address of the domain, whatever its ports?
static inline bool balancer_has_address(const struct load_balancers *balancers, uint16_t domain,
					const struct ip_address *address)
{
	return lookup_find(&balancers->addresses, lookup_key_address(domain, address)) != 0;
}

// The domain in which the address is a virtual one, for who is in `domain`: that one, or one that a
// Route leads to. 0: it is none.
uint16_t balancer_domain(const struct tables *tables, uint16_t domain,
			 const struct ip_address *address);

// What the key's destination is, or NULL.
const struct balanced_service *balancer_find(const struct load_balancers *balancers,
					     uint16_t domain, const struct flow_key *key);

// Which member's address a live connection that was balanced is at: indices. False: nobody's any
// more. `back` is the key of its replies.
bool balancer_find_member(const struct tables *tables, const struct flow_key *original,
			  const struct flow_key *back, uint32_t *balancer, uint32_t *member);

// The member that takes a new connection with this key, or NULL: none can.
const struct balancer_member *balancer_choose(const struct tables *tables,
					      const struct load_balancer *balancer,
					      const struct flow_key *key);

// The member that has the address, or NULL.
static inline const struct balancer_member *balancer_member(const struct load_balancer *balancer,
							    const struct ip_address *address)
{
	uint32_t number = lookup_find(&balancer->by_address, lookup_key_address(0, address));

	return number ? &balancer->members[number - 1] : NULL;
}

extern const struct layer load_balancer_layer;
