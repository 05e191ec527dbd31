// Who is in which multicast group: ports of this node, and other nodes where somebody is.
//
// One for each worker, which keeps it for the networks that are its own; it stays when the tables
// change. The tracing thread may read at the same time: nothing is ever given back to the system,
// and what it sees half changed may be wrong, never out of bounds.

#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"

#define GROUPS_MAX	     16384
#define GROUPS_MEMBERS_MAX   65536
#define GROUPS_BUCKETS	     16384 // a power of two
#define GROUPS_OF_A_PORT_MAX 256
// No tenant takes the places of all.
#define GROUPS_OF_A_NETWORK_MAX	 (GROUPS_MAX / 4)
#define MEMBERS_OF_A_NETWORK_MAX (GROUPS_MEMBERS_MAX / 4)

// A port's number, or GROUPS_NODE + a node's.
#define GROUPS_NODE 0x10000

struct group_member {
	uint32_t key;
	uint32_t next;	  // in the group's list, by key; index + 1
	uint32_t expires; // second
	uint32_t queries; // left to ask whether it is still one
};

struct group {
	struct ip_address address;
	uint16_t network;  // 0: a free place
	uint16_t local;	   // how many members are ports
	uint32_t members;  // index + 1
	uint32_t next;	   // in its bucket, or of free ones; index + 1
	uint32_t announce; // how many times the other nodes are still to be told
	uint32_t told;	   // the querier's `tell` when they were last because of that
};

struct groups {
	struct group groups[GROUPS_MAX];
	struct group_member members[GROUPS_MEMBERS_MAX];
	uint32_t buckets[GROUPS_BUCKETS]; // index + 1
	uint16_t of_port[GROUPS_NODE];	  // how many groups, by port number
	struct {
		uint16_t groups;
		uint16_t members;
	} of_network[65536];
	uint32_t groups_used, members_used; // never used ones are behind
	uint32_t groups_free, members_free; // lists
	uint64_t secret;		    // so that nobody can choose addresses for one bucket
};

enum groups_join {
	GROUPS_KEPT, // it was a member
	GROUPS_NEW,
	GROUPS_FIRST, // and no other port of this node is
	GROUPS_FULL,
};

// NULL without memory.
struct groups *groups_open(void);
void groups_close(struct groups *groups);

struct group *groups_find(struct groups *groups, uint16_t network,
			  const struct ip_address *address);

// Makes `key` a member until `expires`, whatever was asked before.
enum groups_join groups_join(struct groups *groups, uint16_t network,
			     const struct ip_address *address, uint32_t key, uint32_t expires);

struct group_member *groups_member(struct groups *groups, const struct group *group, uint32_t key);

// The first member whose key is not below `key`, or NULL.
struct group_member *groups_from(struct groups *groups, const struct group *group, uint32_t key);

// Ends a membership. The group stays, be it empty, until groups_drop.
void groups_remove(struct groups *groups, struct group *group, uint32_t key);

// Ends the memberships for which `keep` says false.
void groups_filter(struct groups *groups, struct group *group,
		   bool (*keep)(struct group_member *member, void *context), void *context);

// Gives the place of a group without members back.
void groups_drop(struct groups *groups, struct group *group);
