// One line that says what went wrong, filled by the function that fails and shown by the one that
// can.

#pragma once

#include <stdbool.h>

struct error {
	char text[512];
};

// Formats the line (cut at its size). Returns -1, so that `return error_set(err, …)` reads well.
int error_set(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

// The same, with ": " and the text of errno behind it.
int error_errno(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

// Puts "context: " before what the line says already. Returns -1.
int error_prefix(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));
