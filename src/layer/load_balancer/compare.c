#include "layer/load_balancer/compile.h"
#include "layer/load_balancer/load_balancer.h"

static bool member_equal(const struct balancer_member *a, const struct balancer_member *b)
{
	for (unsigned int family = 0; family < BALANCER_FAMILIES; family++)
		if (a->has[family] != b->has[family] ||
		    !ip_equal(&a->addresses[family], &b->addresses[family]))
			return false;
	return strncmp(a->name, b->name, sizeof(a->name)) == 0 && a->weight == b->weight &&
	       a->drains == b->drains && a->health[BALANCER_V4] == b->health[BALANCER_V4] &&
	       a->health[BALANCER_V6] == b->health[BALANCER_V6];
}

static bool probe_equal(const struct member_probe *a, const struct member_probe *b)
{
	return a->health == b->health && a->identity == b->identity && a->number == b->number &&
	       a->endpoint == b->endpoint && ip_equal(&a->address, &b->address) &&
	       ip_equal(&a->from, &b->from) && a->awaited == b->awaited &&
	       a->balancer == b->balancer && a->domain == b->domain && a->port == b->port &&
	       a->interval == b->interval && a->timeout == b->timeout &&
	       a->protocol == b->protocol && a->rise == b->rise && a->fall == b->fall;
}

static bool spread_equal(const struct balancer_spread *a, const struct balancer_spread *b)
{
	if (!a || !b)
		return a == b;
	return a->size == b->size && a->origin == b->origin &&
	       memcmp(a->members, b->members, b->size * sizeof(*b->members)) == 0;
}

static bool balancer_equal(const struct load_balancer *a, const struct load_balancer *b)
{
	if (strncmp(a->name, b->name, sizeof(a->name)) != 0 || a->by_client != b->by_client ||
	    a->has_datagrams != b->has_datagrams || strcmp(a->health_path, b->health_path) != 0 ||
	    a->member_count != b->member_count || !lookup_equal(&a->by_address, &b->by_address))
		return false;
	for (uint32_t i = 0; i < b->member_count; i++)
		if (!member_equal(&a->members[i], &b->members[i]))
			return false;
	return spread_equal(a->spreads[BALANCER_V4], b->spreads[BALANCER_V4]) &&
	       spread_equal(a->spreads[BALANCER_V6], b->spreads[BALANCER_V6]);
}

void load_balancers_compare(const struct tables *have, const struct tables *want,
			    struct differences *differences)
{
	const struct load_balancers *a = have->load_balancers, *b = want->load_balancers;

	if (a->count != b->count || a->service_count != b->service_count) {
		differences_add(differences, "there are %u LoadBalancers instead of %u", a->count,
				b->count);
		return;
	}
	for (uint32_t i = 0; i < b->count; i++)
		if (!balancer_equal(&a->balancer[i], &b->balancer[i]))
			differences_add(differences, "LoadBalancer/%s", b->balancer[i].name);
	for (uint32_t i = 0; i < b->service_count; i++)
		if (a->service[i].balancer != b->service[i].balancer ||
		    a->service[i].member_port != b->service[i].member_port)
			differences_add(differences, "LoadBalancer/%s: its ports",
					b->balancer[b->service[i].balancer].name);
	if (a->probe_count != b->probe_count || a->node_count != b->node_count ||
	    !lookup_equal(&a->probes_by_number, &b->probes_by_number) ||
	    !lookup_equal(&a->probes_by_identity, &b->probes_by_identity))
		differences_add(differences, "health checks of LoadBalancers");
	for (uint32_t i = 0; a->probe_count == b->probe_count && i < b->probe_count; i++)
		if (!probe_equal(&a->probes[i], &b->probes[i]))
			differences_add(differences, "LoadBalancer/%s: its health checks",
					b->balancer[b->probes[i].balancer].name);
	if (!lookup_equal(&a->addresses, &b->addresses) ||
	    !lookup_equal(&a->services, &b->services))
		differences_add(differences, "the map of virtual addresses");
}
