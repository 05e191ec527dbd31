// Tables on standard output, by libsmartcols.

#include "cli/table.h"

#include <libsmartcols.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "cli/terminal.h"
#include "model/memory.h"

#define SEPARATOR "  "
// A broken text gets at least so many columns.
#define BROKEN_MIN 12

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

// The widest column that may be broken and is not; 0: none.
static size_t widest(const struct table *table, const size_t *limits)
{
	size_t found = 0;

	for (size_t i = 1; i < table->columns; i++)
		if (!limits[i] && table->widths[i] > BROKEN_MIN &&
		    !scols_column_is_right(scols_table_get_column(table->table, i)) &&
		    (!found || table->widths[i] > table->widths[found]))
			found = i;
	return found;
}

// On a terminal that is too narrow the widest texts go on in further lines, as few of them as will
// do; numbers and names (the first column) stay whole. `limits`: columns of a broken text, else 0.
static void limits_set(const struct table *table, size_t width, size_t *limits)
{
	size_t needed = 0, index, first = 0;

	for (size_t i = 0; i < table->columns; i++)
		needed += table->widths[i] + (i ? strlen(SEPARATOR) : 0);
	while (needed > width && (index = widest(table, limits))) {
		limits[index] = BROKEN_MIN;
		needed -= table->widths[index] - BROKEN_MIN;
		if (!first)
			first = index;
	}
	if (first && needed < width)
		limits[first] += width - needed;
}

// Of `text`, what fits in a line: up to the end of a word where that is possible.
static size_t line_length(const char *text, size_t limit)
{
	size_t length = strlen(text);

	if (length <= limit)
		return length;
	for (length = limit; length > 0; length--)
		if (text[length] == ' ' || (length < limit && text[length - 1] == ','))
			return length;
	return limit;
}

static char *broken(const char *text, size_t limit)
{
	char *result = memory_new(2 * strlen(text) + 1), *to = result;

	for (;;) {
		size_t length = line_length(text, limit);

		memcpy(to, text, length);
		to += length;
		text += length;
		text += strspn(text, " ");
		if (!*text)
			return result;
		*to++ = '\n';
	}
}

static void column_break(struct table *table, size_t index, size_t limit)
{
	struct libscols_column *column = scols_table_get_column(table->table, index);
	struct libscols_line *line;

	scols_column_set_flags(column, SCOLS_FL_WRAP);
	scols_column_set_safechars(column, "\n");
	scols_column_set_wrapfunc(column, scols_wrapnl_chunksize, scols_wrapnl_nextchunk, NULL);
	for (size_t row = 0; row < table->rows; row++) {
		line = scols_table_get_line(table->table, row);
		scols_line_refer_data(
			line, index,
			broken(scols_cell_get_data(scols_line_get_cell(line, index)), limit));
	}
}

static void columns_break(struct table *table, int width)
{
	size_t *limits = memory_new(table->columns * sizeof(*limits));

	limits_set(table, (size_t)width, limits);
	for (size_t i = 1; i < table->columns; i++) {
		if (limits[i])
			column_break(table, i, limits[i]);
		else if (!scols_column_is_right(scols_table_get_column(table->table, i)))
			scols_column_set_flags(scols_table_get_column(table->table, i), 0);
	}
	free(limits);
}

struct table *table_new(const char *const *columns, size_t count)
{
	struct table *table = memory_new(sizeof(*table));

	scols_init_debug(0);
	table->table = memory_required(scols_new_table());
	table->state = SIZE_MAX;
	width_set(table->table);
	scols_table_set_column_separator(table->table, SEPARATOR);
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
		columns_break(table, terminal_width());
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
