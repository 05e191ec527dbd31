// Objects in files: YAML documents or JSON, with everything that is wrong in them as lines
// `FILE:LINE: KIND/NAME: field: what`.

#pragma once

#include <stdbool.h>
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
	// There are errors in it, and this is what remains.
	bool broken;
};

struct document_error {
	size_t file; // its number; behind all others: what is in none
	unsigned line;
	size_t order; // in which they were found
	char *text;   // the whole line, without line end
};

// What was read so far, from all files.
struct document {
	struct document_object *objects;
	size_t count;
	size_t capacity;
	struct document_error *errors;
	size_t error_count;
	size_t error_capacity;
	size_t errors_left_out; // beyond a number, they are only counted
	char **files;
	size_t file_count;
	size_t size;		// bytes read
	bool incomplete;	// there are objects that could not be read at all
	struct key_map *names;	// the objects by kind and name
	struct key_map *faults; // fields of broken objects, by kind, name and path
};

struct document *document_new(void);
void document_free(struct document *document);

// Reads a file, or standard input for "-". What is wrong is added to the errors; whether there are
// any is for the caller to look at. Objects with errors are there too, as far as they could be
// read.
void document_read(struct document *document, const char *path);

// The same with text in memory; `name` stands in error lines.
void document_parse(struct document *document, const char *name, const char *text, size_t size);

// Adds what was found later, by the daemon: with file and line where the object is from the
// document, and the nearest line where the field isn't in it. Where the document has errors, what
// may only follow from these is left out.
void document_add_problem(struct document *document, const Sluice__V1__Problem *problem);

// Brings the errors into the order of files and lines.
void document_sort_errors(struct document *document);
