// YAML and JSON text as trees of nodes, one for each object in it: a document is an object, or a
// list of objects.

#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

enum yaml_kind {
	YAML_SCALAR,
	YAML_LIST,
	YAML_MAPPING,
};

struct yaml_node {
	enum yaml_kind kind;
	bool plain; // a scalar without quotes
	unsigned line;
	char *text;	// of a scalar, without zero bytes
	char *key;	// in a mapping; always a scalar
	bool key_plain; // without quotes
	unsigned key_line;
	struct yaml_node *first; // of a list or mapping
	struct yaml_node *next;	 // behind this one
	size_t count;		 // of a list or mapping
};

struct yaml_reader;

// `text` stays the caller's, as long as the reader is used.
struct yaml_reader *yaml_reader_new(const char *text, size_t size);

// The next object, freed with yaml_node_free, or NULL at the end (`*line` is 0) or at an error (in
// line `*line`). After an error the next call goes on with the document behind the one that has it.
// Objects share nothing, also where aliases make them from one text.
struct yaml_node *yaml_reader_next(struct yaml_reader *reader, unsigned *line, struct error *err);

void yaml_reader_free(struct yaml_reader *reader);
void yaml_node_free(struct yaml_node *node);

// A plain scalar that stands for nothing: empty, ~ or null.
bool yaml_is_null(const struct yaml_node *node);
