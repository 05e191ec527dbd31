// Which members serve, as health checks have found it: no configuration, so it stays from one
// generation of the tables to the next. The control thread makes entries, workers change them.

#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "base/lookup.h"

// Ports of the questions say whose they are: so not more.
#define MEMBER_HEALTHS_MAX 65535

struct member_health {
	_Atomic bool down;
	// The control thread's, as in struct numbers: seen since member_healths_begin, new since
	// then.
	struct lookup_key key; // hashes of the LoadBalancer's name and the member's, its family
	bool taken;
	bool kept;
	bool given;
} __attribute__((aligned(64)));

static inline bool member_is_down(const struct member_health *health)
{
	return health && atomic_load_explicit(&health->down, memory_order_relaxed);
}
