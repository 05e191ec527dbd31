#include "base/maglev.h"

#include <stdlib.h>

#define FREE UINT16_MAX

// A member's own order of all places: `place`, then each `skip` further.
struct turn {
	uint64_t identity;
	uint32_t place;
	uint32_t skip;
	uint32_t weight;
	uint32_t credit;
	uint16_t number;
};

// SplitMix64's finalizer: all bits of the result depend on all bits of the number.
static uint64_t mix(uint64_t number)
{
	number = (number ^ number >> 30) * 0xbf58476d1ce4e5b9;
	number = (number ^ number >> 27) * 0x94d049bb133111eb;
	return number ^ number >> 31;
}

static int compare_identities(const void *a, const void *b)
{
	uint64_t x = ((const struct turn *)a)->identity, y = ((const struct turn *)b)->identity;

	return x < y ? -1 : x > y;
}

static void take(uint16_t *table, uint32_t size, struct turn *turn)
{
	while (table[turn->place] != FREE)
		turn->place = (turn->place + turn->skip) % size;
	table[turn->place] = turn->number;
}

bool maglev_fill(uint16_t *table, uint32_t size, const struct maglev_member *members,
		 uint32_t count)
{
	struct turn *turns = calloc(count + (uint32_t)1, sizeof(*turns));
	uint32_t used = 0, heaviest = 0, filled = 0;

	if (!turns)
		return false;
	for (uint32_t i = 0; i < count; i++) {
		uint64_t hash = mix(members[i].identity);

		if (!members[i].weight)
			continue;
		if (members[i].weight > heaviest)
			heaviest = members[i].weight;
		turns[used++] = (struct turn){
			.identity = members[i].identity,
			.place = (uint32_t)(hash % size),
			.skip = (uint32_t)(mix(hash + 0x9e3779b97f4a7c15) % (size - 1)) + 1,
			.weight = members[i].weight,
			.number = (uint16_t)i,
		};
	}
	qsort(turns, used, sizeof(*turns), compare_identities);
	for (uint32_t i = 0; i < size; i++)
		table[i] = FREE;
	// The heaviest takes a place in each round, others in as many as their weight is part of
	// its.
	while (used && filled < size) {
		for (uint32_t i = 0; i < used && filled < size; i++) {
			turns[i].credit += turns[i].weight;
			if (turns[i].credit < heaviest)
				continue;
			turns[i].credit -= heaviest;
			take(table, size, &turns[i]);
			filled++;
		}
	}
	free(turns);
	return true;
}
