// The kinds of objects, as the proto's message Object lists them.

#pragma once

#include <stddef.h>

#include "sluice.pb-c.h"

// Value of Object.kind_case; numbers of kinds are small.
#define KIND_MAX 64

// A kind by name in any case, singular or plural, with or without - and _ between its words:
// `port`, `securitygroups`, `security-group`. SLUICE__V1__OBJECT__KIND__NOT_SET where there is
// none.
Sluice__V1__Object__KindCase kind_find(const char *text);

// "SecurityGroup", or NULL for a number that is no kind.
const char *kind_name(Sluice__V1__Object__KindCase kind);

// NULL for a number that is no kind.
const ProtobufCMessageDescriptor *kind_descriptor(Sluice__V1__Object__KindCase kind);

// The kinds in the proto's order, from 0; NOT_SET behind the last.
Sluice__V1__Object__KindCase kind_at(size_t index);

// The known kind's name nearest to a wrong one, or NULL where nothing is near.
const char *kind_suggest(const char *text);
