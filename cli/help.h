// What `sluice --help`, `sluice COMMAND --help` and `sluice help TOPIC` print.

#pragma once

struct command;

#define DEFAULT_API "unix:/run/sluice/sluiced.sock"

// Subjects that belong to no command, for `sluice help` and the manual. The last one has no name.
// The text has paragraphs with an empty line between them; lines that begin with two spaces are
// examples and stay as they are.
extern const struct help_topic {
	const char *name;
	const char *summary; // a phrase without full stop
	const char *text;
} help_topics[];

const struct command *command_find(const char *name);

// A usage error that names what is near.
int command_unknown(const char *name);

void command_help_print(const struct command *command);

// Of a command, a topic, or (NULL) all of it. Returns the exit status.
int help_run(const char *name);
