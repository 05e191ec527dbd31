// Objects as rows of a table: a column for each field of their kind.

#pragma once

#include <stddef.h>

#include "sluice.pb-c.h"

#define OBJECT_COLUMNS_MAX 32

// The fields that are not empty in all of these objects, which are of one kind; at least one
// object. Returns how many.
size_t object_columns(Sluice__V1__Object *const *objects, size_t count,
		      const ProtobufCFieldDescriptor *fields[OBJECT_COLUMNS_MAX]);

// SECURITY GROUPS for security_groups; '>' first where numbers stand in it. Freed by the caller.
char *object_heading(const ProtobufCFieldDescriptor *field);

// The field in a few words. Freed by the caller.
char *object_cell(const ProtobufCFieldDescriptor *field, const ProtobufCMessage *message);

// `active`, `active, up` or `failed: the reason`; "" for NULL. Freed by the caller.
char *status_cell(const Sluice__V1__ObjectStatus *status);
