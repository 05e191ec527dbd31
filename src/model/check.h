// Validation of a whole set of objects: the rules that no message type can express.

#pragma once

#include "model/problem.h"
#include "model/set.h"

// Adds everything that is wrong to `problems`; nothing added means that the set is sound. Compilers
// of layers may rely on what is checked here: references lead somewhere, addresses parse, names and
// numbers are unique. Where two objects don't go together, the problem is that of the one which is
// not in `before` (NULL: an empty set), the sound set from which this one was made.
void set_check(const struct object_set *set, const struct object_set *before,
	       struct problems *problems);
