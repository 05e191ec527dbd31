// Which members serve, as health checks have found it: no configuration, so it stays from one
// generation of the tables to the next. The control thread makes entries, workers change them.

#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "base/lookup.h"

// Source ports of the questions say whose they are: so not more.
#define MEMBER_HEALTHS_MAX 65535

struct member_health {
	_Atomic bool down;   // as the node has found it that asks
	_Atomic bool silent; // that node is not heard; worker 0 writes it
	// The question that was last answered, with MEMBER_GOOD if well. Any worker's.
	_Atomic uint32_t answered;
	_Atomic uint32_t question; // that was asked last: a random number without the lowest bit
	// Of the worker that asks.
	uint32_t asked_at; // second
	bool waiting;
	uint8_t good; // answers in a row
	uint8_t bad;
	_Atomic uint8_t tell; // so often still the other nodes are told of the change
	// The control thread's, as in struct numbers: seen since member_healths_begin, new since
	// then.
	bool taken;
	bool kept;
	bool given;
	bool told;	       // the log says that it is down
	struct lookup_key key; // hashes of the LoadBalancer's name and the member's, its family
} __attribute__((aligned(64)));

#define MEMBER_GOOD 1u

struct member_healths {
	struct member_health *entries; // by number; 0 is none
	uint32_t used;		       // those from here on were never taken
	uint32_t next;		       // those before are taken
	struct lookup numbers;	       // key to number; control thread
};

bool member_healths_open(struct member_healths *healths);
void member_healths_close(struct member_healths *healths);

// As with struct address_owners. Control thread.
void member_healths_begin(struct member_healths *healths);
void member_healths_settle(struct member_healths *healths);
void member_healths_abandon(struct member_healths *healths);

// The entry's number, made if need be; 0 where there are too many. Control thread.
uint32_t member_healths_get(struct member_healths *healths, struct lookup_key key);

// As the node has found it that asks.
static inline bool member_found_down(const struct member_health *health)
{
	return atomic_load_explicit(&health->down, memory_order_relaxed);
}

static inline bool member_is_silent(const struct member_health *health)
{
	return health && atomic_load_explicit(&health->silent, memory_order_relaxed);
}

// Does it get no new connections?
static inline bool member_is_down(const struct member_health *health)
{
	return health && (member_found_down(health) || member_is_silent(health));
}
