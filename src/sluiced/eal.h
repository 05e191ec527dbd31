// DPDK's environment, set up so that it touches nothing that the configuration does not name.

#pragma once

#include "base/error.h"
#include "worker/engine.h"

int eal_open(const struct engine_options *options, struct error *err);
void eal_close(void);
