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

void address_owners_begin(struct address_owners *owners)
{
	for (uint32_t i = 0; i < owners->used; i++)
		owners->entries[i].kept = owners->entries[i].given = false;
}

static bool stays(const struct address_owner *entry, bool abandoned)
{
	return entry->taken && (abandoned ? !entry->given : entry->kept);
}

// What is not used stays where there is no memory for another map: the next time may do.
static void free_others(struct address_owners *owners, bool abandoned)
{
	struct lookup numbers = {.count = 0};
	uint32_t ended = 0;

	for (uint32_t i = 0; i < owners->used; i++)
		ended += owners->entries[i].taken && !stays(&owners->entries[i], abandoned);
	for (uint32_t i = 0; ended && i < owners->used; i++)
		if (stays(&owners->entries[i], abandoned) &&
		    !lookup_add(&numbers, owners->entries[i].key, i + 1)) {
			lookup_free(&numbers);
			ended = 0;
		}
	if (ended) {
		lookup_free(&owners->numbers);
		owners->numbers = numbers;
		owners->next = 0;
	}
	for (uint32_t i = 0; i < owners->used; i++) {
		struct address_owner *entry = &owners->entries[i];

		if (ended && !stays(entry, abandoned))
			memset(entry, 0, sizeof(*entry));
		entry->given = false;
	}
}

void address_owners_settle(struct address_owners *owners)
{
	free_others(owners, false);
}

void address_owners_abandon(struct address_owners *owners)
{
	free_others(owners, true);
}

struct address_owner *address_owners_get(struct address_owners *owners, uint32_t domain,
					 const struct ip_address *address)
{
	struct lookup_key key = lookup_key_address(domain, address);
	uint32_t number = lookup_find(&owners->numbers, key);
	struct address_owner *entry;

	if (number) {
		owners->entries[number - 1].kept = true;
		return &owners->entries[number - 1];
	}
	while (owners->next < ADDRESS_OWNERS_MAX && owners->entries[owners->next].taken)
		owners->next++;
	if (owners->next == ADDRESS_OWNERS_MAX ||
	    !lookup_add(&owners->numbers, key, owners->next + 1))
		return NULL;
	entry = &owners->entries[owners->next++];
	if (owners->used < owners->next)
		owners->used = owners->next;
	entry->key = key;
	entry->taken = entry->kept = entry->given = true;
	return entry;
}

enum address_move address_owner_set(struct address_owner *owner, uint64_t port, uint32_t now,
				    bool look)
{
	uint64_t old = atomic_load(&owner->port);

	if (old == port)
		return ADDRESS_STAYS;
	if (!second_count_take(&owner->moves, now, ADDRESS_MOVES, look))
		return ADDRESS_MOVES_TOO_OFTEN;
	if (!look)
		atomic_store(&owner->port, port);
	return ADDRESS_MOVED;
}
