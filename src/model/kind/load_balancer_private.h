// What checks of LoadBalancers have in common: load_balancer.c and load_balancer_member.c.

#pragma once

#include "model/kind/subnets.h"

#define V4 1u
#define V6 2u

// An address in a Vrf, who has it, and where.
struct holder {
	const Sluice__V1__Object *object;
	char field[CHECK_PATH_SIZE];
};

struct maps {
	struct key_map *held; // of holders: Ports' addresses and those that they may use
	struct key_map *own;  // of holders: virtual addresses, the first one's
	struct key_map *services;
	struct subnets subnets;
	struct holder **holders;
	size_t count;
	size_t capacity;
};

const struct holder *balancer_find_holder(struct key_map *map, const char *vrf,
					  const struct ip_address *address);

// The Port's, or NULL.
const Sluice__V1__Network *balancer_network_of(const struct check *check,
					       const Sluice__V1__Port *port);

// Not the gateway's, nor one that no host has; `must`: a subnet has to hold it.
bool balancer_place_check(struct check *check, const Sluice__V1__Object *object, const char *field,
			  const struct ip_address *address, const struct maps *maps, bool must);

// `families`: of the virtual addresses.
void check_members(struct check *check, const Sluice__V1__Object *object, unsigned int families,
		   struct maps *maps);
