// The subnets of all networks that are routed, to be found by an address.

#pragma once

#include <stdlib.h>

#include "model/kind/check.h"

struct vrf_subnet {
	const char *vrf;
	struct ip_prefix prefix;
	const Sluice__V1__Object *network;
	size_t index; // in its `subnets`
};

struct subnets {
	struct vrf_subnet *list; // by Vrf, then by address
	size_t count;
	size_t capacity;
};

// Those that are sound. The result belongs to the caller.
struct subnets subnets_of(const struct check *check);

// NULL: none. Subnets of a Vrf don't overlap; if they do it is reported elsewhere, and one is
// found.
const struct vrf_subnet *subnets_find(const struct subnets *subnets, const char *vrf,
				      const struct ip_address *address);

static inline void subnets_free(struct subnets *subnets)
{
	free(subnets->list);
}
