// Objects in files: YAML documents or JSON, with everything that is wrong in them as lines
// `FILE:LINE: KIND/NAME: field: what`.

#pragma once

#include <stddef.h>

#include "base/error.h"
#include "sluice.pb-c.h"

// Input beyond this is refused, before it is read into memory.
#define DOCUMENT_SIZE_MAX (48u * 1024 * 1024)

struct field_lines;
struct key_map;

struct document_object {
	Sluice__V1__Object *object;
	const char *file;
	unsigned line;
	struct field_lines *lines;
};

// What was read so far, from all files.
struct document {
	struct document_object *objects;
	size_t count;
	size_t capacity;
	// Error lines, without line end.
	char **errors;
	size_t error_count;
	char **files;
	size_t file_count;
	size_t size;	       // bytes read
	struct key_map *names; // the objects by kind and name
};

struct document *document_new(void);
void document_free(struct document *document);

// Reads a file, or standard input for "-". What is wrong is added to the errors; whether there are
// any is for the caller to look at. Objects with errors are left out.
void document_read(struct document *document, const char *path);

// The same with text in memory; `name` stands in error lines.
void document_parse(struct document *document, const char *name, const char *text, size_t size);

// The error line for a problem that was found later, by the daemon: with file and line where the
// object is from the document, and the nearest line where the field isn't in it. Freed by the
// caller.
char *document_problem(const struct document *document, const Sluice__V1__Problem *problem);
