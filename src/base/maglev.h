// Which of several members takes a hash? Consistent hashing by a table (Eisenbud et al., "Maglev",
// NSDI '16, section 3.4): each member has about its weight's share of the hashes, and when one
// comes or goes, few of the others' move. The same members give the same table everywhere, in
// whatever order they are named.

#pragma once

#include <stdbool.h>
#include <stdint.h>

struct maglev_member {
	uint64_t identity; // a hash of its name; different members' differ
	uint32_t weight;   // 0: takes nothing
};

// Fills `table` with numbers of members, from 0 on. `size` is a prime number, better a hundred
// times the number of members; at most 65535 members, one of them with a weight. False without
// memory.
bool maglev_fill(uint16_t *table, uint32_t size, const struct maglev_member *members,
		 uint32_t count);
