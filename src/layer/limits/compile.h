// From the limits of Ports and their Node to the tables.

#pragma once

#include "layer/compile.h"

// The ports of this node have their places.
void limits_compile(struct compile *compile);
