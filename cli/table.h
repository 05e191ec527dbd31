// Tables on standard output.

#pragma once

#include <stdbool.h>
#include <stddef.h>

struct table;

// `columns` are the headings, of which those that begin with '>' (which is not printed) are aligned
// to the right.
struct table *table_new(const char *const *columns, size_t count);

// Adds a row; `cells` are copied.
void table_row(struct table *table, const char *const *cells);

size_t table_rows(const struct table *table);

// Prints all rows, and the headings or not, and removes the rows.
void table_print(struct table *table, bool headings);

void table_free(struct table *table);
