// Two states of an object, line by line.

#pragma once

#include "sluice.pb-c.h"

// Prints the YAML form of both as one text: lines with `-` go, those with `+` come. NULL: no
// object.
void difference_print(const Sluice__V1__Object *before, const Sluice__V1__Object *after);
