#include "layer/nat/mappings_private.h"

#define EXPIRE_STEP 64

static void held_remove(struct nat_lane *lane, struct nat_mapping *mapping)
{
	*(mapping->held_previous ? &lane->mappings[mapping->held_previous].held_next
				 : &lane->held_first) = mapping->held_next;
	*(mapping->held_next ? &lane->mappings[mapping->held_next].held_previous
			     : &lane->held_last) = mapping->held_previous;
	mapping->held_previous = mapping->held_next = 0;
	lane->held--;
}

static void held_add(struct nat_lane *lane, uint32_t number)
{
	struct nat_mapping *mapping = &lane->mappings[number];

	mapping->held_next = 0;
	mapping->held_previous = lane->held_last;
	*(lane->held_last ? &lane->mappings[lane->held_last].held_next : &lane->held_first) =
		number;
	lane->held_last = number;
	lane->held++;
}

static void unlink_from(uint32_t *place, struct nat_mapping *mappings, uint32_t number,
			bool external)
{
	while (*place != number)
		place = external ? &mappings[*place].next_external : &mappings[*place].next_inside;
	*place = external ? mappings[number].next_external : mappings[number].next_inside;
}

// It has no connections, and is in no list of those that are held.
static void end(struct nat_mappings *mappings, struct nat_lane *lane, uint32_t number)
{
	struct nat_mapping *mapping = &lane->mappings[number];
	struct nat_address *address = &mappings->addresses[mapping->address];
	enum nat_protocol protocol = nat_protocol_of(mapping->protocol);
	struct nat_block block;

	unlink_from(nat_inside_bucket(mappings, lane, &mapping->inside, mapping->inside_port,
				      mapping->network, mapping->protocol),
		    lane->mappings, number, false);
	if (!(mapping->flags & NAT_HIDDEN))
		unlink_from(nat_external_bucket(mappings, lane, &address->address,
						mapping->external_port, mapping->protocol),
			    lane->mappings, number, true);
	if (!(mapping->flags & NAT_SHARED)) {
		nat_ports_give(address->ports, protocol, ntohs(mapping->external_port), &block);
		if (block.count) {
			atomic_fetch_sub(nat_blocks(mappings, mapping->owner, &address->address),
					 1);
			atomic_fetch_sub(&mappings->blocks_taken, 1);
			nat_block_tell(mappings, mapping, block, false);
		}
	}
	atomic_fetch_sub(&address->mappings, 1);
	memset(mapping, 0, sizeof(*mapping));
	mapping->next_inside = lane->free;
	lane->free = number;
	lane->count--;
}

// The first that was held, if its time has come or `anyway`.
static bool expire_one(struct nat_mappings *mappings, struct nat_lane *lane, uint32_t now,
		       bool anyway)
{
	uint32_t number = lane->held_first;

	if (!number || (!anyway && (int32_t)(lane->mappings[number].held_until - now) > 0))
		return false;
	held_remove(lane, &lane->mappings[number]);
	end(mappings, lane, number);
	return true;
}

// ---- taking

static struct nat_mapping *find_exact(struct nat_mappings *mappings, struct nat_lane *lane,
				      const struct nat_inside *inside,
				      const struct ip_address *address, uint16_t port,
				      uint32_t *found)
{
	uint32_t number = *nat_inside_bucket(mappings, lane, &inside->address, inside->port,
					     inside->network, inside->protocol);

	for (; number; number = lane->mappings[number].next_inside) {
		struct nat_mapping *mapping = &lane->mappings[number];

		if (nat_is_inside(mapping, inside) && mapping->external_port == port &&
		    ip_equal(nat_external(mappings, mapping), address)) {
			*found = number;
			return mapping;
		}
	}
	return NULL;
}

static uint32_t place_get(struct nat_mappings *mappings, struct nat_lane *lane, uint32_t now)
{
	uint32_t number;

	// Two for one, so that they do not gather.
	expire_one(mappings, lane, now, false);
	expire_one(mappings, lane, now, !lane->free && lane->used == lane->max);
	number = lane->free;
	if (number)
		lane->free = lane->mappings[number].next_inside;
	else if (lane->used < lane->max)
		number = ++lane->used;
	return number;
}

static bool port_take(struct nat_mappings *mappings, const struct nat_mapping *mapping)
{
	struct nat_address *address = &mappings->addresses[mapping->address];
	struct nat_block block;

	if (!nat_ports_take(address->ports, nat_protocol_of(mapping->protocol), mapping->owner,
			    ntohs(mapping->external_port), &block))
		return false;
	if (block.count) {
		atomic_fetch_add(nat_blocks(mappings, mapping->owner, &address->address), 1);
		atomic_fetch_add(&mappings->blocks_taken, 1);
		nat_block_tell(mappings, mapping, block, true);
	}
	return true;
}

static uint8_t flags_of(struct nat_mappings *mappings, struct nat_lane *lane,
			const struct nat_choice *choice)
{
	bool apart = nat_lane_of(mappings, &choice->address, choice->port) != lane;

	return (uint8_t)((choice->shared ? NAT_SHARED : 0) | (apart ? NAT_APART : 0));
}

static bool add(struct nat_mappings *mappings, struct nat_lane *lane,
		const struct nat_inside *inside, const struct nat_choice *choice, uint32_t now)
{
	uint32_t number = place_get(mappings, lane, now), *bucket;
	struct nat_mapping *mapping = &lane->mappings[number];

	if (!number)
		return false;
	*mapping = (struct nat_mapping){
		.inside = inside->address,
		.inside_port = inside->port,
		.external_port = choice->port,
		.network = inside->network,
		.owner = inside->owner,
		.address = choice->number,
		.protocol = inside->protocol,
		.flags = flags_of(mappings, lane, choice),
		.references = 1,
	};
	if (!choice->shared && !port_take(mappings, mapping)) {
		memset(mapping, 0, sizeof(*mapping));
		mapping->next_inside = lane->free;
		lane->free = number;
		return false;
	}
	bucket = nat_inside_bucket(mappings, lane, &inside->address, inside->port, inside->network,
				   inside->protocol);
	mapping->next_inside = *bucket;
	*bucket = number;
	if (!(mapping->flags & NAT_HIDDEN)) {
		bucket = nat_external_bucket(mappings, lane, &choice->address, choice->port,
					     inside->protocol);
		mapping->next_external = *bucket;
		*bucket = number;
	}
	atomic_fetch_add(&mappings->addresses[choice->number].mappings, 1);
	lane->count++;
	return true;
}

bool nat_mappings_take(struct nat_mappings *mappings, const struct nat_inside *inside,
		       const struct nat_choice *choice, uint32_t now)
{
	struct nat_lane *lane = nat_lane_of(mappings, &inside->address, inside->port);
	struct nat_mapping *mapping;
	bool taken = true;
	uint32_t number;

	rte_spinlock_lock(&lane->lock);
	mapping = find_exact(mappings, lane, inside, &choice->address, choice->port, &number);
	if (mapping) {
		if (!mapping->references)
			held_remove(lane, mapping);
		mapping->references++;
	} else {
		taken = add(mappings, lane, inside, choice, now);
	}
	rte_spinlock_unlock(&lane->lock);
	return taken;
}

void nat_mappings_release(struct nat_mappings *mappings, const struct nat_inside *inside,
			  const struct ip_address *address, uint16_t port, uint32_t hold)
{
	uint32_t now = atomic_load_explicit(&mappings->now, memory_order_relaxed);
	struct nat_lane *lane = nat_lane_of(mappings, &inside->address, inside->port);
	struct nat_mapping *mapping;
	uint32_t number;

	rte_spinlock_lock(&lane->lock);
	mapping = find_exact(mappings, lane, inside, address, port, &number);
	if (mapping && mapping->references && --mapping->references == 0) {
		mapping->held_until = now + hold;
		if (hold)
			held_add(lane, number);
		else
			end(mappings, lane, number);
	}
	rte_spinlock_unlock(&lane->lock);
}

bool nat_mappings_find(struct nat_mappings *mappings, const struct ip_address *address,
		       uint16_t port, uint8_t protocol, struct nat_inside *inside)
{
	// Both ends of a mapping are in the same lane.
	struct nat_lane *lane = nat_lane_of(mappings, address, port);
	bool found = false;
	uint32_t number;

	rte_spinlock_lock(&lane->lock);
	number = *nat_external_bucket(mappings, lane, address, port, protocol);
	for (; number && !found; number = lane->mappings[number].next_external) {
		const struct nat_mapping *mapping = &lane->mappings[number];

		if (mapping->external_port != port ||
		    nat_protocol_of(mapping->protocol) != nat_protocol_of(protocol) ||
		    !ip_equal(nat_external(mappings, mapping), address))
			continue;
		*inside = (struct nat_inside){
			.address = mapping->inside,
			.port = mapping->inside_port,
			.network = mapping->network,
			.owner = mapping->owner,
			.protocol = mapping->protocol,
		};
		found = true;
	}
	rte_spinlock_unlock(&lane->lock);
	return found;
}

uint32_t nat_mappings_expire(struct nat_mappings *mappings, uint32_t worker, uint32_t now)
{
	uint32_t count = 0;

	atomic_store_explicit(&mappings->now, now, memory_order_relaxed);
	for (uint32_t i = worker; i < mappings->lane_count; i += mappings->workers) {
		struct nat_lane *lane = &mappings->lanes[i];

		// Looked at first without the lock: there is nothing to do, most of the time.
		if (!__atomic_load_n(&lane->held_first, __ATOMIC_RELAXED))
			continue;
		rte_spinlock_lock(&lane->lock);
		for (uint32_t j = 0; j < EXPIRE_STEP && expire_one(mappings, lane, now, false); j++)
			count++;
		rte_spinlock_unlock(&lane->lock);
	}
	return count;
}

void nat_mappings_stats(struct nat_mappings *mappings, struct nat_mappings_stats *stats)
{
	*stats = (struct nat_mappings_stats){.blocks = atomic_load(&mappings->blocks_taken)};
	for (uint32_t i = 0; i < mappings->lane_count; i++) {
		stats->mappings += __atomic_load_n(&mappings->lanes[i].count, __ATOMIC_RELAXED);
		stats->held += __atomic_load_n(&mappings->lanes[i].held, __ATOMIC_RELAXED);
	}
}
