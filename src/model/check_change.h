// Validation of a small change: of what is near it, instead of the whole set.

#pragma once

#include <stdbool.h>

#include "model/set.h"

// Is `next` sound, if `current` is? Looks at Ports and SecurityGroups that came, went or changed,
// and at all that they have to agree with: what set_check holds a Port against has to be on its
// node, in its network or in the routing domain of that. False: not so, or the change is of another
// sort, and set_check has to say.
bool change_is_sound(const struct object_set *current, const struct object_set *next);
