#include "layer/tunnel/neighbour.h"

#include <sys/mman.h>

bool neighbours_open(struct neighbours *neighbours)
{
	memset(neighbours, 0, sizeof(*neighbours));
	// Pages are taken as entries are made.
	neighbours->entries = mmap(NULL, NEIGHBOURS_MAX * sizeof(*neighbours->entries),
				   PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (neighbours->entries == MAP_FAILED)
		neighbours->entries = NULL;
	return neighbours->entries != NULL;
}

void neighbours_close(struct neighbours *neighbours)
{
	if (neighbours->entries)
		munmap(neighbours->entries, NEIGHBOURS_MAX * sizeof(*neighbours->entries));
	lookup_free(&neighbours->numbers);
}

void neighbours_begin(struct neighbours *neighbours)
{
	for (uint32_t i = 0; i < neighbours->used; i++)
		neighbours->entries[i].kept = neighbours->entries[i].given = false;
}

static bool stays(const struct neighbour *entry, bool abandoned)
{
	return entry->taken && (abandoned ? !entry->given : entry->kept);
}

// What is not used stays where there is no memory for another map: the next time may do.
static void free_others(struct neighbours *neighbours, bool abandoned)
{
	struct lookup numbers = {.count = 0};
	uint32_t ended = 0;

	for (uint32_t i = 0; i < neighbours->used; i++)
		ended += neighbours->entries[i].taken && !stays(&neighbours->entries[i], abandoned);
	for (uint32_t i = 0; ended && i < neighbours->used; i++) {
		const struct neighbour *entry = &neighbours->entries[i];

		if (stays(entry, abandoned) &&
		    !lookup_add(&numbers, lookup_key_address(entry->network, &entry->address),
				i + 1)) {
			lookup_free(&numbers);
			ended = 0;
		}
	}
	if (ended) {
		lookup_free(&neighbours->numbers);
		neighbours->numbers = numbers;
		neighbours->next = 0;
	}
	for (uint32_t i = 0; i < neighbours->used; i++) {
		struct neighbour *entry = &neighbours->entries[i];

		if (ended && !stays(entry, abandoned))
			memset(entry, 0, sizeof(*entry));
		entry->given = false;
	}
}

void neighbours_settle(struct neighbours *neighbours)
{
	free_others(neighbours, false);
}

void neighbours_abandon(struct neighbours *neighbours)
{
	free_others(neighbours, true);
}

struct neighbour *neighbours_get(struct neighbours *neighbours, uint16_t network,
				 const struct ip_address *address)
{
	struct lookup_key key = lookup_key_address(network, address);
	uint32_t number = lookup_find(&neighbours->numbers, key);
	struct neighbour *entry;

	if (number) {
		neighbours->entries[number - 1].kept = true;
		return &neighbours->entries[number - 1];
	}
	while (neighbours->next < NEIGHBOURS_MAX && neighbours->entries[neighbours->next].taken)
		neighbours->next++;
	if (neighbours->next == NEIGHBOURS_MAX ||
	    !lookup_add(&neighbours->numbers, key, neighbours->next + 1))
		return NULL;
	entry = &neighbours->entries[neighbours->next++];
	if (neighbours->used < neighbours->next)
		neighbours->used = neighbours->next;
	entry->address = *address;
	entry->network = network;
	entry->path_mtu = PATH_MTU_ANY;
	entry->taken = entry->kept = entry->given = true;
	return entry;
}
