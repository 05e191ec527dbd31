// Anchors, aliases and merge keys of YAML: trees that occur at several places.

#pragma once

#include "model/yaml_tree.h"

// What the aliases of one file may expand to, in nodes.
#define YAML_COPIES_MAX 1000000

// The anchors of one document.
struct yaml_anchors;

struct yaml_anchors *yaml_anchors_new(void);
void yaml_anchors_free(struct yaml_anchors *anchors);

// Keeps a copy of the node under the name; a later anchor of that name replaces it. False: that
// would be more than `*budget` nodes, which otherwise is reduced.
bool yaml_anchors_add(struct yaml_anchors *anchors, const char *name, const struct yaml_node *node,
		      size_t *budget);

// A copy of what the anchor names, the caller's; `*found` is whether there is such an anchor. NULL
// also where it would take more than the budget.
struct yaml_node *yaml_anchors_copy(const struct yaml_anchors *anchors, const char *name,
				    size_t *budget, bool *found);

// Replaces the item with the key << of a mapping by the items of the mapping, or of the list of
// mappings, that it has, as far as the mapping does not have their keys itself; of several
// mappings the first goes before (yaml.org/type/merge.html). False where it is neither.
bool yaml_merge(struct yaml_node *mapping);
