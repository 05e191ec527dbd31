#include "layer/shared_address/owner.h"

#include "base/pages.h"

bool address_owners_open(struct address_owners *owners)
{
	memset(owners, 0, sizeof(*owners));
	owners->entries = pages_get(ADDRESS_OWNERS_MAX * sizeof(*owners->entries));
	return owners->entries != NULL;
}

void address_owners_close(struct address_owners *owners)
{
	pages_free(owners->entries, ADDRESS_OWNERS_MAX * sizeof(*owners->entries));
	lookup_free(&owners->numbers);
}

struct address_owner *address_owners_get(struct address_owners *owners, uint32_t domain,
					 const struct ip_address *address)
{
	struct lookup_key key = lookup_key_address(domain, address);
	uint32_t number = lookup_find(&owners->numbers, key);

	if (number)
		return &owners->entries[number - 1];
	if (owners->count == ADDRESS_OWNERS_MAX ||
	    !lookup_add(&owners->numbers, key, owners->count + 1))
		return NULL;
	return &owners->entries[owners->count++];
}

enum address_move address_owner_set(struct address_owners *owners, struct address_owner *owner,
				    uint64_t port, uint32_t now, bool look)
{
	uint64_t old = atomic_load(&owner->port);

	if (old == port)
		return ADDRESS_STAYS;
	if (!second_count_take(&owner->moves, now, ADDRESS_MOVES, look) ||
	    !second_count_take(&owners->moves, now, ADDRESS_MOVES_ALL, look))
		return ADDRESS_MOVES_TOO_OFTEN;
	if (!look)
		atomic_store(&owner->port, port);
	return ADDRESS_MOVED;
}
