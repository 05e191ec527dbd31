// The common tables of Ports: those of this node, and where those of the others are.

#pragma once

#include "layer/compile.h"

// After networks, nodes and the numbers of groups.
int endpoints_compile(struct compile *compile, struct error *err);
void endpoints_free(struct tables *tables);
