// Health checks: which addresses of members are asked, by whom, and which nodes are told.

#include <stdlib.h>

#include "layer/load_balancer/compile.h"
#include "layer/load_balancer/health.h"
#include "layer/load_balancer/load_balancer.h"

#define LOAD_BALANCER SLUICE__V1__OBJECT__KIND_LOAD_BALANCER

#define INTERVAL 5
#define TIMEOUT	 2
#define RISE	 2
#define FALL	 3

// FNV-1a.
static uint64_t name_hash(uint64_t hash, const char *name)
{
	for (; *name; name++)
		hash = (hash ^ (uint8_t)*name) * 0x100000001b3;
	return hash;
}

// The gateway of the subnet that holds the address; zero: it has none.
static struct ip_address asked_from(const struct network *network, const struct ip_address *address)
{
	for (uint32_t i = 0; i < network->subnet_count; i++)
		if (network->subnets[i].has_gateway &&
		    ip_in_prefix(address, &network->subnets[i].prefix))
			return network->subnets[i].gateway;
	return (struct ip_address){.halves = {0, 0}};
}

static void set_question(const Sluice__V1__LoadBalancer *object, struct member_probe *probe)
{
	const Sluice__V1__HealthCheck *check = object->health_check;
	const Sluice__V1__BalancedPort *first = object->ports[0];

	switch (check->protocol) {
	case SLUICE__V1__HEALTH_PROTOCOL__HEALTH_PROTOCOL_HTTP:
		probe->protocol = HEALTH_HTTP;
		break;
	case SLUICE__V1__HEALTH_PROTOCOL__HEALTH_PROTOCOL_ICMP:
		probe->protocol = HEALTH_ICMP;
		break;
	default:
		probe->protocol = HEALTH_TCP;
		break;
	}
	probe->port = (uint16_t)(check->has_port_case	       ? check->port
				 : first->has_member_port_case ? first->member_port
							       : first->port);
	probe->interval =
		(uint16_t)(check->has_interval_seconds_case ? check->interval_seconds : INTERVAL);
	probe->timeout = check->has_timeout_seconds_case ? (uint16_t)check->timeout_seconds
			 : probe->interval < TIMEOUT	 ? probe->interval
							 : TIMEOUT;
	probe->rise = (uint8_t)(check->has_rise_case ? check->rise : RISE);
	probe->fall = (uint8_t)(check->has_fall_case ? check->fall : FALL);
}

// Is this node told of it, by another one?
static bool is_awaited(const struct compile *compile, const struct member_probe *probe,
		       const struct endpoint *endpoint)
{
	static const struct ip_address none;

	return endpoint && compile->tables->peers[endpoint->peer].path && endpoint->vni &&
	       !ip_equal(&probe->from, &none) &&
	       balancer_node_is_told(compile->tables->load_balancers, probe->domain);
}

static int add_probe(const struct compile *compile, uint32_t place, uint32_t index,
		     enum balancer_family family, struct error *err)
{
	struct load_balancers *balancers = compile->tables->load_balancers;
	struct load_balancer *balancer = &balancers->balancer[place];
	struct balancer_member *member = &balancer->members[index];
	const Sluice__V1__LoadBalancer *object =
		object_set_at(compile->objects, LOAD_BALANCER, place)->load_balancer;
	struct member_probe *probe = &balancers->probes[balancers->probe_count++];
	uint64_t first = name_hash(0xcbf29ce484222325, balancer->name);
	uint64_t second = name_hash(0xcbf29ce484222325, member->name);
	struct lookup_key key = {{first, second, family}};
	const struct endpoint *endpoint;

	probe->identity = name_hash((first * 0x100000001b3 ^ family) * 0x100000001b3, member->name);
	probe->number = member_healths_get(&compile->numbers->healths, key);
	if (!probe->number)
		return error_set(err,
				 "LoadBalancer/%s: more than %d addresses of members whose health "
				 "is asked for",
				 balancer->name, MEMBER_HEALTHS_MAX);
	probe->health = &compile->numbers->healths.entries[probe->number];
	member->health[family] = probe->health;
	probe->address = member->addresses[family];
	probe->balancer = place;
	probe->domain = balancer->domain;
	probe->endpoint = lookup_find(&compile->tables->by_address,
				      lookup_key_address(balancer->domain, &probe->address));
	// One that several Ports may use moves: nobody is to ask for it.
	if (probe->endpoint & TABLES_SHARED)
		probe->endpoint = 0;
	endpoint = tables_endpoint(compile->tables, probe->endpoint);
	if (endpoint)
		probe->from =
			asked_from(&compile->tables->networks[endpoint->network], &probe->address);
	probe->awaited = is_awaited(compile, probe, endpoint);
	set_question(object, probe);
	if (!lookup_add(&balancers->probes_by_identity,
			(struct lookup_key){{probe->identity, 0, 0}}, balancers->probe_count) ||
	    (endpoint && !endpoint->peer &&
	     !lookup_add(&balancers->probes_by_number, (struct lookup_key){{probe->number, 0, 0}},
			 balancers->probe_count)))
		return compile_no_memory(err);
	return 0;
}

int member_probes_compile(const struct compile *compile, struct error *err)
{
	struct load_balancers *balancers = compile->tables->load_balancers;
	size_t members = 0;

	for (uint32_t i = 0; i < balancers->count; i++)
		if (object_set_at(compile->objects, LOAD_BALANCER, i)->load_balancer->health_check)
			members += balancers->balancer[i].member_count;
	if (!members)
		return 0;
	balancers->probes = calloc(members * BALANCER_FAMILIES, sizeof(*balancers->probes));
	if (!balancers->probes || !balancer_nodes_compile(compile))
		return compile_no_memory(err);
	for (uint32_t i = 0; i < balancers->count; i++) {
		const struct load_balancer *balancer = &balancers->balancer[i];

		if (!object_set_at(compile->objects, LOAD_BALANCER, i)->load_balancer->health_check)
			continue;
		for (uint32_t m = 0; m < balancer->member_count; m++)
			for (unsigned int family = 0; family < BALANCER_FAMILIES; family++)
				if (balancer->members[m].has[family] && balancer->serves[family] &&
				    add_probe(compile, i, m, family, err) < 0)
					return -1;
	}
	return 0;
}
