// What the terminal is like: its width, colours, and text that is broken into lines for it.

#pragma once

#include <stdbool.h>
#include <stdio.h>

enum style {
	STYLE_PLAIN,
	STYLE_HEADING,
	STYLE_GOOD,
	STYLE_WARNING,
	STYLE_BAD,
};

// --color: "auto" (on a terminal, without NO_COLOR and TERM=dumb), "always" or "never". False: it
// is none of these.
bool terminal_set_color(const char *when);

// Columns of standard output: COLUMNS, or what the terminal says. 0: it is no terminal, and nothing
// is to be cut.
int terminal_width(void);

// The sequence that begins a style in what goes to `file`; "" without colours. STYLE_PLAIN ends
// all.
const char *style_begin(FILE *file, enum style style);
const char *style_end(FILE *file);

// Good, warning or bad, for words that say how something is (up, Active, Failed: ...).
enum style style_of_state(const char *state);

// Paragraphs (an empty line between them), broken into lines. The first begins at `column`, where
// the cursor is, further ones are indented up to it. Ends with a line end.
void text_wrap(FILE *file, const char *text, int column);

// Columns for text_wrap: those of the terminal, 80 without one, at most 100.
int text_width(void);
