// Objects in files.

#include "model/document.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "model/decode.h"
#include "model/key_map.h"
#include "model/memory.h"
#include "model/object.h"

#define ERRORS_MAX 1000

struct parsing {
	struct document *document;
	const char *file;
};

static void array_append(char ***list, size_t *count, char *text)
{
	*list = memory_resize(*list, *count + 1, sizeof(**list));
	(*list)[(*count)++] = text;
}

// FILE:LINE: KIND/NAME: field: what, as far as these are known.
static char *error_line(const char *file, unsigned line, const char *kind, const char *name,
			const char *field, const char *text)
{
	char *result;
	char place[16] = "";
	int length;

	if (line)
		snprintf(place, sizeof(place), ":%u", line);
	length = asprintf(&result, "%s%s%s%s%s%s%s%s%s%s", file ? file : "", file ? place : "",
			  file ? ": " : "", kind, *kind && *name ? "/" : "", name,
			  *kind || *name ? ": " : "", field, *field ? ": " : "", text);
	if (length < 0)
		memory_required(NULL);
	// One line, whatever is in names.
	for (char *c = result; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	return result;
}

static void document_error(struct document *document, const char *file, unsigned line,
			   const char *kind, const char *name, const char *field, const char *text)
{
	if (document->error_count < ERRORS_MAX)
		array_append(&document->errors, &document->error_count,
			     error_line(file, line, kind, name, field, text));
	else if (document->error_count == ERRORS_MAX)
		array_append(&document->errors, &document->error_count,
			     memory_text("too many errors"));
}

static void parsing_report(void *context, unsigned line, const char *kind, const char *name,
			   const char *field, const char *text)
{
	struct parsing *parsing = context;

	document_error(parsing->document, parsing->file, line, kind, name, field, text);
}

struct document *document_new(void)
{
	struct document *document = memory_new(sizeof(*document));

	document->names = key_map_new();
	return document;
}

void document_free(struct document *document)
{
	if (!document)
		return;
	for (size_t i = 0; i < document->count; i++) {
		object_free(document->objects[i].object);
		field_lines_free(document->objects[i].lines);
	}
	for (size_t i = 0; i < document->error_count; i++)
		free(document->errors[i]);
	for (size_t i = 0; i < document->file_count; i++)
		free(document->files[i]);
	free(document->objects);
	free(document->errors);
	free(document->files);
	key_map_free(document->names);
	free(document);
}

static size_t name_key(char key[512], const char *kind, const char *name)
{
	int length = snprintf(key, 512, "%s/%s", kind, name);

	return length < 0 ? 0 : length < 512 ? (size_t)length : 511;
}

// Takes the object over, or reports that it was there already.
static void document_add(struct document *document, Sluice__V1__Object *object, const char *file,
			 unsigned line, struct field_lines *lines)
{
	char key[512];
	size_t size = name_key(key, object_kind_name(object), object_name(object));
	// Places in the array plus one stand for objects, for the array moves.
	const void *other = key_map_add(document->names, key, size,
					(const void *)(uintptr_t)(document->count + 1));

	if (other) {
		const struct document_object *first = &document->objects[(uintptr_t)other - 1];
		char text[512];

		snprintf(text, sizeof(text), "is given twice, first at %s:%u", first->file,
			 first->line);
		document_error(document, file, line, object_kind_name(object), object_name(object),
			       "", text);
		object_free(object);
		field_lines_free(lines);
		return;
	}
	document->objects = memory_grow(document->objects, document->count, &document->capacity,
					sizeof(*document->objects));
	document->objects[document->count++] = (struct document_object){object, file, line, lines};
}

void document_parse(struct document *document, const char *name, const char *text, size_t size)
{
	struct parsing parsing = {.document = document};
	struct yaml_reader *reader;
	struct yaml_node *node;
	struct error err;
	unsigned line;

	array_append(&document->files, &document->file_count, memory_text(name));
	parsing.file = document->files[document->file_count - 1];
	reader = yaml_reader_new(text, size);
	while ((node = yaml_reader_next(reader, &line, &err))) {
		struct field_lines *lines;
		Sluice__V1__Object *object = object_decode(node, parsing_report, &parsing, &lines);

		if (object)
			document_add(document, object, parsing.file, node->line, lines);
		yaml_node_free(node);
	}
	if (line)
		document_error(document, parsing.file, line, "", "", "", err.text);
	yaml_reader_free(reader);
}

// The whole file in `*text`, or -1 with an error.
static int file_read(int fd, size_t limit, char **text, size_t *size, struct error *err)
{
	size_t capacity = 0;

	*text = NULL;
	*size = 0;
	for (;;) {
		if (*size == capacity) {
			capacity = capacity ? capacity * 2 : 65536;
			*text = memory_resize(*text, capacity, 1);
		}
		ssize_t length = read(fd, *text + *size, capacity - *size);
		if (length < 0 && errno == EINTR)
			continue;
		if (length < 0)
			return error_errno(err, "cannot read");
		if (length == 0)
			return 0;
		*size += (size_t)length;
		if (*size > limit)
			return error_set(err, "input is larger than the %u MiB that one call takes",
					 DOCUMENT_SIZE_MAX >> 20);
	}
}

void document_read(struct document *document, const char *path)
{
	bool is_stdin = strcmp(path, "-") == 0;
	const char *name = is_stdin ? "<stdin>" : path;
	struct error err;
	size_t size;
	char *text;

	int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		error_errno(&err, "cannot open");
		document_error(document, name, 0, "", "", "", err.text);
		return;
	}
	if (file_read(fd, DOCUMENT_SIZE_MAX - document->size, &text, &size, &err) < 0)
		document_error(document, name, 0, "", "", "", err.text);
	else {
		document->size += size;
		document_parse(document, name, text, size);
	}
	free(text);
	if (!is_stdin)
		close(fd);
}

char *document_problem(const struct document *document, const Sluice__V1__Problem *problem)
{
	char key[512];
	size_t size = name_key(key, problem->kind, problem->name);
	const void *place = key_map_find(document->names, key, size);
	const struct document_object *object =
		place ? &document->objects[(uintptr_t)place - 1] : NULL;
	unsigned line = 0;

	if (object) {
		line = field_lines_find(object->lines, problem->field);
		if (!line)
			line = object->line;
	}
	return error_line(object ? object->file : NULL, line, problem->kind, problem->name,
			  problem->field, problem->text);
}
