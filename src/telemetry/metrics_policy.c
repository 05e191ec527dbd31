// What objects of the cloud's network functions do.

#include <stddef.h>
#include <string.h>

#include "telemetry/metrics_text.h"

static void next_hops_write(FILE *file, const Sluice__V1__StatsResponse *stats)
{
	static const char name[] = "sluice_next_hop_up";

	metrics_family(
		file, name, "gauge",
		"1 where a router on an external network answers, or was not asked yet, else 0.");
	for (size_t i = 0; i < stats->n_next_hops; i++) {
		metrics_sample(file, name, "network", stats->next_hops[i]->network, "router",
			       stats->next_hops[i]->router);
		metrics_count(file, stats->next_hops[i]->up);
	}
}

// A number of each pool; `offset` is its place in NatPoolStatus.
static void nat_number(FILE *file, const Sluice__V1__StatsResponse *stats, const char *name,
		       const char *type, const char *help, size_t offset)
{
	metrics_family(file, name, type, help);
	for (size_t i = 0; i < stats->n_nats; i++) {
		const char *pool = (const char *)stats->nats[i]->pool;
		uint64_t number;

		memcpy(&number, pool + offset, sizeof(number));
		metrics_sample(file, name, "nat", stats->nats[i]->nat, "family",
			       stats->nats[i]->pool->family);
		metrics_count(file, number);
	}
}

static void nats_write(FILE *file, const Sluice__V1__StatsResponse *stats)
{
	nat_number(file, stats, "sluice_nat_mappings", "gauge",
		   "Inside addresses and ports that have an external one.",
		   offsetof(Sluice__V1__NatPoolStatus, mappings));
	nat_number(file, stats, "sluice_nat_port_blocks", "gauge",
		   "Blocks of external ports that are given to Ports.",
		   offsetof(Sluice__V1__NatPoolStatus, blocks));
	nat_number(file, stats, "sluice_nat_port_blocks_max", "gauge",
		   "Blocks of external ports that there are.",
		   offsetof(Sluice__V1__NatPoolStatus, blocks_max));
	nat_number(file, stats, "sluice_nat_refused_packets_total", "counter",
		   "First packets that were dropped for want of an external port.",
		   offsetof(Sluice__V1__NatPoolStatus, refused));
	metrics_family(
		file, "sluice_nat_untranslated_messages_total", "counter",
		"Messages of FTP and SIP that a helper let pass as they were: they came in pieces, "
		"or were longer than 4 KiB.");
	metrics_sample(file, "sluice_nat_untranslated_messages_total", NULL, NULL, NULL, NULL);
	metrics_count(file, stats->untranslated_messages);
}

// A number of each policy and direction; `offset` is its place in QosCounts.
static void qos_number(FILE *file, const Sluice__V1__StatsResponse *stats, const char *name,
		       const char *help, size_t offset)
{
	metrics_family(file, name, "counter", help);
	for (size_t i = 0; i < stats->n_qos_policies; i++) {
		const Sluice__V1__QosPolicyStats *policy = stats->qos_policies[i];
		uint64_t number;

		memcpy(&number, (const char *)policy->counts->ingress + offset, sizeof(number));
		metrics_sample(file, name, "policy", policy->policy, "direction", "ingress");
		metrics_count(file, number);
		memcpy(&number, (const char *)policy->counts->egress + offset, sizeof(number));
		metrics_sample(file, name, "policy", policy->policy, "direction", "egress");
		metrics_count(file, number);
	}
}

static void qos_write(FILE *file, const Sluice__V1__StatsResponse *stats)
{
	qos_number(file, stats, "sluice_qos_packets_total",
		   "Packets that a QosPolicy let pass, at once or later.",
		   offsetof(Sluice__V1__QosCounts, packets));
	qos_number(file, stats, "sluice_qos_bytes_total",
		   "Bytes of IP packets that a QosPolicy let pass, at once or later.",
		   offsetof(Sluice__V1__QosCounts, bytes));
	qos_number(file, stats, "sluice_qos_delayed_packets_total",
		   "Packets that waited because of a QosPolicy's rate.",
		   offsetof(Sluice__V1__QosCounts, delayed));
	qos_number(file, stats, "sluice_qos_marked_packets_total",
		   "Packets that a QosPolicy let pass with its excessDscp.",
		   offsetof(Sluice__V1__QosCounts, marked));
	qos_number(file, stats, "sluice_qos_dropped_packets_total",
		   "Packets that a QosPolicy dropped.", offsetof(Sluice__V1__QosCounts, dropped));
	qos_number(file, stats, "sluice_qos_dropped_bytes_total",
		   "Bytes of IP packets that a QosPolicy dropped.",
		   offsetof(Sluice__V1__QosCounts, dropped_bytes));
}

static void member_sample(FILE *file, const char *name, const Sluice__V1__MemberStats *member)
{
	fprintf(file, "%s{load_balancer=\"", name);
	metrics_label(file, member->load_balancer);
	fputs("\",member=\"", file);
	metrics_label(file, member->member);
	fprintf(file, "\",address=\"%s\"}", member->address);
}

static void members_write(FILE *file, const Sluice__V1__StatsResponse *stats)
{
	static const char up[] = "sluice_load_balancer_member_up",
			  connections[] = "sluice_load_balancer_member_connections";

	metrics_family(
		file, up, "gauge",
		"1 where a member of a LoadBalancer is there, and healthy or not asked, else 0.");
	for (size_t i = 0; i < stats->n_members; i++) {
		member_sample(file, up, stats->members[i]);
		metrics_count(file, stats->members[i]->up);
	}
	metrics_family(file, connections, "gauge",
		       "Live connections that this node has led to a member of a LoadBalancer.");
	for (size_t i = 0; i < stats->n_members; i++) {
		member_sample(file, connections, stats->members[i]);
		metrics_count(file, stats->members[i]->connections);
	}
}

void metrics_policy_write(FILE *file, const Sluice__V1__StatsResponse *stats)
{
	next_hops_write(file, stats);
	metrics_family(
		file, "sluice_address_conflicts_total", "counter",
		"Times that somebody else said to have an address of this node on an external "
		"network.");
	metrics_sample(file, "sluice_address_conflicts_total", NULL, NULL, NULL, NULL);
	metrics_count(file, stats->address_conflicts);
	nats_write(file, stats);
	qos_write(file, stats);
	members_write(file, stats);
}
