// Validation of a whole set of objects: the rules that no message type can express.

#pragma once

#include "model/problem.h"
#include "model/set.h"

// Adds everything that is wrong to `problems`; nothing added means that the set is sound. Compilers
// of layers may rely on what is checked here: references lead somewhere, addresses parse, names and
// numbers are unique.
void set_check(const struct object_set *set, struct problems *problems);
