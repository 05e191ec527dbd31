// Control thread.

#pragma once

#include "layer/compare.h"
#include "layer/compile.h"

struct externals;
struct neighbour;

// Makes tables->externals: behind the networks, and before the endpoints, of which the routers get
// the last ones. 0 or -1.
int externals_compile(struct compile *compile, struct error *err);
// external/behind.c, part of that.
int externals_behind_compile(struct compile *compile, struct error *err);
// external/shared.c, part of that.
int external_shared_compile(struct compile *compile, struct error *err);
// Who has that address in an external network is asked for it all the time, by the uplink's worker.
int external_watch(struct compile *compile, const struct network *network,
		   const struct ip_address *address, struct neighbour **neighbour,
		   struct error *err);

// external/shared.c: the share in which the address is, as struct external_prefix has it.
uint32_t external_share_of(const struct tables *tables, const struct network *network,
			   const struct ip_address *address);
bool external_shares_equal(const struct tables *a, const struct tables *b, uint32_t i, uint32_t j);
// The endpoints are there.
void externals_place(struct tables *tables);

// For whoever has addresses outside (NAT, floating and balanced addresses), while tables are
// compiled: this node answers ARP and ND for them, announces them when they come to it, and takes
// what is sent to them; the walk of such a packet begins in that network. `network` is the external
// network's number. Two claims must not overlap (check_external_prefix sees to that). Nothing is
// done where this node has no part in the network. 0 or -1.
int external_claim_add(const struct compile *compile, uint16_t network,
		       const struct ip_prefix *prefix, struct error *err);
// An address that all nodes in the network have; one of them answers ARP and ND.
int external_claim_share(const struct compile *compile, uint16_t network,
			 const struct ip_address *address, struct error *err);
// Behind the last claim.
void externals_finish(const struct compile *compile);

// The uplink's device is open.
void externals_set_uplink(struct tables *tables);
void externals_free(struct externals *externals);
void externals_compare(const struct tables *have, const struct tables *want,
		       struct differences *differences);
