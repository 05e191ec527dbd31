// Large arrays of which little is used: zeroed memory whose pages are taken as they are touched.

#pragma once

#include <stddef.h>

// NULL without memory.
void *pages_get(size_t size);
// NULL does nothing.
void pages_free(void *memory, size_t size);
