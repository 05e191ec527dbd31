// The external end of an inside one that a protocol's message names, so that others find it; and
// connections that come to such a one.

#pragma once

#include "layer/tables.h"
#include "packet/packet.h"

// Seconds in which who was told is to come.
#define NAT_ANNOUNCED 60

// Announced and still to come, by all workloads.
#define NAT_ANNOUNCED_MAX 16384

struct nat_announcement {
	// Of the message: as it was sent, and as it leaves.
	const struct flow_key *sent;
	const struct flow_key *leaving;
	uint16_t network;     // number of the one that it leaves to
	uint16_t port;	      // number of the Port where it was received
	uint16_t inside_port; // of the sender's address; network byte order
	uint8_t protocol;
	bool any_peer; // may come, and several; else the message's receiver, once
	// The answer.
	struct ip_address address;
	uint16_t external_port; // network byte order
};

// False: there is none, or too many are expected already.
bool nat_announce(const struct tables *tables, struct nat_announcement *announcement, uint32_t now);

struct nat_expected;

// Of the expectations that mappings keep: the mapping of one that is over may end. `context`: the
// mappings.
void nat_announcement_ended(void *context, const struct nat_expected *expected, uint32_t now);
