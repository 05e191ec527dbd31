// What DPDK says goes into the log as everything else does.

#pragma once

#include "base/error.h"

// Before EAL is initialised.
int dpdk_log_open(struct error *err);

// After EAL has ended.
void dpdk_log_close(void);
