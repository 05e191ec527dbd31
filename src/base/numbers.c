#include "base/numbers.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS_FIRST 64 // a power of two

static uint32_t hash_name(const char *name)
{
	uint32_t hash = 2166136261;

	for (; *name; name++)
		hash = (hash ^ (uint8_t)*name) * 16777619;
	return hash ^ hash >> 15;
}

bool numbers_open(struct numbers *numbers, uint32_t first, uint32_t max)
{
	memset(numbers, 0, sizeof(*numbers));
	numbers->first = first;
	numbers->max = max;
	numbers->next = first;
	numbers->mask = SLOTS_FIRST - 1;
	numbers->names = calloc(max + 1, sizeof(*numbers->names));
	numbers->kept = calloc(max + 1, sizeof(*numbers->kept));
	numbers->given = calloc(max + 1, sizeof(*numbers->given));
	numbers->slots = calloc(SLOTS_FIRST, sizeof(*numbers->slots));
	return numbers->names && numbers->kept && numbers->given && numbers->slots;
}

void numbers_close(struct numbers *numbers)
{
	for (uint32_t i = 0; numbers->names && i <= numbers->max; i++)
		free(numbers->names[i]);
	free(numbers->names);
	free(numbers->kept);
	free(numbers->given);
	free(numbers->slots);
}

static uint32_t *find_slot(const struct numbers *numbers, const char *name)
{
	uint32_t slot = hash_name(name) & numbers->mask;

	while (numbers->slots[slot] && strcmp(numbers->names[numbers->slots[slot]], name) != 0)
		slot = (slot + 1) & numbers->mask;
	return &numbers->slots[slot];
}

static void fill_slots(struct numbers *numbers)
{
	for (uint32_t i = 1; i <= numbers->highest; i++)
		if (numbers->names[i])
			*find_slot(numbers, numbers->names[i]) = i;
}

// Room for one more name.
static bool grow_slots(struct numbers *numbers)
{
	uint32_t *slots;

	if (numbers->count < numbers->mask / 2)
		return true;
	slots = calloc((size_t)numbers->mask * 2 + 2, sizeof(*slots));
	if (!slots)
		return false;
	free(numbers->slots);
	numbers->slots = slots;
	numbers->mask = numbers->mask * 2 + 1;
	fill_slots(numbers);
	return true;
}

uint32_t numbers_find(const struct numbers *numbers, const char *name)
{
	return *find_slot(numbers, name);
}

uint32_t numbers_get(struct numbers *numbers, const char *name)
{
	uint32_t *slot;

	if (!grow_slots(numbers))
		return 0;
	slot = find_slot(numbers, name);
	for (uint32_t tries = 0; !*slot && tries < numbers->max; tries++) {
		uint32_t number = numbers->next;

		numbers->next = number < numbers->max ? number + 1 : numbers->first;
		if (numbers->names[number] ||
		    (numbers->is_meant && numbers->is_meant(numbers->context, number)))
			continue;
		numbers->names[number] = strdup(name);
		if (!numbers->names[number])
			return 0;
		*slot = number;
		numbers->count++;
		numbers->given[number] = numbers->changed = true;
		if (number > numbers->highest)
			numbers->highest = number;
	}
	if (*slot)
		numbers->kept[*slot] = true;
	return *slot;
}

bool numbers_restore(struct numbers *numbers, uint32_t number, const char *name)
{
	uint32_t *slot;

	if (number < numbers->first || number > numbers->max || numbers->names[number] ||
	    !grow_slots(numbers))
		return false;
	slot = find_slot(numbers, name);
	if (*slot)
		return false;
	numbers->names[number] = strdup(name);
	if (!numbers->names[number])
		return false;
	*slot = number;
	numbers->count++;
	if (number > numbers->highest)
		numbers->highest = number;
	return true;
}

void numbers_keep(struct numbers *numbers, uint32_t number)
{
	numbers->kept[number] = true;
}

void numbers_begin(struct numbers *numbers)
{
	memset(numbers->kept, 0, (numbers->highest + 1) * sizeof(*numbers->kept));
	memset(numbers->given, 0, (numbers->highest + 1) * sizeof(*numbers->given));
}

// Frees the numbers that are marked so. What is left is no longer new.
static void free_marked(struct numbers *numbers, const bool *marks, bool mark)
{
	bool freed = false;

	for (uint32_t i = 1; i <= numbers->highest; i++) {
		if (!numbers->names[i] || marks[i] != mark)
			continue;
		free(numbers->names[i]);
		numbers->names[i] = NULL;
		numbers->count--;
		freed = true;
	}
	memset(numbers->given, 0, (numbers->highest + 1) * sizeof(*numbers->given));
	if (!freed)
		return;
	memset(numbers->slots, 0, (numbers->mask + 1) * sizeof(*numbers->slots));
	fill_slots(numbers);
}

void numbers_end(struct numbers *numbers)
{
	free_marked(numbers, numbers->kept, false);
}

void numbers_abandon(struct numbers *numbers)
{
	free_marked(numbers, numbers->given, true);
}
