// What DPDK says goes into the log as everything else does.

#pragma once

#include "base/error.h"

// Before EAL is initialised. The stream lasts as long as the process.
int dpdk_log_open(struct error *err);
