// Holds the connections that are said to go on in the kernel against what the kernel has of them.
// Workers begin and end such connections meanwhile, so what looks wrong may only be on its way: it
// is wrong where it looks so twice, some time apart.
//
// Control thread.

#pragma once

#include "flow_offload/flow_offload.h"
#include "flow_offload/layout.h"

#define OFFLOAD_SUSPECTS 32

enum offload_fault {
	OFFLOAD_FAULT_KEYS,	  // the kernel does not find the connection, or another one instead
	OFFLOAD_FAULT_CONNECTION, // it has a slot, and is none that goes on in the kernel
	OFFLOAD_FAULT_SLOT,	  // it is to go on in the kernel, and has no slot of its own
	OFFLOAD_FAULT_STALE,	  // a key of the kernel's that belongs to no connection
};

struct offload_suspect {
	enum offload_fault fault;
	uint32_t number; // of the connection, or 0
	uint32_t slot;	 // as in slot_of
	bool shared;	 // the slot is another connection's, too
	struct offload_key key;
};

// One look at all of it. Zeroed to begin with.
struct offload_check {
	uint32_t position; // of connections
	uint32_t keys;	   // that were looked at
	bool used[OFFLOAD_SLOTS];
	struct offload_key key; // the last one
	struct offload_suspect suspects[OFFLOAD_SUSPECTS];
	uint32_t count;
};

// Looks at some more. Between engine_read_begin and engine_read_end. False: that was all.
bool offload_check_step(struct flow_offload *offload, struct offload_check *check);

static inline bool offload_suspect_equal(const struct offload_suspect *a,
					 const struct offload_suspect *b)
{
	return a->fault == b->fault && a->number == b->number && a->slot == b->slot &&
	       memcmp(&a->key, &b->key, sizeof(a->key)) == 0;
}

// Takes away what is wrong. Connections of which the kernel knows too little come back to Sluice
// with the next generation of the tables.
void offload_mend(struct flow_offload *offload, const struct offload_suspect *suspect);
