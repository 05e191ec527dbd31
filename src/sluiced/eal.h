// DPDK's environment, set up so that it touches nothing that the configuration does not name.

#pragma once

#include "base/error.h"
#include "worker/engine.h"

// `argv` is the process's own: where huge pages were there and are gone when EAL takes them, the
// process begins anew, with ordinary ones.
int eal_open(const struct engine_options *options, char **argv, struct error *err);
void eal_close(void);
