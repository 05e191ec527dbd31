// What is wrong with a set of objects: all problems that were found, not only the first.

#pragma once

#include <stddef.h>

#include "sluice.pb-c.h"

// Problems beyond this number are only counted.
#define PROBLEMS_MAX 500

// In C and on the wire alike. `field` is a path as rules[2].ports, empty for the whole object.
struct problems {
	Sluice__V1__Problem **list;
	size_t count;
	size_t left_out;
};

// `*problems` starts as {0}. `object` may be NULL; `field` may be NULL. What is not printable UTF-8
// in the text becomes question marks. Returns the problem, or NULL where it was only counted.
Sluice__V1__Problem *problems_add(struct problems *problems, const Sluice__V1__Object *object,
				  const char *field, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

// What the problem (or NULL) is about: an object that is not there, or one that is, and its field.
void problem_missing(Sluice__V1__Problem *problem, const char *kind, const char *name);
void problem_other(Sluice__V1__Problem *problem, const Sluice__V1__Object *other,
		   const char *field);

// One line for all: "KIND/NAME: field: what" and how many more.
const char *problems_summary(const struct problems *problems, char *text, size_t size);

// The Problems message; shares the list, so it is not to be freed and lives as long as `problems`.
Sluice__V1__Problems problems_message(const struct problems *problems);

void problems_clear(struct problems *problems);
