// The alias of an interface in the thread's network namespace (`ip link` shows it): by it a process
// knows what an earlier one has made.

#pragma once

#include <stdbool.h>

#include "base/error.h"

#define INTERFACE_ALIAS_SIZE 256

int interface_alias_set(const char *name, const char *alias, struct error *err);

// False where there is no such interface, too.
bool interface_alias_is(const char *name, const char *alias);
