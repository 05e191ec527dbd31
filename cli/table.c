// Tables on standard output, by libsmartcols.

#include "cli/table.h"

#include <libsmartcols.h>
#include <stdio.h>

#include "model/memory.h"

struct table {
	struct libscols_table *table;
	size_t columns;
	size_t rows;
};

struct table *table_new(const char *const *columns, size_t count)
{
	struct table *table = memory_new(sizeof(*table));

	scols_init_debug(0);
	table->table = memory_required(scols_new_table());
	table->columns = count;
	// The width of a terminal is no reason to cut values.
	scols_table_set_termforce(table->table, SCOLS_TERMFORCE_NEVER);
	scols_table_set_column_separator(table->table, "  ");
	for (size_t i = 0; i < count; i++) {
		bool right = *columns[i] == '>';

		memory_required(scols_table_new_column(table->table, columns[i] + right, 0,
						       right ? SCOLS_FL_RIGHT : 0));
	}
	return table;
}

void table_row(struct table *table, const char *const *cells)
{
	struct libscols_line *line = memory_required(scols_table_new_line(table->table, NULL));

	for (size_t i = 0; i < table->columns; i++)
		if (scols_line_set_data(line, i, *cells[i] ? cells[i] : "-") != 0)
			memory_required(NULL);
	table->rows++;
}

size_t table_rows(const struct table *table)
{
	return table->rows;
}

void table_print(struct table *table, bool headings)
{
	scols_table_enable_noheadings(table->table, !headings);
	fflush(stdout);
	scols_print_table(table->table);
	scols_table_remove_lines(table->table);
	table->rows = 0;
}

void table_free(struct table *table)
{
	scols_unref_table(table->table);
	free(table);
}
