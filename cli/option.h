// The options of the commands, as data: what parses them also makes their help, their completion
// and their manual.

#pragma once

#include <stdbool.h>
#include <stddef.h>

struct command;

// A table of these ends with one that has no name.
struct option_spec {
	const char *name;     // --name
	char letter;	      // -n; 0: none
	const char *argument; // what it takes, as FILE; NULL: nothing
	const char *text;     // what it does, a phrase without full stop; lines are broken for it
	bool repeated;	      // may be given several times; else the last one counts
	// What completes its argument: "FILE", a kind of object ("port"), or words with spaces
	// between them; NULL: nothing does.
	const char *completion;
};

// For each command that shows something.
#define OPTION_OUTPUT                                                                     \
	{                                                                                 \
		.name = "output", .letter = 'o', .argument = "FORM",                      \
		.text = "table (default), json or yaml", .completion = "table json yaml", \
	}

#define OPTION_OUTPUT_WIDE                                           \
	{                                                            \
		.name = "output", .letter = 'o', .argument = "FORM", \
		.text = "table (default), wide, json or yaml",       \
		.completion = "table wide json yaml",                \
	}

#define OPTION_FILE                                                                \
	{                                                                          \
		.name = "file", .letter = 'f', .argument = "FILE",                 \
		.text = "a file with objects, - for standard input; may be given " \
			"several times",                                           \
		.repeated = true, .completion = "FILE",                            \
	}

// What was given, in the order of the command line. The texts are the command line's.
struct option_values {
	struct option_value {
		const struct option_spec *spec;
		const char *text; // "" for one that takes nothing
	} * values;
	size_t count;
};

// Those that stand before or behind the command (main.c).
extern const struct option_spec global_options[];

// Takes options out of a command's words (argv[0] is its name), its own and the global ones, and
// leaves the others, from argv[*rest] on. Without a command, the global ones up to the first word
// that is none. What is found is added to `values`, which are empty at first. Returns EXIT_OK, or
// EXIT_USAGE after a line that says what is wrong. *help: `--help` was given, and the rest was not
// looked at.
int options_parse(const struct command *command, int argc, char **argv,
		  struct option_values *values, int *rest, bool *help);
void options_free(struct option_values *values);

// The text given last; NULL: none was.
const char *option_get(const struct option_values *values, const char *name);

// How many times it was given, and the number-th of these (from 0; NULL behind the last one).
size_t option_count(const struct option_values *values, const char *name);
const char *option_at(const struct option_values *values, const char *name, size_t number);

// A part of the help: the heading, and a line or more for each.
void options_print(const char *heading, const struct option_spec *options);
