#include "cli/line_match.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "model/key_map.h"
#include "model/memory.h"

// Memory grows with its square, time with it and with the lines.
#define EDITS_MAX 3000

// The part between the equal beginnings and ends of two texts, by lines' numbers.
struct middle {
	const uint32_t *before, *after;
	int32_t before_count, after_count;
	bool *before_stays, *after_stays;
	// How far along `before` one comes with d edits on each diagonal (before - after), which
	// are -d to d.
	int32_t *reached[EDITS_MAX + 1];
};

// A number for each text of a line.
static uint32_t *number_lines(struct key_map *map, const struct text_lines *lines, uintptr_t *next)
{
	uint32_t *numbers = memory_new((lines->count + 1) * sizeof(*numbers));

	for (size_t i = 0; i < lines->count; i++) {
		const char *line = lines->list[i];
		const void *known = key_map_add(map, line, strlen(line), (const void *)*next);

		numbers[i] = (uint32_t)(known ? (uintptr_t)known : (*next)++);
	}
	return numbers;
}

// Does one come to the diagonal by a line that is added, not by one that is removed?
static bool is_added(const int32_t *last, int32_t edits, int32_t diagonal)
{
	return diagonal == -edits || (diagonal != edits && last[edits - 1 + diagonal - 1] <
								   last[edits - 1 + diagonal + 1]);
}

// Where the diagonal begins with its last edit, before lines that stay.
static int32_t step(const int32_t *last, int32_t edits, int32_t diagonal)
{
	if (!edits)
		return 0;
	return is_added(last, edits, diagonal) ? last[edits - 1 + diagonal + 1]
					       : last[edits - 1 + diagonal - 1] + 1;
}

// The number of edits, or -1 where they are too many.
static int32_t find_edits(struct middle *middle)
{
	for (int32_t edits = 0; edits <= EDITS_MAX; edits++) {
		int32_t *reached = memory_new((size_t)(2 * edits + 1) * sizeof(*reached));
		const int32_t *last = edits ? middle->reached[edits - 1] : NULL;

		middle->reached[edits] = reached;
		for (int32_t diagonal = -edits; diagonal <= edits; diagonal += 2) {
			int32_t x = step(last, edits, diagonal), y = x - diagonal;

			while (x < middle->before_count && y < middle->after_count && y >= 0 &&
			       middle->before[x] == middle->after[y]) {
				x++;
				y++;
			}
			reached[edits + diagonal] = x;
			if (x >= middle->before_count && y >= middle->after_count)
				return edits;
		}
	}
	return -1;
}

// Back from the end, over the same edits.
static void mark_stays(struct middle *middle, int32_t edits)
{
	int32_t x = middle->before_count, y = middle->after_count;

	for (; edits >= 0; edits--) {
		const int32_t *last = edits ? middle->reached[edits - 1] : NULL;
		int32_t diagonal = x - y, begin = step(last, edits, diagonal);

		for (; x > begin; x--, y--) {
			middle->before_stays[x - 1] = true;
			middle->after_stays[y - 1] = true;
		}
		if (edits && is_added(last, edits, diagonal))
			y--;
		else
			x--;
	}
}

void line_match(struct text_lines *before, struct text_lines *after)
{
	struct key_map *map = key_map_new();
	uintptr_t next = 1;
	uint32_t *left = number_lines(map, before, &next);
	uint32_t *right = number_lines(map, after, &next);
	size_t least = before->count < after->count ? before->count : after->count;
	size_t head = 0, tail = 0;
	int32_t edits;

	key_map_free(map);
	while (head < least && left[head] == right[head]) {
		before->stays[head] = after->stays[head] = true;
		head++;
	}
	while (tail < least - head &&
	       left[before->count - 1 - tail] == right[after->count - 1 - tail]) {
		tail++;
		before->stays[before->count - tail] = after->stays[after->count - tail] = true;
	}
	struct middle *middle = memory_new(sizeof(*middle));
	middle->before = left + head;
	middle->after = right + head;
	middle->before_count = (int32_t)(before->count - head - tail);
	middle->after_count = (int32_t)(after->count - head - tail);
	middle->before_stays = before->stays + head;
	middle->after_stays = after->stays + head;
	edits = find_edits(middle);
	if (edits >= 0)
		mark_stays(middle, edits);
	for (int32_t i = 0; i <= EDITS_MAX; i++)
		free(middle->reached[i]);
	free(middle);
	free(left);
	free(right);
}
