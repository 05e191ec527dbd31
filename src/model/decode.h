// From trees of nodes to objects, by descriptors.

#pragma once

#include "model/field_lines.h"
#include "model/yaml_tree.h"
#include "sluice.pb-c.h"

// Called for everything that is wrong. `kind`, `name` and `field` are empty as far as they are
// unknown.
typedef void decode_report(void *context, unsigned line, const char *kind, const char *name,
			   const char *field, const char *text);

// Returns NULL where something is wrong; otherwise the object, and the lines of its fields in
// `*lines`.
Sluice__V1__Object *object_decode(const struct yaml_node *node, decode_report *report,
				  void *context, struct field_lines **lines);
