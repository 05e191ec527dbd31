// What limits have done: counted with their meters, and kept for the policy where a meter goes.

#include <stdlib.h>
#include <string.h>

#include "layer/qos/qos.h"

static void *make(size_t size)
{
	void *made = aligned_alloc(64, (size + 63) / 64 * 64);

	if (made)
		memset(made, 0, size);
	return made;
}

struct qos_counts *qos_counts_keep(const struct qos_tables *before, struct lookup_key key,
				   const char *policy)
{
	uint32_t found = before ? lookup_find(&before->by_key, key) : 0;
	struct qos_counts *counts = NULL;

	// Of another policy it is not what this one has done.
	if (found && strcmp(before->policies[before->shares[found].policy].name, policy) == 0)
		counts = before->shares[found].counts;
	if (!counts)
		counts = make(sizeof(*counts));
	if (counts)
		counts->references++;
	return counts;
}

struct qos_totals *qos_totals_keep(const struct qos_tables *before, uint32_t place,
				   const char *policy)
{
	struct qos_totals *totals = NULL;
	uint32_t count = before ? before->policy_count : 0;

	// Most often it is where it was.
	for (uint32_t i = 0; i < count && !totals; i++) {
		const struct qos_policy *old = &before->policies[(place + i) % count];

		if (strcmp(old->name, policy) == 0)
			totals = old->totals;
	}
	if (!totals)
		totals = make(sizeof(*totals));
	if (totals)
		totals->references++;
	return totals;
}

static void add(struct qos_count *to, const struct qos_count *from)
{
	to->packets += from->packets;
	to->bytes += from->bytes;
	to->delayed += from->delayed;
	to->marked += from->marked;
	to->dropped += from->dropped;
	to->dropped_bytes += from->dropped_bytes;
}

void qos_counts_release(struct qos_tables *tables)
{
	for (uint32_t i = 1; tables->shares && i <= tables->share_count; i++) {
		struct qos_counts *counts = tables->shares[i].counts;

		if (--counts->references)
			continue;
		for (unsigned int direction = 0; direction < 2; direction++)
			add(&tables->policies[tables->shares[i].policy].totals->counts[direction],
			    &counts->metered[direction].count);
		free(counts);
	}
	for (uint32_t i = 0; tables->policies && i < tables->policy_count; i++) {
		struct qos_totals *totals = tables->policies[i].totals;

		if (totals && --totals->references == 0)
			free(totals);
	}
}

void qos_counts_sum(const struct qos_tables *tables, struct qos_count *list, uint32_t *places)
{
	for (uint32_t i = 0; i < tables->policy_count; i++)
		for (unsigned int direction = 0; direction < 2; direction++)
			add(&list[2 * i + direction],
			    &tables->policies[i].totals->counts[direction]);
	for (uint32_t i = 1; i <= tables->share_count; i++) {
		const struct qos_share *share = &tables->shares[i];

		places[share->policy]++;
		for (unsigned int direction = 0; direction < 2; direction++)
			add(&list[2 * share->policy + direction],
			    &share->counts->metered[direction].count);
	}
}
