// Mappings' memory, and the external addresses that they are on.

#include <stdlib.h>

#include "base/pages.h"
#include "layer/nat/announce.h"
#include "layer/nat/expected.h"
#include "layer/nat/mappings_private.h"

// ---- memory

static bool lane_open(struct nat_lane *lane, uint32_t max)
{
	uint32_t buckets = 1;

	while (buckets < max)
		buckets *= 2;
	lane->mask = buckets - 1;
	lane->max = max;
	rte_spinlock_init(&lane->lock);
	lane->by_inside = pages_get(buckets * sizeof(uint32_t));
	lane->by_external = pages_get(buckets * sizeof(uint32_t));
	lane->mappings = pages_get((size_t)(max + 1) * sizeof(struct nat_mapping));
	return lane->by_inside && lane->by_external && lane->mappings;
}

struct nat_mappings *nat_mappings_open(uint32_t max, uint32_t workers,
				       const struct flow_hash_secret *secret,
				       const struct flow_table *flows)
{
	struct nat_mappings *mappings = NULL;
	uint32_t each;

	if (posix_memalign((void **)&mappings, 128, sizeof(*mappings)))
		return NULL;
	memset(mappings, 0, sizeof(*mappings));
	mappings->secret = secret;
	mappings->flows = flows;
	mappings->workers = workers;
	mappings->addresses_end = 1;
	// The owner is the shard modulo the workers: of a power of two, its lowest bits.
	mappings->lane_count = workers & (workers - 1) ? NAT_LANES_MAX : workers;
	if (mappings->lane_count > NAT_LANES_MAX)
		mappings->lane_count = NAT_LANES_MAX;
	mappings->share_mask = (uint16_t)(mappings->lane_count - 1);
	mappings->blocks = pages_get(NAT_OWNERS * sizeof(*mappings->blocks));
	// Chance fills some more than others.
	each = mappings->lane_count == 1 ? max : max / mappings->lane_count * 5 / 4 + 64;
	for (uint32_t i = 0; mappings->blocks && i < mappings->lane_count; i++)
		if (!lane_open(&mappings->lanes[i], each)) {
			nat_mappings_close(mappings);
			return NULL;
		}
	mappings->expectations =
		nat_expectations_open(NAT_ANNOUNCED_MAX, nat_announcement_ended, mappings);
	mappings->block_events = pages_get(sizeof(*mappings->block_events));
	if (!mappings->blocks || !mappings->expectations || !mappings->block_events) {
		nat_mappings_close(mappings);
		return NULL;
	}
	return mappings;
}

void nat_mappings_close(struct nat_mappings *mappings)
{
	if (!mappings)
		return;
	for (uint32_t i = 0; i < mappings->lane_count; i++) {
		struct nat_lane *lane = &mappings->lanes[i];

		pages_free(lane->by_inside, (lane->mask + 1) * sizeof(uint32_t));
		pages_free(lane->by_external, (lane->mask + 1) * sizeof(uint32_t));
		pages_free(lane->mappings, (size_t)(lane->max + 1) * sizeof(struct nat_mapping));
	}
	for (uint32_t i = 1; i < mappings->addresses_end; i++)
		free(mappings->addresses[i].ports);
	nat_expectations_close(mappings->expectations);
	pages_free(mappings->block_events, sizeof(*mappings->block_events));
	pages_free(mappings->blocks, NAT_OWNERS * sizeof(*mappings->blocks));
	free(mappings);
}

struct nat_expectations *nat_mappings_expectations(const struct nat_mappings *mappings)
{
	return mappings->expectations;
}

const struct flow_table *nat_mappings_flows(const struct nat_mappings *mappings)
{
	return mappings->flows;
}

// ---- external addresses

void nat_mappings_begin(struct nat_mappings *mappings)
{
	for (uint32_t i = 1; i < mappings->addresses_end; i++)
		mappings->addresses[i].kept = mappings->addresses[i].given = false;
}

static void forget(struct nat_mappings *mappings, bool abandoned)
{
	for (uint32_t i = 1; i < mappings->addresses_end; i++) {
		struct nat_address *entry = &mappings->addresses[i];

		if ((abandoned ? entry->given : !entry->kept) && !atomic_load(&entry->mappings))
			entry->taken = false;
		entry->given = false;
	}
}

void nat_mappings_settle(struct nat_mappings *mappings)
{
	for (uint32_t i = 1; i < mappings->addresses_end; i++)
		if (mappings->addresses[i].kept)
			nat_ports_set_block(mappings->addresses[i].ports,
					    mappings->addresses[i].block);
	forget(mappings, false);
}

void nat_mappings_abandon(struct nat_mappings *mappings)
{
	forget(mappings, true);
}

uint32_t nat_mappings_number(const struct nat_mappings *mappings, uint16_t network,
			     const struct ip_address *address)
{
	for (uint32_t i = 1; i < mappings->addresses_end; i++) {
		const struct nat_address *entry = &mappings->addresses[i];

		if (entry->taken && (!network || entry->network == network) &&
		    ip_equal(&entry->address, address))
			return i;
	}
	return 0;
}

uint8_t nat_mappings_shift(const struct nat_mappings *mappings, const struct ip_address *external,
			   const struct ip_address *internal, uint16_t port)
{
	uint16_t shift = nat_share(mappings, external, port) ^ nat_share(mappings, internal, port);

	return (uint8_t)(shift << FLOW_KEY_SHIFT_BITS);
}

uint32_t nat_mappings_address(struct nat_mappings *mappings, uint16_t network,
			      const struct ip_address *address, uint32_t block)
{
	struct nat_address *entry;
	uint32_t free_number = 0, number;

	for (number = 1; number < mappings->addresses_end; number++) {
		entry = &mappings->addresses[number];
		if (!entry->taken && !atomic_load(&entry->mappings)) {
			free_number = free_number ? free_number : number;
			continue;
		}
		if (entry->network != network || !ip_equal(&entry->address, address))
			continue;
		entry->given = entry->given || !entry->taken;
		entry->taken = entry->kept = true;
		entry->block = block;
		return number;
	}
	if (!free_number && number == NAT_ADDRESSES_MAX)
		return 0;
	number = free_number ? free_number : number;
	entry = &mappings->addresses[number];
	if (!entry->ports)
		entry->ports = calloc(1, sizeof(*entry->ports));
	if (!entry->ports)
		return 0;
	if (!free_number)
		mappings->addresses_end++;
	entry->address = *address;
	entry->network = network;
	atomic_store(&entry->refused, 0);
	entry->taken = entry->kept = entry->given = true;
	entry->block = block;
	nat_ports_set_block(entry->ports, block);
	return number;
}
