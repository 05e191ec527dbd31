// From objects to tables: what a layer's compiling half works with. Control thread only.

#pragma once

#include "base/numbers.h"
#include "layer/shared_address/owner.h"
#include "layer/tables.h"
#include "layer/tunnel/neighbour.h"
#include "layer/walk.h"
#include "model/set.h"

// Numbers that outlive a generation.
struct compile_numbers {
	struct numbers domains;
	struct numbers networks;
	struct numbers ports; // of this node; names of Port objects
	struct numbers nodes;
	struct numbers groups;
	struct address_owners owners;
};

struct compile {
	const struct object_set *objects;
	const char *node; // name of this one
	struct compile_numbers *numbers;
	struct neighbours *neighbours;
	struct tables *tables; // the common part, complete when a layer compiles
};

bool compile_numbers_open(struct compile_numbers *numbers);
void compile_numbers_close(struct compile_numbers *numbers);

// Gives the numbers of objects back that the last compilation did not meet: when its tables are in
// force.
void compile_numbers_settle(struct compile_numbers *numbers);

// Gives back those that were new in the last compilation: when nothing came of it.
void compile_numbers_abandon(struct compile_numbers *numbers);

// Compiles a valid set. `ports` of the result have no devices yet: see control/reconcile.c. 0 or
// -1.
int tables_compile(const struct object_set *objects, const char *node,
		   struct compile_numbers *numbers, struct neighbours *neighbours,
		   uint32_t generation, uint32_t workers, struct tables **tables,
		   struct error *err);
void tables_free(struct tables *tables);

// The uplink's MAC address and MTU (bytes of an IP packet; 0: any) are known when its device is
// open: writes them into the peers' headers and the MTU of what is behind them. Before publishing.
void tables_set_uplink(struct tables *tables, const struct mac_address *mac, uint16_t mtu);
