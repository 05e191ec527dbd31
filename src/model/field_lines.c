// The line of every field of an object: a tree in an array, without the paths as text.

#include "model/field_lines.h"

#include <stdio.h>

#include "model/memory.h"
#include "model/message.h"

struct field_line {
	const ProtobufCFieldDescriptor *field; // NULL: an element of a list
	uint32_t parent;		       // place in the array plus one, 0: the object
	uint32_t element;
	unsigned line;
};

struct field_lines {
	struct field_line *list;
	size_t count;
	size_t capacity;
};

struct field_lines *field_lines_new(void)
{
	return memory_new(sizeof(struct field_lines));
}

void field_lines_free(struct field_lines *lines)
{
	if (!lines)
		return;
	free(lines->list);
	free(lines);
}

uint32_t field_lines_add(struct field_lines *lines, uint32_t parent,
			 const ProtobufCFieldDescriptor *field, size_t element, unsigned line)
{
	lines->list =
		memory_grow(lines->list, lines->count, &lines->capacity, sizeof(*lines->list));
	lines->list[lines->count++] = (struct field_line){
		.field = field,
		.parent = parent,
		.element = (uint32_t)element,
		.line = line,
	};
	return (uint32_t)lines->count;
}

void field_lines_trim(struct field_lines *lines)
{
	if (!lines->count)
		return;
	lines->list = memory_resize(lines->list, lines->count, sizeof(*lines->list));
	lines->capacity = lines->count;
}

static uint32_t child_find(const struct field_lines *lines, uint32_t parent, const char *name,
			   uint32_t element)
{
	char text[FIELD_NAME_SIZE];

	for (size_t i = parent; i < lines->count; i++) {
		const struct field_line *line = &lines->list[i];

		if (line->parent != parent || (name != NULL) != (line->field != NULL))
			continue;
		if (name ? strcmp(field_name(line->field, text), name) == 0
			 : line->element == element)
			return (uint32_t)i + 1;
	}
	return 0;
}

unsigned field_lines_find(const struct field_lines *lines, const char *path)
{
	uint32_t at = 0;

	while (*path) {
		char name[FIELD_NAME_SIZE];
		size_t length = strcspn(path, ".[");
		uint32_t child;

		if (*path == '[') {
			child = child_find(lines, at, NULL, (uint32_t)strtoul(path + 1, NULL, 10));
			path += strcspn(path, "]");
			path += *path == ']';
		} else {
			if (length >= sizeof(name))
				break;
			memcpy(name, path, length);
			name[length] = 0;
			child = child_find(lines, at, name, 0);
			path += length;
		}
		path += *path == '.';
		if (!child)
			break;
		at = child;
	}
	return at ? lines->list[at - 1].line : 0;
}
