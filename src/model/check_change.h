// Validation of a small change: of what is near it, instead of the whole set.

#pragma once

#include <stdbool.h>

#include "model/set.h"

// Is `next` sound, if `current` is? Looks at what came, went or changed (of any kind but Node,
// Route, LoadBalancer, Nat, FloatingIp and QosPolicy) and at all that it has to agree with: what
// set_check holds a Port against has to be on its node, in its network or in the routing domain of
// that; what it holds a Network against are its Ports, the sub-ports of these, and all Networks.
// False: not so, or too much changed, and set_check has to say.
bool change_is_sound(const struct object_set *current, const struct object_set *next);
