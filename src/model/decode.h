// From trees of nodes to objects, by descriptors.

#pragma once

#include "model/field_lines.h"
#include "model/yaml_tree.h"
#include "sluice.pb-c.h"

// Called for everything that is wrong. `kind`, `name` and `field` are empty as far as they are
// unknown. With line 0, about a field of which nothing more is to be said.
typedef void decode_report(void *context, unsigned line, const char *kind, const char *name,
			   const char *field, const char *text);

// The object, and the lines of its fields in `*lines`; `*broken` where something is wrong, and the
// object is what remains. NULL where there is none at all.
Sluice__V1__Object *object_decode(const struct yaml_node *node, decode_report *report,
				  void *context, struct field_lines **lines, bool *broken);
