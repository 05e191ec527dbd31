// Who else says to have an address that is ours on an external network (RFC 5227 section 2.4): from
// the worker that hears it to the control thread.

#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"

#define CONFLICTS_MAX 16

struct conflict {
	struct ip_address address;
	struct mac_address mac; // the other one's
	uint16_t network;
};

// One writes, one reads; what finds no room is only counted.
struct conflicts {
	struct conflict list[CONFLICTS_MAX];
	_Atomic uint32_t written;
	_Atomic uint32_t read;
	_Atomic uint64_t count;
	uint32_t defended; // second
};

// Control thread. False: there is no further one.
bool conflicts_take(struct conflicts *conflicts, struct conflict *conflict);
