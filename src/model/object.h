// One object of desired state, of whatever kind.

#pragma once

#include <stdbool.h>

#include "sluice.pb-c.h"

// The message of its kind, as a Port; NULL where the object has no kind.
const ProtobufCMessage *object_message(const Sluice__V1__Object *object);

// Name of its kind, as "SecurityGroup", or "" without one.
const char *object_kind_name(const Sluice__V1__Object *object);

// Its name, or "" without a kind.
const char *object_name(const Sluice__V1__Object *object);

// Are they the same in every field?
bool object_equal(const Sluice__V1__Object *a, const Sluice__V1__Object *b);

// An object of this kind with nothing but its name; freed with object_free.
Sluice__V1__Object *object_named(Sluice__V1__Object__KindCase kind, const char *name);

// NULL where a message is larger than memory or 2 GiB; freed with object_free.
Sluice__V1__Object *object_copy(const Sluice__V1__Object *object);
void object_free(Sluice__V1__Object *object);
