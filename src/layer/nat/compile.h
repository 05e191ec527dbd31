// Control thread.

#pragma once

#include "layer/compare.h"
#include "layer/compile.h"

// Makes tables->nat: behind endpoints and external networks, whose addresses it claims. 0 or -1.
int nats_compile(struct compile *compile, struct error *err);
void nats_free(struct nat_tables *nat);
void nats_compare(const struct tables *have, const struct tables *want,
		  struct differences *differences);
