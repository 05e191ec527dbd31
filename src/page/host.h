// Whose page is it? The Host header of a request.

#pragma once

#include <stdbool.h>

// A name that a stranger's name server can point here may not be: his page would be of the same
// origin (DNS rebinding). Addresses, localhost, the machine's own name and `configured` may.
// `header` is hostile.
bool host_is_ours(const char *header, const char *configured);
