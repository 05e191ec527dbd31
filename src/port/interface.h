// A kernel network interface that somebody else made: what there is to know about it.

#pragma once

#include <net/if.h>

#include "base/address.h"
#include "base/error.h"

struct interface {
	char name[IF_NAMESIZE];
	unsigned int index;
	struct mac_address mac;
	unsigned int mtu; // bytes of an IP packet
	char driver[32];  // kernel driver's name, or empty
	unsigned int receive_queues;
	bool up;
};

// Is it a name that an interface can have? Otherwise sets `err`.
bool interface_name_valid(const char *name, struct error *err);

// Fails if there is no such interface.
int interface_get(const char *name, struct interface *interface, struct error *err);

// Is it up, with somebody at the other end of the cable? `*gone`: there is none with this index any
// more.
bool interface_has_link(unsigned int index, bool *gone);

// Sets it up. Does nothing else to it.
int interface_set_up(const struct interface *interface, struct error *err);

// Returns a descriptor that keeps it promiscuous for as long as it is open, or -1.
int interface_hold_promiscuous(const struct interface *interface, struct error *err);
