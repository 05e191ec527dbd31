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
}

struct neighbour *neighbours_get(struct neighbours *neighbours, const struct ip_address *address)
{
	struct neighbour *entry;

	for (uint32_t i = 0; i < neighbours->count; i++)
		if (ip_equal(&neighbours->entries[i].address, address))
			return &neighbours->entries[i];
	if (neighbours->count == NEIGHBOURS_MAX)
		return NULL;
	entry = &neighbours->entries[neighbours->count++];
	entry->address = *address;
	return entry;
}
