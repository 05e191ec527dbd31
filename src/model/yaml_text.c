// Places in YAML text.

#include "model/yaml_text.h"

#include <string.h>

const char *yaml_text_at(const struct yaml_text *text, size_t index)
{
	const char *place = text->start;

	while (index && place < text->end) {
		place++;
		while (place < text->end && ((unsigned char)*place & 0xc0) == 0x80)
			place++;
		index--;
	}
	return place;
}

unsigned yaml_text_line(const struct yaml_text *text, const char *place)
{
	unsigned line = text->line + 1;

	for (const char *c = text->start; c < place; c++)
		line += *c == '\n';
	return line;
}

bool yaml_text_tab(const struct yaml_text *text, const char *place)
{
	const char *c = place;

	while (c > text->start && c[-1] != '\n')
		c--;
	while (c < text->end && *c == ' ')
		c++;
	return c < text->end && c <= place && *c == '\t';
}

void yaml_text_cut(struct yaml_text *text, const char *place)
{
	text->line = yaml_text_line(text, place) - 1;
	text->start = place;
}

bool yaml_text_next_document(struct yaml_text *text, const char *place)
{
	// The parser may have stopped at that very line.
	if (place > text->start)
		place--;
	for (;;) {
		place = memchr(place, '\n', (size_t)(text->end - place));
		if (!place)
			return false;
		place++;
		if (text->end - place < 3 || memcmp(place, "---", 3) != 0)
			continue;
		if (text->end - place == 3 || strchr(" \t\r\n", place[3]))
			break;
	}
	yaml_text_cut(text, place);
	return true;
}
