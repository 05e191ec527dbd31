#include <stdlib.h>

#include <rte_cycles.h>

#include "layer/compile.h"
#include "layer/qos/qos.h"
#include "model/key_map.h"
#include "model/qos.h"
#include "model/quantity.h"

#define POLICY SLUICE__V1__OBJECT__KIND_QOS_POLICY
#define GROUP  SLUICE__V1__OBJECT__KIND_SECURITY_GROUP
#define PORT   SLUICE__V1__OBJECT__KIND_PORT

// Bytes by default: of this part of a second, and not less than a few packets.
#define BURST_PART 50
#define BURST_MIN  16000

// What may wait: some large sends, however slow it is, within bounds of time and of memory.
#define WAIT_BYTES_MIN 200000
#define WAIT_BYTES_MAX 4000000

#define ADVANCE_PART 4

struct build {
	const struct compile *compile;
	const struct qos_tables *before;
	struct qos_tables *tables;
	uint64_t cycles_per_second;
	uint32_t capacity;	 // of shares
	struct key_map *by_name; // of policies, their index + 1
	// By group number, of those that a port of this node is in.
	const Sluice__V1__SecurityGroup **groups;
	bool *groups_known;
	uint32_t group_count;
};

// The set is valid: what can't be read here was refused before.
static uint64_t read_quantity(const char *text, uint64_t otherwise)
{
	uint64_t value;

	return text && *text && quantity_parse(text, &value) ? value : otherwise;
}

static uint64_t default_burst(uint64_t rate)
{
	uint64_t burst = rate / 8 / BURST_PART;

	return burst > BURST_MIN ? burst : BURST_MIN;
}

static uint64_t bytes_time(const struct bucket_profile *profile, uint64_t bytes)
{
	return (uint64_t)((unsigned __int128)profile->cost * bytes >> METER_FRACTION_BITS);
}

static void set_wait(const struct build *build, const Sluice__V1__RateLimit *object,
		     struct bucket_profile *profile)
{
	uint64_t millisecond = meter_now(build->cycles_per_second / 1000);
	uint64_t least = bytes_time(profile, WAIT_BYTES_MIN), wait = QOS_WAIT * millisecond;

	if (object->has_queue_milliseconds_case)
		wait = object->queue_milliseconds * millisecond;
	else if (wait < least)
		wait = least;
	if (wait > QOS_WAIT_MAX * millisecond)
		wait = QOS_WAIT_MAX * millisecond;
	if (wait > bytes_time(profile, WAIT_BYTES_MAX))
		wait = bytes_time(profile, WAIT_BYTES_MAX);
	profile->wait = wait;
}

static void read_limit(const struct build *build, const Sluice__V1__RateLimit *object,
		       struct qos_limit *limit)
{
	struct meter_profile *profile = &limit->profile;
	uint64_t cycles = build->cycles_per_second, rate, burst, peak, excess;

	limit->excess_dscp = QOS_NO_DSCP;
	if (!object)
		return;
	rate = read_quantity(object->rate, 1);
	burst = read_quantity(object->burst, default_burst(rate));
	peak = read_quantity(object->peak, 0);
	excess = read_quantity(object->excess_burst, 0);
	profile->committed = bucket_profile_make(rate, burst, cycles);
	if (object->has_excess_dscp_case)
		limit->excess_dscp = (uint8_t)object->excess_dscp;
	if (peak) {
		burst = read_quantity(object->peak_burst, default_burst(peak));
		profile->outer = bucket_profile_make(peak, burst, cycles);
	} else if (excess) {
		profile->outer = bucket_profile_make(rate, burst + excess, cycles);
		profile->single_rate = true;
	}
	profile->committed.alone = profile->outer.alone = build->compile->tables->worker_count == 1;
	// What is only marked otherwise does not wait, and what is too much even so is dropped.
	if (limit->excess_dscp == QOS_NO_DSCP) {
		set_wait(build, object, &profile->committed);
		if (peak)
			set_wait(build, object, &profile->outer);
	}
}

static bool read_policies(struct build *build)
{
	const struct object_set *objects = build->compile->objects;
	struct qos_tables *tables = build->tables;

	tables->policy_count = (uint32_t)object_set_count(objects, POLICY);
	tables->policies = calloc(tables->policy_count + 1, sizeof(*tables->policies));
	build->by_name = key_map_new();
	if (!tables->policies)
		return false;
	for (uint32_t i = 0; i < tables->policy_count; i++) {
		const Sluice__V1__QosPolicy *object = object_set_at(objects, POLICY, i)->qos_policy;
		struct qos_policy *policy = &tables->policies[i];

		key_map_add(build->by_name, object->name, strlen(object->name),
			    (const void *)(uintptr_t)(i + 1));
		snprintf(policy->name, sizeof(policy->name), "%s", object->name);
		read_limit(build, object->ingress, &policy->limits[QOS_INGRESS]);
		read_limit(build, object->egress, &policy->limits[QOS_EGRESS]);
		policy->minimum = read_quantity(object->minimum, 0);
		policy->dscp = object->has_dscp_case ? (uint8_t)object->dscp : QOS_NO_DSCP;
		policy->totals = qos_totals_keep(build->before, i, policy->name);
		if (!policy->totals)
			return false;
	}
	return true;
}

// A part of the bucket, so that others find something, too.
static uint32_t advance_of(const struct bucket_profile *profile)
{
	uint64_t bytes = (uint64_t)(((unsigned __int128)profile->depth << METER_FRACTION_BITS) /
				    profile->cost) /
			 ADVANCE_PART;

	return bytes < METER_BYTES_MAX ? (uint32_t)bytes : METER_BYTES_MAX;
}

static void set_port(struct qos_tables *tables, uint32_t number, const struct qos_share *share)
{
	struct qos_port *port = &tables->ports[number];

	port->share = tables->share_count;
	for (unsigned int i = 0; i < 2; i++) {
		const struct qos_limit *limit = qos_limit(tables, share, i);

		if (limit)
			port->gates[i] = (struct qos_gate){
				.metered = &share->counts->metered[i],
				.cost = limit->profile.committed.cost,
				.depth = limit->profile.committed.depth,
			};
		if (limit)
			port->advance[i] = advance_of(&limit->profile.committed);
		port->special |= limit && limit->profile.outer.cost;
	}
}

// An empty name is no policy.
static bool add_share(struct build *build, struct lookup_key key, const char *policy)
{
	struct qos_tables *tables = build->tables;
	struct qos_share *share;
	uintptr_t place;
	uint32_t port;

	if (!policy || !*policy)
		return true;
	place = (uintptr_t)key_map_find(build->by_name, policy, strlen(policy));
	if (!place)
		return true;
	if (tables->share_count + 1 >= build->capacity) {
		uint32_t capacity = build->capacity ? 2 * build->capacity : 64;
		struct qos_share *grown = realloc(tables->shares, capacity * sizeof(*grown));

		if (!grown)
			return false;
		tables->shares = grown;
		build->capacity = capacity;
	}
	share = &tables->shares[tables->share_count + 1];
	*share = (struct qos_share){.policy = (uint32_t)place - 1,
				    .key = key,
				    .counts = qos_counts_keep(build->before, key, policy)};
	if (!share->counts)
		return false;
	tables->share_count++;
	port = (uint32_t)(key.words[0] >> 32);
	if (key.words[0] & UINT32_MAX)
		tables->ports[port].rules = tables->ports[port].special = true;
	else
		set_port(tables, port, share);
	return lookup_add(&tables->by_key, key, tables->share_count);
}

static const Sluice__V1__SecurityGroup *group_of(struct build *build, uint32_t number)
{
	const struct numbers *numbers = &build->compile->numbers->groups;
	const Sluice__V1__Object *object;

	if (!build->groups_known[number]) {
		build->groups_known[number] = true;
		object = object_set_find(build->compile->objects, GROUP, numbers->names[number]);
		build->groups[number] = object ? object->security_group : NULL;
	}
	return build->groups[number];
}

static bool add_group(struct build *build, uint16_t port, uint32_t number)
{
	const Sluice__V1__SecurityGroup *group = group_of(build, number);

	if (!group)
		return true;
	if (!add_share(build, qos_key(port, number, 0), group->qos_policy))
		return false;
	for (size_t i = 0; i < group->n_rules; i++)
		if (!add_share(build, qos_key(port, number, (uint32_t)i + 1),
			       group->rules[i]->qos_policy))
			return false;
	return true;
}

static bool add_ports(struct build *build)
{
	const struct compile *compile = build->compile;
	const struct tables *common = compile->tables;
	struct qos_tables *tables = build->tables;

	tables->port_count = common->port_count;
	tables->alone = common->worker_count == 1;
	tables->ports = aligned_alloc(64, common->port_count * sizeof(*tables->ports));
	if (!tables->ports)
		return false;
	memset(tables->ports, 0, common->port_count * sizeof(*tables->ports));
	for (uint32_t i = 0; i < common->port_count; i++)
		tables->ports[i].advance[QOS_INGRESS] = tables->ports[i].advance[QOS_EGRESS] =
			METER_BYTES_MAX;
	for (uint32_t i = 1; i < common->endpoint_count; i++) {
		const struct endpoint *endpoint = &common->endpoints[i];
		const struct endpoint_detail *detail = &common->details[i];
		const Sluice__V1__Port *object;

		if (endpoint->peer)
			continue;
		object = object_set_at(compile->objects, PORT, i - 1)->port;
		if (!add_share(build, qos_key(endpoint->port, 0, 0), object->qos_policy))
			return false;
		for (uint32_t j = 0; j < detail->group_count; j++)
			if (!add_group(build, endpoint->port, detail->groups[j]))
				return false;
	}
	return true;
}

// Bits a second; 0: not known.
static uint64_t uplink_rate(const struct compile *compile)
{
	const Sluice__V1__Object *node =
		object_set_find(compile->objects, SLUICE__V1__OBJECT__KIND_NODE, compile->node);

	return node && node->node->uplink ? read_quantity(node->node->uplink->rate, 0) : 0;
}

int qos_compile(const struct compile *compile, void **result, struct error *err)
{
	struct build build = {
		.compile = compile,
		.before = compile->previous ? compile->previous->qos : NULL,
		.cycles_per_second = rte_get_tsc_hz(),
		.group_count = compile->numbers->groups.highest + 1,
	};
	uint64_t rate = uplink_rate(compile);
	bool made;

	if (!object_set_count(compile->objects, POLICY) && !rate)
		return 0;
	// Not known where nothing is forwarded, as in a test of its own.
	if (!build.cycles_per_second)
		build.cycles_per_second = 1000000000;
	build.tables = calloc(1, sizeof(*build.tables));
	build.groups = calloc(build.group_count, sizeof(*build.groups));
	build.groups_known = calloc(build.group_count, sizeof(*build.groups_known));
	made = build.tables && build.groups && build.groups_known && read_policies(&build) &&
	       add_ports(&build) &&
	       (!rate || qos_compile_uplink(compile, build.tables, rate, build.cycles_per_second));
	key_map_free(build.by_name);
	free(build.groups);
	free(build.groups_known);
	if (!made) {
		qos_free(build.tables);
		return error_set(err, "no memory for the QoS policies");
	}
	*result = build.tables;
	compile->tables->qos = build.tables;
	return 0;
}

void qos_free(void *data)
{
	struct qos_tables *tables = data;

	if (!tables)
		return;
	qos_counts_release(tables);
	free(tables->shares);
	free(tables->quanta);
	free(tables->ports);
	free(tables->policies);
	lookup_free(&tables->by_key);
	free(tables);
}
