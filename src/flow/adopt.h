// A table takes over the connections of an earlier one (keep.h): after the process that had it was
// killed, or at an upgrade. They are copied, so that it may have any size and number of workers,
// and so that whatever happens meanwhile, the earlier one is as it was.
//
// Of each connection all is held against what a table may have; what does not agree is dropped, and
// never repaired. What it may do is decided anew in any case: its directions have generation 0, so
// that the layers judge its next packets as after a change of policy.
//
// While the earlier process still uses its table, what is in it may change at any moment, and half
// of it be read. So this can be done in rounds: each takes over what has changed since the one
// before, and lets go of what is not there any more. Only in the last one it need not change.
//
// Control thread, before any worker runs on the table.

#pragma once

#include "flow/keep.h"
#include "flow/table.h"

struct flow_adoption {
	// Does the connection belong to what there is? It is entered then. NULL: all do.
	bool (*accept)(void *context, const struct flow *flow, uint32_t now);
	// One that is FLOW_MAPPED and was accepted is not taken over after all.
	void (*forget)(void *context, const struct flow *flow);
	void *context;
	// Of the last round.
	uint64_t adopted; // that are here now
	uint64_t dropped;
	uint64_t changed; // since the round before
	// Last packet of all; 0: none is known. By the earlier process's clock, which may be
	// minutes off this one's.
	uint32_t last_seen, seen; // of the round before, and of this one

	uint32_t *numbers;    // here, by the earlier ones; NULL: one round only
	uint64_t numbers_end; // none from here on
	size_t numbers_size;
};

// Several rounds may follow. Brings memory in for as many connections as there are now. Without
// memory for the numbers, there can be one round only, which the caller sees by these.
void flow_adoption_begin(struct flow_adoption *adoption, struct flow_table *table,
			 const struct flow_remains *remains);
// All zero is fine.
void flow_adoption_end(struct flow_adoption *adoption);

// A round. `now`: of the table's clock, which is the earlier one's.
void flow_table_adopt(struct flow_table *table, const struct flow_remains *remains, uint32_t now,
		      struct flow_adoption *adoption);
