// How large an IP packet a network carries where its object does not say.

#pragma once

#include "model/set.h"

// The same on every node.
uint16_t network_default_mtu(const struct object_set *objects);

static inline uint16_t network_mtu(const Sluice__V1__Network *network, uint16_t default_mtu)
{
	return network->has_mtu_case ? (uint16_t)network->mtu : default_mtu;
}
