#include "model/network_mtu.h"

#include <string.h>

#define DEFAULT_MTU_V4 1450 // what a VXLAN packet has room for in 1500 bytes
#define DEFAULT_MTU_V6 1430

// Room for the larger outer header as soon as any tunnel address is IPv6, so that every node comes
// to the same one.
uint16_t network_default_mtu(const struct object_set *objects)
{
	size_t count = object_set_count(objects, SLUICE__V1__OBJECT__KIND_NODE);

	for (size_t i = 0; i < count; i++) {
		const Sluice__V1__Node *node =
			object_set_at(objects, SLUICE__V1__OBJECT__KIND_NODE, i)->node;

		if (node->vtep && strchr(node->vtep, ':'))
			return DEFAULT_MTU_V6;
	}
	return DEFAULT_MTU_V4;
}
