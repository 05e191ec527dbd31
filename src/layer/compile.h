// From objects to tables: what a layer's compiling half works with. Control thread only.

#pragma once

#include "base/numbers.h"
#include "layer/load_balancer/health.h"
#include "layer/shared_address/owner.h"
#include "layer/tables.h"
#include "layer/tunnel/neighbour.h"
#include "layer/walk.h"
#include "model/set.h"

struct nat_mappings;

// Numbers that outlive a generation.
struct compile_numbers {
	struct numbers domains;
	struct numbers networks;
	struct numbers ports; // of this node; names of Port objects
	struct numbers nodes;
	struct numbers groups;
	struct address_owners owners;
	struct member_healths healths;
	struct neighbours *neighbours; // of the last compilation
	struct nat_mappings *mappings; // control's; NULL: there are none
};

struct compile {
	const struct object_set *objects;
	const char *node; // name of this one
	struct compile_numbers *numbers;
	struct neighbours *neighbours;
	struct tables *tables; // the common part, complete when a layer compiles
	// What is in force, and the objects that it was compiled from; NULL: nothing to go by.
	const struct tables *previous;
	const struct object_set *previous_objects;
};

// Is the object at this place the very same one that the previous tables were compiled from? What
// follows from it alone, and from numbers, is the same then, and taken over.
static inline bool compile_kept(const struct compile *compile, Sluice__V1__Object__KindCase kind,
				size_t place)
{
	return compile->previous &&
	       object_set_same(compile->objects, compile->previous_objects, kind, place);
}

// The error of every compiling half. -1.
static inline int compile_no_memory(struct error *err)
{
	return error_set(err, "no memory for the tables");
}

bool compile_numbers_open(struct compile_numbers *numbers);
void compile_numbers_close(struct compile_numbers *numbers);

// Gives the numbers of objects back that the last compilation did not meet: when its tables are in
// force.
void compile_numbers_settle(struct compile_numbers *numbers);

// Gives back those that were new in the last compilation: when nothing came of it.
void compile_numbers_abandon(struct compile_numbers *numbers);

// Compiles a valid set. `ports` of the result have no devices yet: see control/reconcile.c.
// `previous` are the tables in force and `previous_objects` the set that they were compiled from,
// for the same node: what did not change is shared with them. NULL: all is made anew; the result is
// the same. 0 or -1.
int tables_compile(const struct object_set *objects, const char *node,
		   struct compile_numbers *numbers, struct neighbours *neighbours,
		   uint32_t generation, uint32_t workers, const struct tables *previous,
		   const struct object_set *previous_objects, struct tables **tables,
		   struct error *err);
void tables_free(struct tables *tables);

// The uplink's MAC address and MTU (bytes of an IP packet; 0: any) are known when its device is
// open: writes them into the peers' headers and the MTU of what is behind them. Before publishing.
void tables_set_uplink(struct tables *tables, const struct mac_address *mac, uint16_t mtu);
