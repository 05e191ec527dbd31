// Objects in files.

#include "model/document.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "model/decode.h"
#include "model/key_map.h"
#include "model/memory.h"
#include "model/message.h"
#include "model/object.h"

#define ERRORS_MAX 1000
#define NO_FILE	   SIZE_MAX

struct parsing {
	struct document *document;
	size_t file;
};

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

static void document_error(struct document *document, size_t file, unsigned line, const char *kind,
			   const char *name, const char *field, const char *text)
{
	if (document->error_count == ERRORS_MAX) {
		document->errors_left_out++;
		return;
	}
	document->errors = memory_grow(document->errors, document->error_count,
				       &document->error_capacity, sizeof(*document->errors));
	document->errors[document->error_count] = (struct document_error){
		.file = file,
		.line = line,
		.order = document->error_count,
		.text = error_line(file == NO_FILE ? NULL : document->files[file], line, kind, name,
				   field, text),
	};
	document->error_count++;
}

// Parts with zero bytes between them; freed by the caller.
static char *key_make(const char *const parts[], size_t count, size_t *size)
{
	char *key;

	*size = 0;
	for (size_t i = 0; i < count; i++)
		*size += strlen(parts[i]) + 1;
	key = memory_new(*size);
	*size = 0;
	for (size_t i = 0; i < count; i++) {
		memcpy(key + *size, parts[i], strlen(parts[i]) + 1);
		*size += strlen(parts[i]) + 1;
	}
	return key;
}

static const void *key_put(struct key_map *map, const char *const parts[], size_t count,
			   const void *value)
{
	size_t size;
	char *key = key_make(parts, count, &size);
	const void *other = key_map_add(map, key, size, value);

	free(key);
	return other;
}

static const void *key_get(const struct key_map *map, const char *const parts[], size_t count)
{
	size_t size;
	char *key = key_make(parts, count, &size);
	const void *value = key_map_find(map, key, size);

	free(key);
	return value;
}

static void parsing_report(void *context, unsigned line, const char *kind, const char *name,
			   const char *field, const char *text)
{
	struct parsing *parsing = context;

	key_put(parsing->document->faults, (const char *const[]){kind, name, field}, 3, "");
	if (line)
		document_error(parsing->document, parsing->file, line, kind, name, field, text);
}

struct document *document_new(void)
{
	struct document *document = memory_new(sizeof(*document));

	document->names = key_map_new();
	document->faults = key_map_new();
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
		free(document->errors[i].text);
	for (size_t i = 0; i < document->file_count; i++)
		free(document->files[i]);
	free(document->objects);
	free(document->errors);
	free(document->files);
	key_map_free(document->names);
	key_map_free(document->faults);
	free(document);
}

static size_t document_file(struct document *document, const char *name)
{
	document->files =
		memory_resize(document->files, document->file_count + 1, sizeof(*document->files));
	document->files[document->file_count] = memory_text(name);
	return document->file_count++;
}

static struct document_object *document_find(const struct document *document, const char *kind,
					     const char *name)
{
	const void *place = key_get(document->names, (const char *const[]){kind, name}, 2);

	return place ? &document->objects[(uintptr_t)place - 1] : NULL;
}

// Takes the object over, or reports that it was there already.
static void document_add(struct document *document, size_t file, struct document_object object)
{
	const char *kind = object_kind_name(object.object), *name = object_name(object.object);
	// Places in the array plus one stand for objects, for the array moves.
	const void *other = key_put(document->names, (const char *const[]){kind, name}, 2,
				    (const void *)(uintptr_t)(document->count + 1));

	if (other) {
		const struct document_object *first = &document->objects[(uintptr_t)other - 1];
		char text[PATH_MAX + 64];

		snprintf(text, sizeof(text), "is given twice, first at %s:%u", first->file,
			 first->line);
		document_error(document, file, object.line, kind, name, "", text);
		object_free(object.object);
		field_lines_free(object.lines);
		return;
	}
	document->objects = memory_grow(document->objects, document->count, &document->capacity,
					sizeof(*document->objects));
	document->objects[document->count++] = object;
}

static void text_parse(struct document *document, size_t file, const char *text, size_t size)
{
	struct parsing parsing = {.document = document, .file = file};
	struct yaml_reader *reader = yaml_reader_new(text, size);
	struct yaml_node *node;
	struct error err;
	unsigned line;

	while ((node = yaml_reader_next(reader, &line, &err)) || line) {
		struct document_object object = {.file = document->files[file]};

		if (!node) {
			document_error(document, file, line, "", "", "", err.text);
			document->incomplete = true;
			continue;
		}
		object.line = node->line;
		object.object = object_decode(node, parsing_report, &parsing, &object.lines,
					      &object.broken);
		if (object.object)
			document_add(document, file, object);
		else
			document->incomplete = true;
		yaml_node_free(node);
	}
	yaml_reader_free(reader);
}

void document_parse(struct document *document, const char *name, const char *text, size_t size)
{
	size_t file = document_file(document, name);

	if (size >= 2 && (memcmp(text, "\xff\xfe", 2) == 0 || memcmp(text, "\xfe\xff", 2) == 0)) {
		document_error(document, file, 1, "", "", "", "is UTF-16, and has to be UTF-8");
		document->incomplete = true;
		return;
	}
	// A byte order mark is no part of the first line, whose indentation counts.
	if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
		text += 3;
		size -= 3;
	}
	text_parse(document, file, text, size);
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
	bool valid = false;
	char *text = NULL;
	struct error err;
	size_t size;

	int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		error_errno(&err, "cannot open");
	else
		valid = file_read(fd, DOCUMENT_SIZE_MAX - document->size, &text, &size, &err) == 0;
	if (valid) {
		document->size += size;
		document_parse(document, name, text, size);
	} else {
		document_error(document, document_file(document, name), 0, "", "", "", err.text);
		document->incomplete = true;
	}
	free(text);
	if (!is_stdin && fd >= 0)
		close(fd);
}

// KIND/NAME as an object of the document, or NULL.
static const struct document_object *document_reference(const struct document *document,
							const char *text)
{
	const char *slash = strchr(text, '/');
	char kind[FIELD_NAME_SIZE];

	if (!slash || (size_t)(slash - text) >= sizeof(kind))
		return NULL;
	memcpy(kind, text, (size_t)(slash - text));
	kind[slash - text] = 0;
	return document_find(document, kind, slash + 1);
}

// Something was wrong with the field already, or with what it is in.
static bool field_faulty(const struct document *document, const Sluice__V1__Problem *problem)
{
	char *path = memory_text(problem->field);
	bool faulty = false;

	for (size_t end = strlen(path) + 1; end-- > 0 && !faulty;)
		if (!problem->field[end] || strchr(".[", problem->field[end])) {
			path[end] = 0;
			faulty = *path &&
				 key_get(document->faults,
					 (const char *const[]){problem->kind, problem->name, path},
					 3);
		}
	free(path);
	return faulty;
}

// May the problem be there only because of the errors in the document?
static bool problem_follows(const struct document *document, const Sluice__V1__Problem *problem,
			    const struct document_object *object,
			    const struct document_object *other)
{
	if (object && object->broken && field_faulty(document, problem))
		return true;
	if (other && other->broken)
		return true;
	if (!document->incomplete)
		return false;
	return !object || *problem->missing || (*problem->other && !other);
}

static unsigned object_line(const struct document_object *object, const char *field)
{
	unsigned line = field_lines_find(object->lines, field);

	return line ? line : object->line;
}

void document_add_problem(struct document *document, const Sluice__V1__Problem *problem)
{
	const struct document_object *object =
		document_find(document, problem->kind, problem->name);
	const struct document_object *other = document_reference(document, problem->other);
	size_t file = 0;
	unsigned line = 0;
	char *text;

	if (problem_follows(document, problem, object, other))
		return;
	if (object && other && other != object) {
		if (asprintf(&text, "%s (%s:%u)", problem->text, other->file,
			     object_line(other, problem->other_field)) < 0)
			memory_required(NULL);
	} else if (!*problem->kind && !*problem->name && !*problem->field) {
		// It is about the call.
		if (asprintf(&text, "sluice: %s", problem->text) < 0)
			memory_required(NULL);
	} else {
		text = memory_text(problem->text);
	}
	// What breaks an object that is in force is in the other one.
	if (object || other) {
		while (document->files[file] != (object ? object : other)->file)
			file++;
		line = object ? object_line(object, problem->field)
			      : object_line(other, problem->other_field);
	}
	document_error(document, object || other ? file : NO_FILE, line, problem->kind,
		       problem->name, problem->field, text);
	free(text);
}

static int compare_errors(const void *a, const void *b)
{
	const struct document_error *x = a, *y = b;

	if (x->file != y->file)
		return x->file < y->file ? -1 : 1;
	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	return x->order < y->order ? -1 : 1;
}

void document_sort_errors(struct document *document)
{
	if (document->error_count)
		qsort(document->errors, document->error_count, sizeof(*document->errors),
		      compare_errors);
}
