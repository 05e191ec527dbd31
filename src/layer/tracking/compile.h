// From a Network's ConnectionTracking to the tables: what workers ask when a connection opens, ages
// or does not fit.

#pragma once

#include "layer/tables.h"
#include "sluice.pb-c.h"

// False: no memory. `object` may be NULL.
bool tracking_compile(struct network *network, const Sluice__V1__ConnectionTracking *object);

// All networks are there: what ageing sees of them. False: no memory.
bool tracking_collect(struct tables *tables);

void tracking_free(struct tables *tables);
