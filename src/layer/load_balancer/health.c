#include "layer/load_balancer/health.h"

#include "base/pages.h"

#define ENTRIES_SIZE ((MEMBER_HEALTHS_MAX + 1) * sizeof(struct member_health))

bool member_healths_open(struct member_healths *healths)
{
	memset(healths, 0, sizeof(*healths));
	healths->entries = pages_get(ENTRIES_SIZE);
	healths->used = healths->next = 1;
	return healths->entries != NULL;
}

void member_healths_close(struct member_healths *healths)
{
	pages_free(healths->entries, ENTRIES_SIZE);
	lookup_free(&healths->numbers);
}

void member_healths_begin(struct member_healths *healths)
{
	for (uint32_t i = 1; i < healths->used; i++)
		healths->entries[i].kept = healths->entries[i].given = false;
}

// `all` of those that were not met, or only those that were new.
static void free_others(struct member_healths *healths, bool all)
{
	for (uint32_t i = 1; i < healths->used; i++) {
		struct member_health *entry = &healths->entries[i];

		if (entry->taken && (all ? !entry->kept : entry->given)) {
			lookup_remove(&healths->numbers, entry->key);
			memset(entry, 0, sizeof(*entry));
			if (i < healths->next)
				healths->next = i;
		}
		entry->given = false;
	}
}

void member_healths_settle(struct member_healths *healths)
{
	free_others(healths, true);
}

void member_healths_abandon(struct member_healths *healths)
{
	free_others(healths, false);
}

uint32_t member_healths_get(struct member_healths *healths, struct lookup_key key)
{
	uint32_t number = lookup_find(&healths->numbers, key);
	struct member_health *entry;

	if (number) {
		healths->entries[number].kept = true;
		return number;
	}
	while (healths->next <= MEMBER_HEALTHS_MAX && healths->entries[healths->next].taken)
		healths->next++;
	if (healths->next > MEMBER_HEALTHS_MAX ||
	    !lookup_add(&healths->numbers, key, healths->next))
		return 0;
	number = healths->next++;
	if (healths->used < healths->next)
		healths->used = healths->next;
	entry = &healths->entries[number];
	entry->key = key;
	entry->taken = entry->kept = entry->given = true;
	return number;
}
