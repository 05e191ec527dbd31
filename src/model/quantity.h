// Quantities as people write them: 1500, 64k, 2.5G.

#pragma once

#include <stdbool.h>
#include <stdint.h>

// A whole number, or a decimal fraction of thousands (k), millions (M) or billions (G). False where
// it is none of these, is not whole, or is too large for the type.
bool quantity_parse(const char *text, uint64_t *value);
