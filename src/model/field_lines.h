// The line of every field of an object, so that problems that are found later can be given their
// place.

#pragma once

#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

struct field_lines;

struct field_lines *field_lines_new(void);
void field_lines_free(struct field_lines *lines);

// Adds a field, or with `field` NULL an element of a list, below `parent` (0: the object). Returns
// what stands for it as a parent.
uint32_t field_lines_add(struct field_lines *lines, uint32_t parent,
			 const ProtobufCFieldDescriptor *field, size_t element, unsigned line);

// No more is added.
void field_lines_trim(struct field_lines *lines);

// Line of the field with the path (rules[2].ports), or of the nearest field around it; 0 where
// there is none.
unsigned field_lines_find(const struct field_lines *lines, const char *path);
