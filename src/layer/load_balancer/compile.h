// Control thread.

#pragma once

#include "layer/compare.h"
#include "layer/compile.h"

struct load_balancers;

// Whose health is asked for, of tables->load_balancers that are complete but for that. 0 or -1.
int member_probes_compile(const struct compile *compile, struct error *err);

// nodes.c: which nodes are told. False: no memory.
bool balancer_nodes_compile(const struct compile *compile);
// Is this node one of them?
bool balancer_node_is_told(const struct load_balancers *balancers, uint16_t domain);

// Makes tables->load_balancers of the LoadBalancers and the other common tables. 0 or -1.
int load_balancers_compile(const struct compile *compile, struct error *err);
void load_balancers_free(struct load_balancers *balancers);
void load_balancers_compare(const struct tables *have, const struct tables *want,
			    struct differences *differences);
