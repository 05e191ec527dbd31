// Which lines of two texts are the same: what `diff` shows as neither removed nor added.

#pragma once

#include <stdbool.h>
#include <stddef.h>

struct text_lines {
	char **list;
	size_t count;
	bool *stays; // by line; written by line_match
};

// Finds the fewest lines to remove and to add (Myers, "An O(ND) Difference Algorithm and Its
// Variations", 1986). Where these would be some thousand, what is between the first and the last
// difference goes and comes as a whole.
void line_match(struct text_lines *before, struct text_lines *after);
