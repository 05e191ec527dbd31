// Messages as JSON and YAML.

#pragma once

#include <stdio.h>

#include "sluice.pb-c.h"

enum print_format {
	PRINT_JSON,
	PRINT_YAML,
};

enum print_flags {
	// Scalars, lists and maps are printed even where they are empty: for results, not for
	// objects.
	PRINT_EMPTY = 1,
};

// The message as one JSON value (without a line end) or YAML mapping (with one). `indent` counts
// levels: all lines are indented by it but the first of JSON.
void message_print(FILE *file, const ProtobufCMessage *message, enum print_format format,
		   unsigned flags, unsigned indent);

// An object with `kind` first, in the form that document_parse reads; with `status` (or NULL)
// last, which it passes over.
void object_print(FILE *file, const Sluice__V1__Object *object,
		  const Sluice__V1__ObjectStatus *status, enum print_format format,
		  unsigned indent);

// A JSON string, or a YAML scalar that is quoted where it must be.
void string_print(FILE *file, const char *text, enum print_format format);
