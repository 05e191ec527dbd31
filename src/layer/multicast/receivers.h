// Who gets what is sent to several receivers of a network at once.

#pragma once

#include "layer/tables.h"

// Fills `local` and `remote` of all networks from the endpoints. Control thread. False without
// memory.
bool receivers_compile(struct tables *tables);

// Index of the endpoint that stands for the node in the network's `remote`, or 0.
uint32_t receivers_remote(const struct tables *tables, const struct network *network,
			  uint16_t peer);

// Whom a packet is for, by its destination addresses.
enum receivers {
	RECEIVERS_ALL,
	RECEIVERS_MEMBERS, // of the group that the IP destination is
	RECEIVERS_NONE,	   // must not leave its sender
};

enum receivers receivers_of(const struct ip_address *destination);
