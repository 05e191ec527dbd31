#include "layer/compare.h"
#include "layer/qos/qos.h"

static bool bucket_equal(const struct bucket_profile *a, const struct bucket_profile *b)
{
	return a->cost == b->cost && a->depth == b->depth && a->wait == b->wait;
}

static bool limit_equal(const struct qos_limit *a, const struct qos_limit *b)
{
	return bucket_equal(&a->profile.committed, &b->profile.committed) &&
	       bucket_equal(&a->profile.outer, &b->profile.outer) &&
	       a->profile.single_rate == b->profile.single_rate && a->excess_dscp == b->excess_dscp;
}

static bool policy_equal(const struct qos_policy *a, const struct qos_policy *b)
{
	return strncmp(a->name, b->name, sizeof(a->name)) == 0 &&
	       limit_equal(&a->limits[QOS_INGRESS], &b->limits[QOS_INGRESS]) &&
	       limit_equal(&a->limits[QOS_EGRESS], &b->limits[QOS_EGRESS]) && a->dscp == b->dscp;
}

void qos_compare(const void *have, const void *want, const struct tables *common,
		 struct differences *differences)
{
	const struct qos_tables *a = have, *b = want;

	if (!a || !b) {
		if (a != b)
			differences_add(differences, "QoS policies");
		return;
	}
	if (a->policy_count != b->policy_count || a->share_count != b->share_count) {
		differences_add(differences, "%u QoS policies in %u places instead of %u in %u",
				a->policy_count, a->share_count, b->policy_count, b->share_count);
		return;
	}
	for (uint32_t i = 0; i < b->policy_count; i++)
		if (!policy_equal(&a->policies[i], &b->policies[i]))
			differences_add(differences, "QosPolicy/%s", b->policies[i].name);
	for (uint32_t i = 1; i <= b->share_count; i++)
		if (a->shares[i].policy != b->shares[i].policy ||
		    memcmp(&a->shares[i].key, &b->shares[i].key, sizeof(a->shares[i].key)) != 0)
			differences_add(differences, "QosPolicy/%s: whom it concerns",
					b->policies[b->shares[i].policy].name);
	if (!bucket_equal(&a->uplink, &b->uplink) || a->quantum_count != b->quantum_count ||
	    (b->quantum_count &&
	     memcmp(a->quanta, b->quanta, b->quantum_count * sizeof(*b->quanta)) != 0))
		differences_add(differences, "shares of the uplink");
	if (!lookup_equal(&a->by_key, &b->by_key))
		differences_add(differences, "the map of QoS policies");
}
