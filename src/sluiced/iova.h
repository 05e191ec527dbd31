// By which addresses devices find packet buffers.

#pragma once

#include <stdbool.h>

// EAL's option: those of the process, which an IOMMU translates, or physical ones, where devices
// are to be driven without one. `huge_pages`: memory is of them; ordinary pages may move.
const char *iova_mode_option(bool huge_pages);
