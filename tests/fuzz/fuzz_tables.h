// Tables from YAML, for fuzzers.

#pragma once

#include <stddef.h>

#include "layer/compile.h"

// NULL where the text is not a valid set of objects. A valid set that does not compile aborts.
// Freed with fuzz_tables_free. Those that live at a time share their numbers.
struct tables *fuzz_tables_make(const char *yaml, size_t size, const char *node);
void fuzz_tables_free(struct tables *tables);
