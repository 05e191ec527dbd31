#include "cli/difference.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/terminal.h"
#include "model/memory.h"
#include "model/print.h"

// Longer objects are shown as all removed and all added.
#define LINES_MAX 2000

struct lines {
	char *text; // with zero bytes for line ends
	char **list;
	size_t count;
};

static struct lines object_lines(const Sluice__V1__Object *object)
{
	struct lines lines = {0};
	size_t capacity = 0;
	size_t size;
	FILE *file = open_memstream(&lines.text, &size);

	memory_required(file);
	if (object)
		object_print(file, object, NULL, PRINT_YAML, 0);
	fclose(file);
	for (char *line = lines.text; line && *line;) {
		char *end = strchr(line, '\n');

		lines.list = memory_grow(lines.list, lines.count, &capacity, sizeof(*lines.list));
		lines.list[lines.count++] = line;
		if (!end)
			break;
		*end = 0;
		line = end + 1;
	}
	return lines;
}

static void lines_free(struct lines *lines)
{
	free(lines->text);
	free(lines->list);
}

static void line_print(char sign, enum style style, const char *text)
{
	printf("%s%c %s%s\n", style_begin(stdout, style), sign, text, style_end(stdout));
}

// The longest common subsequence stays, the rest goes or comes.
static void lines_compare(const struct lines *before, const struct lines *after)
{
	size_t width = after->count + 1;
	size_t i = 0, j = 0;
	uint16_t *common = NULL;

	if (before->count <= LINES_MAX && after->count <= LINES_MAX) {
		common = memory_new((before->count + 1) * width * sizeof(*common));
		for (size_t b = before->count; b-- > 0;)
			for (size_t a = after->count; a-- > 0;) {
				uint16_t down = common[(b + 1) * width + a],
					 right = common[b * width + a + 1];

				if (strcmp(before->list[b], after->list[a]) == 0)
					common[b * width + a] =
						(uint16_t)(common[(b + 1) * width + a + 1] + 1);
				else
					common[b * width + a] = down > right ? down : right;
			}
	}
	while (i < before->count || j < after->count) {
		if (common && i < before->count && j < after->count &&
		    strcmp(before->list[i], after->list[j]) == 0) {
			printf("  %s\n", before->list[i]);
			i++;
			j++;
		} else if (i < before->count &&
			   (j == after->count || !common ||
			    common[(i + 1) * width + j] >= common[i * width + j + 1])) {
			line_print('-', STYLE_BAD, before->list[i++]);
		} else {
			line_print('+', STYLE_GOOD, after->list[j++]);
		}
	}
	free(common);
}

void difference_print(const Sluice__V1__Object *before, const Sluice__V1__Object *after)
{
	struct lines left = object_lines(before), right = object_lines(after);

	lines_compare(&left, &right);
	lines_free(&left);
	lines_free(&right);
}
