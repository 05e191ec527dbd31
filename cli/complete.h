// Candidates for the shell's completion (command_completion.c has the shells' half).

#pragma once

// Prints a line that says what completes the last word (`:words` or `:files`), and then for
// `:words` a candidate a line, with a tab and a description behind it where there is one.
// words[0] is the program, the last one is what was typed up to the cursor and may be empty. Says
// nothing about errors: there are just no candidates.
void complete_words(const char *const *words, int count);

// The same for a line as bash has it: with quotes.
void complete_line(const char *line);
