// Control thread.

#pragma once

#include "layer/compare.h"
#include "layer/compile.h"

struct routes;

// Makes tables->routes of the Routes and the other common tables. 0 or -1.
int routes_compile(const struct compile *compile, struct error *err);
void routes_free(struct routes *routes);
void routes_compare(const struct tables *have, const struct tables *want,
		    struct differences *differences);
