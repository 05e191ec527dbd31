// The common tables: networks, other nodes, Ports (endpoint/), and the lookups between them.

#pragma once

#include "layer/compile.h"

int topology_compile(struct compile *compile, struct error *err);
void topology_free(struct tables *tables);
