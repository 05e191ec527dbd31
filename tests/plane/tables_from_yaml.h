// Tables from YAML, without a store and a control thread.

#pragma once

#include <stddef.h>

#include "layer/compile.h"

// What `node` has of the objects. NULL where the text is not a valid set of objects. A valid set
// that does not compile aborts. Freed with tables_from_yaml_free. Those that live at a time share
// their numbers.
struct tables *tables_from_yaml(const char *yaml, size_t size, const char *node, uint32_t workers);
// For the Nats of all that are made from now on: mappings of the engine that they are for. They
// have to stay until those are freed.
void tables_from_yaml_map(struct nat_mappings *mappings);
void tables_from_yaml_free(struct tables *tables);
