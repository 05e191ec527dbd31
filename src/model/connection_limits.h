// What ConnectionLimits leave to say.

#pragma once

#include "sluice.pb-c.h"

// Of one second.
static inline uint32_t connection_limits_burst(const Sluice__V1__ConnectionLimits *limits)
{
	return limits->has_connection_burst_case ? limits->connection_burst
						 : limits->connection_rate;
}
