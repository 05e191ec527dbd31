// What api/sluice.proto says about objects, messages and calls, with its comments: for `sluice
// explain`, completion, the manual and docs/reference.

#pragma once

#include <stdbool.h>
#include <stddef.h>

struct schema_message;
struct schema_enum;

struct schema_field {
	const char *name; // as users write it: securityGroups
	const char *text; // the comment: paragraphs with an empty line between them, "" for none
	const char *type; // text, number, boolean, bytes, or the name of a message or an enum
	const struct schema_message *message; // of values that are messages; NULL: they are not
	const struct schema_enum *values;     // of values that are words; NULL: they are not
	bool list;
	bool map;	     // names to values
	const char *one_of;  // the choice to which it belongs; NULL: none
	unsigned int number; // on the wire
	const char *wire;    // name in the proto
	const char *scalar;  // type in the proto: string, uint32 ...
};

struct schema_message {
	const char *name;
	const char *text;
	const struct schema_field *fields;
	size_t count;
};

struct schema_enum {
	const char *name;
	const char *text;
	const struct schema_value {
		const char *name; // ingress; NULL for the one that is never written
		const char *wire; // DIRECTION_INGRESS
		const char *text;
		int number;
	} * values;
	size_t count;
};

struct schema_method {
	const char *name;
	const char *text;
	const struct schema_message *request;
	const struct schema_message *response;
	bool stream; // the response is a stream
};

struct schema {
	const struct schema_message *messages; // in the proto's order
	size_t message_count;
	const struct schema_enum *enums;
	size_t enum_count;
	const struct schema_method *methods;
	size_t method_count;
	const struct schema_message *object; // its fields are the kinds
	const void *descriptors;	     // names and comments are of it
};

// Read once, and there until the process ends.
const struct schema *schema_get(void);

// NULL where there is none.
const struct schema_message *schema_message(const char *name);
const struct schema_field *schema_field(const struct schema_message *message, const char *name);

// Up to the first full stop; freed by the caller.
char *schema_first_sentence(const char *text);

// "list of text", "Device", "ingress | egress"; freed by the caller.
char *schema_type_text(const struct schema_field *field);
