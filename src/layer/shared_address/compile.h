// From allowedAddresses to whom a host address there is delivered. Control thread.

#pragma once

#include "layer/compile.h"

// A host prefix that one port alone names is delivered to it, as if it were an address of it; one
// that several name, to its owner at the time. 0 or -1.
int shared_addresses_compile(struct compile *compile, struct error *err);
void shared_addresses_free(struct tables *tables);
