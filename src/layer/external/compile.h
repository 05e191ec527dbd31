// Control thread.

#pragma once

#include "layer/compare.h"
#include "layer/compile.h"

struct externals;

// Makes tables->externals: behind the networks, and before the endpoints, of which the routers get
// the last ones. 0 or -1.
int externals_compile(struct compile *compile, struct error *err);
// external/behind.c, part of that.
int externals_behind_compile(struct compile *compile, struct error *err);
// The endpoints are there.
void externals_place(struct tables *tables);

// For whoever has addresses outside (NAT, floating and balanced addresses), while tables are
// compiled: this node answers ARP and ND for them, announces them when they come to it, and takes
// what is sent to them; the walk of such a packet begins in that network. `network` is the external
// network's number. Two claims must not overlap (check_external_prefix sees to that). Nothing is
// done where this node has no part in the network. 0 or -1.
// `quiet`: another node answers ARP and ND.
int external_claim_add(const struct compile *compile, uint16_t network,
		       const struct ip_prefix *prefix, bool quiet, struct error *err);
// Behind the last claim.
void externals_finish(const struct compile *compile);

// The uplink's device is open.
void externals_set_uplink(struct tables *tables);
void externals_free(struct externals *externals);
void externals_compare(const struct tables *have, const struct tables *want,
		       struct differences *differences);
