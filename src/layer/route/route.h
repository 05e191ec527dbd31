// Where the gateways of a routing domain send what is for no address of its Ports: Routes, by
// longest prefix. The map of prefixes is made anew only when a Route changes; what their next hops
// are, with each generation.

#pragma once

#include "base/prefix_map.h"
#include "layer/walk.h"

#define ROUTE_HOPS_MAX 64
// A prime number, see base/maglev.h.
#define ROUTE_SPREAD_SIZE 1021
// Through so many routing domains a destination is looked for, the first included.
#define ROUTE_DOMAINS_MAX 4

struct route_hop {
	uint32_t endpoint;	   // 0: see below
	bool external;		   // a router outside: by `routers`
	uint32_t routers[2];	   // its endpoint for IPv6 and IPv4 destinations; 0: none
	uint16_t domain;	   // not 0, then the only hop: the destination is looked for there
	struct ip_address address; // else whoever has this one in the Route's domain at the moment
};

// Which next hop takes a hash. Shared by generations in which nothing of it differs.
struct route_spread {
	uint32_t references; // control thread
	uint64_t reachable;  // bit of each hop that has a share
	uint16_t hops[ROUTE_SPREAD_SIZE];
};

struct route {
	char name[TABLES_NAME_SIZE];
	bool blackhole;
	uint32_t hop_count;
	uint32_t only; // the hop that takes all, where there is no spread; hop_count: none can
	struct route_hop *hops;
	struct route_spread *spread;
};

// Destinations of one routing domain, in the order of prefix_compare.
struct route_map {
	struct prefix_map prefixes;
	uint32_t count;
	uint8_t *lengths; // of the prefix with number i + 1
	uint32_t *routes; // and its Route's place in tables->route
};

// Shared likewise.
struct route_maps {
	uint32_t references;	 // control thread
	struct lookup by_domain; // (domain) to index + 1
	struct route_map *maps;
	uint32_t count;
};

struct routes {
	struct route_maps *maps;
	struct route *route; // in the order of the objects
	uint32_t count;
};

// The endpoint that gets what is for the walk's destination address, through the gateway of
// walk->network. Otherwise the reason why there is none; walk->asked is set where an address that
// several Ports may use has no owner.
enum drop_reason route_resolve(struct walk *walk, uint32_t *endpoint);

// Does a Route for the address lead to a router of that external network?
bool route_leads_out(const struct tables *tables, uint16_t domain, const struct ip_address *address,
		     uint16_t network);

// Is the address outside: does a Route for it lead to a router, whether this node can reach that or
// not?
bool route_is_outside(const struct tables *tables, uint16_t domain,
		      const struct ip_address *address);

// The domain in which an address that is nobody's in this one is looked for, by a Route; 0: none.
uint16_t route_next_domain(const struct tables *tables, uint16_t domain,
			   const struct ip_address *address);

// Is the address one of the peer's Ports in `domain`, or in another domain that a Route for it
// leads to? Returns an endpoint of the peer, or 0.
uint32_t route_find_sender(const struct tables *tables, uint16_t domain, uint16_t peer,
			   const struct ip_address *address);
