// How large an IP packet a network carries where its object does not say.

#pragma once

#include "model/set.h"

// The same on every node.
uint16_t network_default_mtu(const struct object_set *objects);

// Outside, where nothing is in tunnels.
#define EXTERNAL_DEFAULT_MTU 1500

static inline uint16_t network_mtu(const Sluice__V1__Network *network, uint16_t default_mtu)
{
	if (network->has_mtu_case)
		return (uint16_t)network->mtu;
	return network->external ? EXTERNAL_DEFAULT_MTU : default_mtu;
}
