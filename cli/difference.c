#include "cli/difference.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/line_match.h"
#include "cli/terminal.h"
#include "model/memory.h"
#include "model/print.h"

// Of longer objects only what is near a difference is shown.
#define WHOLE_MAX 200
#define NEAR	  6

static struct text_lines object_lines(const Sluice__V1__Object *object, char **text)
{
	struct text_lines lines = {0};
	size_t capacity = 0;
	size_t size;
	FILE *file = open_memstream(text, &size);

	memory_required(file);
	if (object)
		object_print(file, object, NULL, PRINT_YAML, 0);
	fclose(file);
	for (char *line = *text; line && *line;) {
		char *end = strchr(line, '\n');

		lines.list = memory_grow(lines.list, lines.count, &capacity, sizeof(*lines.list));
		lines.list[lines.count++] = line;
		if (!end)
			break;
		*end = 0;
		line = end + 1;
	}
	lines.stays = memory_new((lines.count + 1) * sizeof(*lines.stays));
	return lines;
}

static void line_print(char sign, enum style style, const char *text)
{
	printf("%s%c %s%s\n", style_begin(stdout, style), sign, text, style_end(stdout));
}

// Lines that are the same in both; `first` and `last` tell that nothing is before or behind them.
static void same_print(char *const *lines, size_t count, bool whole, bool first, bool last)
{
	size_t head = first ? 0 : NEAR, tail = last ? 0 : NEAR;

	for (size_t i = 0; i < count; i++) {
		if (!whole && i == head && count > head + tail + 1) {
			printf("  ... %zu lines as they are\n", count - head - tail);
			i = count - tail - 1;
			continue;
		}
		printf("  %s\n", lines[i]);
	}
}

static void lines_print(const struct text_lines *before, const struct text_lines *after)
{
	bool whole = before->count <= WHOLE_MAX && after->count <= WHOLE_MAX;

	for (size_t i = 0, j = 0; i < before->count || j < after->count;) {
		size_t start = i;

		while (i < before->count && before->stays[i])
			i++;
		j += i - start;
		same_print(before->list + start, i - start, whole, start == 0, i == before->count);
		while (i < before->count && !before->stays[i])
			line_print('-', STYLE_BAD, before->list[i++]);
		while (j < after->count && !after->stays[j])
			line_print('+', STYLE_GOOD, after->list[j++]);
	}
}

void difference_print(const Sluice__V1__Object *before, const Sluice__V1__Object *after)
{
	char *left_text = NULL, *right_text = NULL;
	struct text_lines left = object_lines(before, &left_text);
	struct text_lines right = object_lines(after, &right_text);

	line_match(&left, &right);
	lines_print(&left, &right);
	free(left.list);
	free(left.stays);
	free(left_text);
	free(right.list);
	free(right.stays);
	free(right_text);
}
