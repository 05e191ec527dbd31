// A table takes over the connections of an earlier one (keep.h): after the process that had it was
// killed, or at an upgrade. They are copied, so that it may have any size and number of workers,
// and so that whatever happens meanwhile, the earlier one is as it was.
//
// Of each connection all is held against what a table may have; what does not agree is dropped, and
// never repaired. What it may do is decided anew in any case: its directions have generation 0, so
// that the layers judge its next packets as after a change of policy.
//
// Control thread, before any worker runs on the table.

#pragma once

#include "flow/keep.h"
#include "flow/table.h"

struct flow_adoption {
	// Does the connection belong to what there is? It is entered then; if it can't be, and is
	// FLOW_MAPPED, the table's mapped.end is called. NULL: all do.
	bool (*accept)(void *context, const struct flow *flow, uint32_t now);
	void *context;
	uint64_t adopted;
	uint64_t dropped;
};

// Brings memory in for as many connections as there are now: while another process still uses its
// table, so that this need not be waited for later.
void flow_table_adopt_prepare(struct flow_table *table, const struct flow_remains *remains);

// `now`: of the table's clock, which is the earlier one's.
void flow_table_adopt(struct flow_table *table, const struct flow_remains *remains, uint32_t now,
		      struct flow_adoption *adoption);
