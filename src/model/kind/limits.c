// Checks of ConnectionLimits, which Ports and Nodes have.

#include "model/kind/check.h"

#define CONNECTIONS_MAX (1u << 30) // as many as a table may have
#define RATE_MAX	10000000u

static void range_check(struct check *check, const Sluice__V1__Object *object, const char *field,
			uint32_t value, uint32_t most)
{
	if (value < 1 || value > most)
		problems_add(check->problems, object, field, "%u is not 1 to %u", value, most);
}

void check_limits(struct check *check, const Sluice__V1__Object *object,
		  const Sluice__V1__ConnectionLimits *limits)
{
	if (!limits)
		return;
	if (limits->has_connections_case)
		range_check(check, object, "limits.connections", limits->connections,
			    CONNECTIONS_MAX);
	if (limits->has_half_open_case)
		range_check(check, object, "limits.halfOpen", limits->half_open, CONNECTIONS_MAX);
	if (limits->has_connection_rate_case)
		range_check(check, object, "limits.connectionRate", limits->connection_rate,
			    RATE_MAX);
	if (limits->has_connection_burst_case && !limits->has_connection_rate_case)
		problems_add(check->problems, object, "limits.connectionBurst",
			     "is of no use without connectionRate");
	else if (limits->has_connection_burst_case)
		range_check(check, object, "limits.connectionBurst", limits->connection_burst,
			    RATE_MAX);
	if (limits->has_connections_case && limits->has_half_open_case &&
	    limits->half_open > limits->connections)
		problems_add(check->problems, object, "limits.halfOpen",
			     "%u is more than connections, %u", limits->half_open,
			     limits->connections);
}
