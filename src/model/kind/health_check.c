// Checks of a LoadBalancer's HealthCheck.

#include <string.h>

#include "model/kind/check.h"

#define INTERVAL_MAX  3600
#define TIMES_MAX     10
#define PATH_MAX_SIZE 255

static void times_check(struct check *check, const Sluice__V1__Object *object, const char *field,
			bool present, uint32_t value, uint32_t max)
{
	if (present && (value < 1 || value > max))
		problems_add(check->problems, object, CHECK_PATH("healthCheck.%s", field),
			     "%u is not 1 to %u", value, max);
}

static void path_check(struct check *check, const Sluice__V1__Object *object, const char *path)
{
	const char *field = "healthCheck.path";

	if (*path != '/')
		problems_add(check->problems, object, field, "'%s' does not begin with /", path);
	else if (strlen(path) > PATH_MAX_SIZE)
		problems_add(check->problems, object, field, "longer than %d bytes", PATH_MAX_SIZE);
	else
		for (const char *c = path; *c; c++)
			if (*c <= ' ' || *c > '~') {
				problems_add(check->problems, object, field,
					     "has blanks, or what is no ASCII: write %%20 and "
					     "the like");
				break;
			}
}

void check_health(struct check *check, const Sluice__V1__Object *object,
		  const Sluice__V1__HealthCheck *health)
{
	uint32_t interval = health->has_interval_seconds_case ? health->interval_seconds : 5;

	if (health->has_port_case) {
		if (health->protocol == SLUICE__V1__HEALTH_PROTOCOL__HEALTH_PROTOCOL_ICMP)
			problems_add(check->problems, object, "healthCheck.port",
				     "icmp has no ports");
		else
			check_port_number(check, object, "healthCheck.port", health->port);
	}
	if (*health->path && health->protocol != SLUICE__V1__HEALTH_PROTOCOL__HEALTH_PROTOCOL_HTTP)
		problems_add(check->problems, object, "healthCheck.path", "only http has a path");
	else if (*health->path)
		path_check(check, object, health->path);
	times_check(check, object, "intervalSeconds", health->has_interval_seconds_case,
		    health->interval_seconds, INTERVAL_MAX);
	times_check(check, object, "timeoutSeconds", health->has_timeout_seconds_case,
		    health->timeout_seconds,
		    interval >= 1 && interval <= INTERVAL_MAX ? interval : INTERVAL_MAX);
	times_check(check, object, "rise", health->has_rise_case, health->rise, TIMES_MAX);
	times_check(check, object, "fall", health->has_fall_case, health->fall, TIMES_MAX);
}
