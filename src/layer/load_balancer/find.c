#include "layer/load_balancer/health.h"
#include "layer/load_balancer/load_balancer.h"
#include "layer/route/route.h"
#include "layer/spread.h"

// So often another place of the table is looked at; then all members are.
#define TRIES 8

const struct balanced_service *balancer_find(const struct load_balancers *balancers,
					     uint16_t domain, const struct flow_key *key)
{
	uint32_t found =
		lookup_find(&balancers->services,
			    balancer_service_key(domain, key->protocol, key->destination_port,
						 &key->destination));

	return found ? &balancers->service[found - 1] : NULL;
}

bool balancer_find_member(const struct tables *tables, const struct flow_key *original,
			  const struct flow_key *back, uint32_t *balancer, uint32_t *member)
{
	const struct load_balancers *balancers = tables->load_balancers;
	const struct network *network = tables_network(tables, original->network);
	uint16_t domain =
		network ? balancer_domain(tables, network->domain, &original->destination) : 0;
	const struct balanced_service *service =
		domain ? balancer_find(balancers, domain, original) : NULL;
	const struct load_balancer *entry;
	const struct balancer_member *found;

	if (!service)
		return false;
	entry = &balancers->balancer[service->balancer];
	found = balancer_member(entry, &back->source);
	if (!found)
		return false;
	*balancer = service->balancer;
	*member = (uint32_t)(found - entry->members);
	return true;
}

uint16_t balancer_domain(const struct tables *tables, uint16_t domain,
			 const struct ip_address *address)
{
	for (unsigned int i = 0; domain && i < ROUTE_DOMAINS_MAX; i++) {
		if (balancer_has_address(tables->load_balancers, domain, address))
			return domain;
		domain = route_next_domain(tables, domain, address);
	}
	return 0;
}

static bool takes(const struct tables *tables, uint16_t domain,
		  const struct balancer_member *member, enum balancer_family family)
{
	return member->weight && member->has[family] && !member->drains &&
	       !member_is_down(member->health[family]) &&
	       tables_find_address(tables, domain, &member->addresses[family]);
}

const struct balancer_member *balancer_choose(const struct tables *tables,
					      const struct load_balancer *balancer,
					      const struct flow_key *key)
{
	enum balancer_family family = ip_is_v4(&key->destination) ? BALANCER_V4 : BALANCER_V6;
	const struct balancer_spread *spread = balancer->spreads[family];
	uint64_t hash = balancer->by_client ? spread_hash_client(key) : spread_hash(key);

	if (!spread)
		return NULL;
	for (unsigned int i = 0; i < TRIES; i++) {
		uint32_t place = (uint32_t)((hash >> 32) % spread->size);
		const struct balancer_member *member = &balancer->members[spread->members[place]];

		if (takes(tables, balancer->domain, member, family))
			return member;
		hash = flow_hash_mix(hash ^ 0xa0761d6478bd642f, 0xe7037ed1a0b428db);
	}
	for (uint32_t i = 0; i < balancer->member_count; i++) {
		const struct balancer_member *member =
			&balancer->members[((hash >> 32) + i) % balancer->member_count];

		if (takes(tables, balancer->domain, member, family))
			return member;
	}
	return NULL;
}
