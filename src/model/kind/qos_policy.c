// Checks of QosPolicy: rates, and bursts that suit them.

#include "model/kind/check.h"
#include "model/qos.h"
#include "model/quantity.h"

// Fields of a RateLimit are named by their direction before them.
struct limit_check {
	struct check *check;
	const Sluice__V1__Object *object;
	const char *direction;
	const Sluice__V1__RateLimit *limit;
};

#define FIELD(limit, name) CHECK_PATH("%s.%s", (limit)->direction, name)

bool check_rate(struct check *check, const Sluice__V1__Object *object, const char *field,
		const char *text, uint64_t *rate)
{
	if (!quantity_parse(text, rate))
		problems_add(check->problems, object, field,
			     "'%s' is no number of bits a second, as 500k, 100M or 2.5G", text);
	else if (*rate < QOS_RATE_MIN || *rate > QOS_RATE_MAX)
		problems_add(check->problems, object, field, "%s is not 8k to 400G bits a second",
			     text);
	else
		return true;
	return false;
}

static bool rate_check(const struct limit_check *limit, const char *field, const char *text,
		       uint64_t *rate)
{
	return check_rate(limit->check, limit->object, FIELD(limit, field), text, rate);
}

static void burst_check(const struct limit_check *limit, const char *field, const char *text,
			uint64_t rate)
{
	uint64_t burst;

	if (!*text)
		return;
	if (!quantity_parse(text, &burst))
		problems_add(limit->check->problems, limit->object, FIELD(limit, field),
			     "'%s' is no number of bytes, as 1500, 64k or 1M", text);
	else if (burst < QOS_BURST_MIN)
		problems_add(limit->check->problems, limit->object, FIELD(limit, field),
			     "%s is less than %d bytes", text, QOS_BURST_MIN);
	else if (rate && burst > rate / 8 * QOS_BURST_SECONDS_MAX)
		problems_add(limit->check->problems, limit->object, FIELD(limit, field),
			     "%s is more than a minute's bytes", text);
}

static void useless(const struct limit_check *limit, const char *field, const char *without)
{
	problems_add(limit->check->problems, limit->object, FIELD(limit, field),
		     "is of no use without %s", without);
}

static void dscp_check(struct check *check, const Sluice__V1__Object *object, const char *field,
		       uint32_t dscp)
{
	if (dscp > QOS_DSCP_MAX)
		problems_add(check->problems, object, field, "%u is not 0 to %d", dscp,
			     QOS_DSCP_MAX);
}

// What may go beyond rate and burst.
static void excess_check(const struct limit_check *limit)
{
	const Sluice__V1__RateLimit *fields = limit->limit;

	if (fields->has_excess_dscp_case) {
		dscp_check(limit->check, limit->object, FIELD(limit, "excessDscp"),
			   fields->excess_dscp);
		if (!*fields->peak && !*fields->excess_burst)
			useless(limit, "excessDscp", "peak or excessBurst");
	} else if (*fields->excess_burst) {
		useless(limit, "excessBurst", "excessDscp");
	}
	if (fields->has_queue_milliseconds_case && fields->queue_milliseconds > QOS_WAIT_MAX)
		problems_add(limit->check->problems, limit->object,
			     FIELD(limit, "queueMilliseconds"), "%u is not 0 to %d",
			     fields->queue_milliseconds, QOS_WAIT_MAX);
	if (fields->queue_milliseconds && fields->has_excess_dscp_case)
		problems_add(limit->check->problems, limit->object,
			     FIELD(limit, "queueMilliseconds"),
			     "is of no use with excessDscp: nothing waits");
	if (*fields->excess_burst && *fields->peak)
		problems_add(limit->check->problems, limit->object, FIELD(limit, "excessBurst"),
			     "is given beside peak, only one of them may be");
	if (*fields->peak_burst && !*fields->peak)
		useless(limit, "peakBurst", "peak");
}

static void limit_check(struct check *check, const Sluice__V1__Object *object,
			const char *direction, const Sluice__V1__RateLimit *fields)
{
	struct limit_check limit = {
		.check = check, .object = object, .direction = direction, .limit = fields};
	uint64_t rate = 0, peak = 0;

	if (!fields)
		return;
	if (!*fields->rate)
		problems_add(check->problems, object, FIELD(&limit, "rate"), "missing");
	else if (!rate_check(&limit, "rate", fields->rate, &rate))
		rate = 0;
	burst_check(&limit, "burst", fields->burst, rate);
	burst_check(&limit, "excessBurst", fields->excess_burst, rate);
	if (*fields->peak && !rate_check(&limit, "peak", fields->peak, &peak))
		peak = 0;
	if (rate && peak && peak <= rate)
		problems_add(check->problems, object, FIELD(&limit, "peak"),
			     "%s is not more than the rate", fields->peak);
	burst_check(&limit, "peakBurst", fields->peak_burst, peak);
	excess_check(&limit);
}

static uint64_t minimum_of(const struct check *check, const char *name)
{
	const Sluice__V1__Object *object =
		*name ? object_set_find(check->set, SLUICE__V1__OBJECT__KIND_QOS_POLICY, name)
		      : NULL;
	uint64_t minimum;

	return object && *object->qos_policy->minimum &&
			       quantity_parse(object->qos_policy->minimum, &minimum) &&
			       minimum <= QOS_RATE_MAX
		       ? minimum
		       : 0;
}

// No node promises more than its uplink has.
static void minimums_check(struct check *check)
{
	size_t nodes = check_count(check, SLUICE__V1__OBJECT__KIND_NODE);
	size_t ports = check_count(check, SLUICE__V1__OBJECT__KIND_PORT);

	for (size_t i = 0; i < nodes; i++) {
		const Sluice__V1__Object *node = check_at(check, SLUICE__V1__OBJECT__KIND_NODE, i);
		const Sluice__V1__Uplink *uplink = node->node->uplink;
		uint64_t rate, sum = 0;

		if (!uplink || !*uplink->rate || !quantity_parse(uplink->rate, &rate))
			continue;
		for (size_t j = 0; j < ports && sum <= rate; j++) {
			const Sluice__V1__Object *port =
				check_at(check, SLUICE__V1__OBJECT__KIND_PORT, j);

			if (strcmp(port->port->node, node->node->name) != 0)
				continue;
			sum += minimum_of(check, port->port->qos_policy);
			if (sum > rate)
				problem_other(
					problems_add(check->problems, port, "qosPolicy",
						     "the minimums on Node/%s are more than the "
						     "%s of its uplink",
						     node->node->name, uplink->rate),
					node, "uplink.rate");
		}
	}
}

void qos_policy_check(struct check *check)
{
	size_t count = check_count(check, SLUICE__V1__OBJECT__KIND_QOS_POLICY);

	for (size_t i = 0; i < count; i++) {
		const Sluice__V1__Object *object =
			check_at(check, SLUICE__V1__OBJECT__KIND_QOS_POLICY, i);
		const Sluice__V1__QosPolicy *policy = object->qos_policy;

		uint64_t minimum;

		if (!policy->ingress && !policy->egress && !policy->has_dscp_case &&
		    !*policy->minimum)
			problems_add(check->problems, object, "",
				     "needs one of ingress, egress, dscp, minimum");
		if (*policy->minimum)
			check_rate(check, object, "minimum", policy->minimum, &minimum);
		limit_check(check, object, "ingress", policy->ingress);
		limit_check(check, object, "egress", policy->egress);
		if (policy->has_dscp_case)
			dscp_check(check, object, "dscp", policy->dscp);
	}
	minimums_check(check);
}
