// Places in YAML text: lines, and where reading goes on behind an error.

#pragma once

#include <stdbool.h>
#include <stddef.h>

// The part of a text that a parser reads.
struct yaml_text {
	const char *start;
	const char *end;
	unsigned line; // lines before `start`
};

// The byte that is `index` characters behind the start, as libyaml counts them.
const char *yaml_text_at(const struct yaml_text *text, size_t index);

// The line, from 1, in which `place` is.
unsigned yaml_text_line(const struct yaml_text *text, const char *place);

// Is there a tab in the indentation of the line in which `place` is, at or before it?
bool yaml_text_tab(const struct yaml_text *text, const char *place);

// Makes the text begin at `place`.
void yaml_text_cut(struct yaml_text *text, const char *place);

// Makes the text begin at the next line behind `place` that begins a document (---, which can't be
// inside any other thing: YAML 1.2.2 section 9.1.2). False: there is none.
bool yaml_text_next_document(struct yaml_text *text, const char *place);
