// Holds two tables against each other that were compiled from the same objects for the same node,
// as those in force against new ones: where they differ, one of them is wrong. Control thread.

#pragma once

#include <stddef.h>

#include "layer/tables.h"

#define DIFFERENCES_NAMED 32
#define DIFFERENCE_SIZE	  160

struct differences {
	size_t count;
	size_t named; // of them
	char texts[DIFFERENCES_NAMED][DIFFERENCE_SIZE];
};

void differences_add(struct differences *differences, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

// Says what of `have` is not as in `want`. What is not compiled (the devices of ports, their
// counters, the generation) is not looked at; what is known with the uplink's device only
// (tables_set_uplink) has to be in both.
void tables_compare(const struct tables *have, const struct tables *want,
		    struct differences *differences);

// Parts of it. Networks, endpoints and ports are the same already, as many and in their order.

// Are all entries of one also in the other?
bool lookup_equal(const struct lookup *a, const struct lookup *b);

static inline bool prefix_equal(const struct ip_prefix *a, const struct ip_prefix *b)
{
	return ip_equal(&a->address, &b->address) && a->length == b->length;
}

void services_compare(const struct tables *have, const struct tables *want,
		      struct differences *differences);
