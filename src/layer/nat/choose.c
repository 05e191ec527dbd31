#include "layer/nat/mappings_private.h"

// Addresses of a pool that are looked at.
#define POOL_TRIES 4

// Most likely the first that it would be given.
static bool in_pool(const struct nat_pool *pool, uint32_t number, uint16_t owner)
{
	for (uint32_t i = 0; i < pool->count; i++)
		if (pool->addresses[(owner + i) % pool->count] == number)
			return true;
	return false;
}

static bool has_share(const struct nat_mappings *mappings, const struct nat_wish *wish,
		      const struct ip_address *address, uint16_t port)
{
	return ((nat_share(mappings, address, port) ^ wish->share) & wish->share_mask) == 0;
}

static bool choose_existing(struct nat_mappings *mappings, const struct nat_pool *pool,
			    const struct nat_inside *inside, const struct nat_wish *wish,
			    struct nat_choice *choice)
{
	struct nat_lane *lane = nat_lane_of(mappings, &inside->address, inside->port);
	bool found = false;
	uint32_t number;

	rte_spinlock_lock(&lane->lock);
	number = *nat_inside_bucket(mappings, lane, &inside->address, inside->port, inside->network,
				    inside->protocol);
	for (; number && !found; number = lane->mappings[number].next_inside) {
		const struct nat_mapping *mapping = &lane->mappings[number];
		const struct ip_address *external = nat_external(mappings, mapping);

		if (!nat_is_inside(mapping, inside) ||
		    !in_pool(pool, mapping->address, inside->owner) ||
		    !has_share(mappings, wish, external, mapping->external_port) ||
		    (wish->is_free &&
		     !wish->is_free(wish->context, external, mapping->external_port)))
			continue;
		*choice = (struct nat_choice){
			.address = *external,
			.port = mapping->external_port,
			.shared = mapping->flags & NAT_SHARED,
			.number = mapping->address,
		};
		found = true;
	}
	rte_spinlock_unlock(&lane->lock);
	return found;
}

static uint16_t choose_at(const struct nat_ports *ports, struct nat_wish *wish, bool shared)
{
	return shared ? nat_ports_share(ports, wish) : nat_ports_choose(ports, wish);
}

// All of a Port's have the same external address (RFC 4787 REQ-2), as long as that has ports.
static bool choose_new(struct nat_mappings *mappings, const struct nat_pool *pool,
		       struct nat_wish *wish, bool shared, struct nat_choice *choice)
{
	uint32_t tries = pool->count < POOL_TRIES ? pool->count : POOL_TRIES;

	for (uint32_t i = 0; i < tries; i++) {
		uint32_t number = pool->addresses[(wish->owner + i) % pool->count];
		const struct nat_address *address = &mappings->addresses[number];
		uint16_t port = 0;
		bool found;

		wish->address = address->address;
		if (wish->protocol == NAT_WITHOUT_PORTS) {
			found = shared && has_share(mappings, wish, &wish->address, 0) &&
				(!wish->is_free || wish->is_free(wish->context, &wish->address, 0));
		} else {
			port = choose_at(address->ports, wish, shared);
			found = port != 0;
		}
		if (!found)
			continue;
		*choice = (struct nat_choice){
			.address = wish->address,
			.port = htons(port),
			.shared = shared,
			.number = number,
		};
		return true;
	}
	return false;
}

enum nat_answer nat_mappings_choose(
	struct nat_mappings *mappings, const struct nat_pool *pool, const struct nat_inside *inside,
	bool (*is_free)(const void *context, const struct ip_address *address, uint16_t port),
	const void *context, struct nat_choice *choice)
{
	const struct ip_address *first = &mappings->addresses[pool->addresses[0]].address;
	uint32_t blocks = atomic_load_explicit(nat_blocks(mappings, inside->owner, first),
					       memory_order_relaxed);
	uint64_t end = flow_hash_end(mappings->secret, &inside->address, inside->port);
	struct nat_wish wish = {
		.secret = mappings->secret,
		.share_mask = mappings->share_mask,
		.share = nat_share(mappings, &inside->address, inside->port) ^ inside->shift,
		.preferred = ntohs(inside->port),
		.owner = inside->owner,
		.protocol = nat_protocol_of(inside->protocol),
		.blocks_left = pool->blocks_max > blocks ? pool->blocks_max - blocks : 0,
		.seed = flow_hash_mix(end, mappings->secret->words[4]),
		.is_free = is_free,
		.context = context,
	};

	if (choose_existing(mappings, pool, inside, &wish, choice))
		return NAT_CHOSEN;
	if (wish.protocol != NAT_WITHOUT_PORTS && choose_new(mappings, pool, &wish, false, choice))
		return NAT_CHOSEN;
	if (choose_new(mappings, pool, &wish, true, choice))
		return NAT_CHOSEN;
	return wish.blocks_left || wish.protocol == NAT_WITHOUT_PORTS ? NAT_NO_PORT : NAT_NO_BLOCK;
}
