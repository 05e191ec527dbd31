// What a connection of an earlier process must agree with in itself to be believed (adopt.h).

#pragma once

#include "flow/flow.h"

// `now`: of its table's clock.
bool flow_is_sound(const struct flow *flow, uint32_t now);
