// Tables on standard output, by libsmartcols.

#include "cli/table.h"

#include <libsmartcols.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "cli/terminal.h"
#include "model/memory.h"

// Up to this many columns a text is not broken.
#define SHORT_TEXT 20

struct table {
	struct libscols_table *table;
	size_t columns;
	size_t rows;
	size_t *widths; // of the longest cell in each column
	size_t state;	// the column that is coloured by what it says; SIZE_MAX: none
};

// On a terminal the table gets its width; elsewhere nothing is cut.
static void width_set(struct libscols_table *table)
{
	int width = terminal_width();

	scols_table_set_termforce(table, width ? SCOLS_TERMFORCE_ALWAYS : SCOLS_TERMFORCE_NEVER);
	if (width)
		scols_table_set_termwidth(table, (size_t)width);
	scols_table_enable_colors(table, *style_begin(stdout, STYLE_HEADING) != 0);
}

static void column_add(struct table *table, const char *heading)
{
	bool right = *heading == '>';
	int flags = right ? SCOLS_FL_RIGHT : 0;
	struct libscols_column *column =
		memory_required(scols_table_new_column(table->table, heading + right, 0, flags));

	scols_cell_set_color(scols_column_get_header(column), "bold");
	if (strcmp(heading, "STATE") == 0 || strcmp(heading, "STATUS") == 0)
		table->state = table->columns;
	table->widths = memory_resize(table->widths, table->columns + 1, sizeof(*table->widths));
	table->widths[table->columns++] = strlen(heading + right);
}

// On a terminal that is too narrow long texts go on in further lines; numbers and names (the first
// column) stay whole. Where that is not enough, short texts do it too.
static void columns_wrap(struct table *table, int width)
{
	size_t whole = 0, long_texts = 0;
	bool all;

	for (size_t i = 0; i < table->columns; i++) {
		if (i && table->widths[i] > SHORT_TEXT)
			long_texts++;
		else
			whole += table->widths[i] + 2;
	}
	all = whole + long_texts * SHORT_TEXT > (size_t)width;
	for (size_t i = 1; i < table->columns; i++) {
		struct libscols_column *column = scols_table_get_column(table->table, i);

		if (!scols_column_is_right(column))
			scols_column_set_flags(
				column, all || table->widths[i] > SHORT_TEXT ? SCOLS_FL_WRAP : 0);
	}
}

struct table *table_new(const char *const *columns, size_t count)
{
	struct table *table = memory_new(sizeof(*table));

	scols_init_debug(0);
	table->table = memory_required(scols_new_table());
	table->state = SIZE_MAX;
	width_set(table->table);
	scols_table_set_column_separator(table->table, "  ");
	for (size_t i = 0; i < count; i++)
		column_add(table, columns[i]);
	return table;
}

void table_row(struct table *table, const char *const *cells)
{
	struct libscols_line *line = memory_required(scols_table_new_line(table->table, NULL));

	for (size_t i = 0; i < table->columns; i++)
		if (scols_line_set_data(line, i, *cells[i] ? cells[i] : "-") != 0)
			memory_required(NULL);
	for (size_t i = 0; i < table->columns; i++)
		if (strlen(cells[i]) > table->widths[i])
			table->widths[i] = strlen(cells[i]);
	if (table->state != SIZE_MAX) {
		static const char *const colors[] = {
			[STYLE_GOOD] = "green", [STYLE_WARNING] = "brown", [STYLE_BAD] = "red"};
		enum style style = style_of_state(cells[table->state]);

		if (style >= STYLE_GOOD)
			scols_cell_set_color(scols_line_get_cell(line, table->state),
					     colors[style]);
	}
	table->rows++;
}

size_t table_rows(const struct table *table)
{
	return table->rows;
}

void table_print(struct table *table, bool headings)
{
	if (terminal_width())
		columns_wrap(table, terminal_width());
	scols_table_enable_noheadings(table->table, !headings);
	fflush(stdout);
	scols_print_table(table->table);
	scols_table_remove_lines(table->table);
	table->rows = 0;
}

void table_free(struct table *table)
{
	scols_unref_table(table->table);
	free(table->widths);
	free(table);
}
