#include "layer/load_balancer/compile.h"
#include "layer/load_balancer/load_balancer.h"

static bool member_equal(const struct balancer_member *a, const struct balancer_member *b)
{
	for (unsigned int family = 0; family < BALANCER_FAMILIES; family++)
		if (a->has[family] != b->has[family] ||
		    !ip_equal(&a->addresses[family], &b->addresses[family]))
			return false;
	return strncmp(a->name, b->name, sizeof(a->name)) == 0 && a->weight == b->weight &&
	       a->drains == b->drains && a->health == b->health;
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
	if (!lookup_equal(&a->addresses, &b->addresses) ||
	    !lookup_equal(&a->services, &b->services))
		differences_add(differences, "the map of virtual addresses");
}
