// What QosPolicies do.

#include <stdlib.h>
#include <string.h>

#include "layer/qos/qos.h"
#include "telemetry/telemetry.h"

// Of all policies, by their place in the tables: one pass over whom they concern.
struct counted {
	struct qos_count *counts; // by 2 * place + direction
	uint32_t *places;
};

static bool collect(const struct qos_tables *tables, struct counted *counted)
{
	counted->counts = calloc(2 * (size_t)tables->policy_count + 1, sizeof(*counted->counts));
	counted->places = calloc(tables->policy_count + (size_t)1, sizeof(*counted->places));
	if (!counted->counts || !counted->places)
		return false;
	qos_counts_sum(tables, counted->counts, counted->places);
	return true;
}

static void release(struct counted *counted)
{
	free(counted->counts);
	free(counted->places);
}

static Sluice__V1__QosCounts *counts_new(const struct qos_count *from)
{
	Sluice__V1__QosCounts *counts = malloc(sizeof(*counts));

	if (!counts)
		return NULL;
	sluice__v1__qos_counts__init(counts);
	counts->packets = from->packets;
	counts->bytes = from->bytes;
	counts->delayed = from->delayed;
	counts->marked = from->marked;
	counts->dropped = from->dropped;
	counts->dropped_bytes = from->dropped_bytes;
	return counts;
}

static Sluice__V1__QosPolicyStatus *status_make(const struct counted *counted, uint32_t place)
{
	Sluice__V1__QosPolicyStatus *status = malloc(sizeof(*status));

	if (!status)
		return NULL;
	sluice__v1__qos_policy_status__init(status);
	status->places = counted->places[place];
	status->ingress = counts_new(&counted->counts[2 * place + QOS_INGRESS]);
	status->egress = counts_new(&counted->counts[2 * place + QOS_EGRESS]);
	if (status->ingress && status->egress)
		return status;
	sluice__v1__qos_policy_status__free_unpacked(status, NULL);
	return NULL;
}

Sluice__V1__QosPolicyStatus *qos_status_new(const struct tables *tables, const char *name)
{
	Sluice__V1__QosPolicyStatus *status = NULL;
	const struct qos_tables *qos = tables->qos;
	struct counted counted;
	uint32_t place = 0;

	while (qos && place < qos->policy_count && strcmp(qos->policies[place].name, name) != 0)
		place++;
	if (!qos || place == qos->policy_count)
		return NULL;
	if (collect(qos, &counted))
		status = status_make(&counted, place);
	release(&counted);
	return status;
}

static bool add(const char *policy, Sluice__V1__QosPolicyStatus *counts,
		Sluice__V1__StatsResponse *response)
{
	Sluice__V1__QosPolicyStats *stats = malloc(sizeof(*stats));

	if (!stats || !counts) {
		free(stats);
		if (counts)
			sluice__v1__qos_policy_status__free_unpacked(counts, NULL);
		return false;
	}
	sluice__v1__qos_policy_stats__init(stats);
	stats->counts = counts;
	response->qos_policies[response->n_qos_policies++] = stats;
	stats->policy = strdup(policy);
	return stats->policy;
}

bool qos_stats_add(const struct tables *tables, Sluice__V1__StatsResponse *response)
{
	const struct qos_tables *qos = tables->qos;
	struct counted counted;
	bool done;

	if (!qos)
		return true;
	response->qos_policies =
		calloc(qos->policy_count + (size_t)1, sizeof(*response->qos_policies));
	done = response->qos_policies && collect(qos, &counted);
	for (uint32_t i = 0; done && i < qos->policy_count; i++)
		done = add(qos->policies[i].name, status_make(&counted, i), response);
	if (response->qos_policies)
		release(&counted);
	return done;
}
