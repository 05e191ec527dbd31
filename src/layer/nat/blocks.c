// Which blocks of ports were given and returned: whoever knows that can tell whose a connection was
// (RFC 6888 REQ-12, RFC 7422), and need not log connections.

#include <rte_cycles.h>

#include "layer/nat/mappings_private.h"

void nat_block_tell(struct nat_mappings *mappings, const struct nat_mapping *mapping,
		    struct nat_block block, bool given)
{
	const struct nat_address *address = &mappings->addresses[mapping->address];
	struct nat_block_events *events = mappings->block_events;
	struct nat_block_event *event;

	rte_spinlock_lock(&events->lock);
	if (events->count == NAT_BLOCK_EVENTS) {
		events->lost++;
	} else {
		event = &events->ring[(events->first + events->count++) % NAT_BLOCK_EVENTS];
		*event = (struct nat_block_event){
			.cycles = rte_rdtsc(),
			.external = address->address,
			.inside = mapping->inside,
			.network = address->network,
			.inside_network = mapping->network,
			.owner = mapping->owner,
			.block = block,
			.given = given,
		};
	}
	rte_spinlock_unlock(&events->lock);
}

bool nat_mappings_block_event(struct nat_mappings *mappings, struct nat_block_event *event)
{
	struct nat_block_events *events = mappings->block_events;
	bool found;

	rte_spinlock_lock(&events->lock);
	found = events->count;
	if (found) {
		*event = events->ring[events->first];
		events->first = (events->first + 1) % NAT_BLOCK_EVENTS;
		events->count--;
	}
	rte_spinlock_unlock(&events->lock);
	return found;
}

uint64_t nat_mappings_block_events_lost(struct nat_mappings *mappings)
{
	struct nat_block_events *events = mappings->block_events;
	uint64_t lost;

	rte_spinlock_lock(&events->lock);
	lost = events->lost;
	events->lost = 0;
	rte_spinlock_unlock(&events->lock);
	return lost;
}

void nat_mappings_refused(struct nat_mappings *mappings, const struct nat_pool *pool)
{
	atomic_fetch_add_explicit(&mappings->addresses[pool->addresses[0]].refused, 1,
				  memory_order_relaxed);
}

void nat_mappings_pool_stats(const struct nat_mappings *mappings, const struct nat_pool *pool,
			     struct nat_pool_stats *stats)
{
	*stats = (struct nat_pool_stats){.mappings = 0};
	for (uint32_t i = 0; i < pool->count; i++) {
		const struct nat_address *address = &mappings->addresses[pool->addresses[i]];

		stats->mappings += atomic_load(&address->mappings);
		stats->blocks += __atomic_load_n(&address->ports->blocks_taken, __ATOMIC_RELAXED);
		stats->blocks_max += nat_ports_blocks(address->ports);
		stats->refused += atomic_load(&address->refused);
	}
}
