// Scalars of messages from text.

#pragma once

#include <protobuf-c/protobuf-c.h>

#include "base/error.h"
#include "model/yaml_tree.h"

// Writes the scalar to `value`, which has the field's C type (a string is allocated). Returns -1
// with an error that says what was expected.
int scalar_decode(const ProtobufCFieldDescriptor *field, const struct yaml_node *node, void *value,
		  struct error *err);
