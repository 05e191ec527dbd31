// Control thread.

#pragma once

#include "layer/compile.h"

// Makes tables->allowed_addresses of tables->allowed; false without memory.
bool allowed_addresses_compile(const struct compile *compile);
void allowed_addresses_free(struct tables *tables);
bool allowed_addresses_equal(const struct tables *a, const struct tables *b);
