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

struct neighbour *neighbours_get(struct neighbours *neighbours, const struct ip_address *address)
{
	struct lookup_key key = lookup_key_address(0, address);
	uint32_t number = lookup_find(&neighbours->numbers, key);
	struct neighbour *entry;

	if (number)
		return &neighbours->entries[number - 1];
	if (neighbours->count == NEIGHBOURS_MAX ||
	    !lookup_add(&neighbours->numbers, key, neighbours->count + 1))
		return NULL;
	entry = &neighbours->entries[neighbours->count++];
	entry->address = *address;
	entry->path_mtu = PATH_MTU_ANY;
	return entry;
}
