// What the commands that change objects share.

#pragma once

#include "cli/command.h"

// Options of theirs.
#define OPTION_DRY_RUN                                                           \
	{                                                                        \
		.name = "dry-run",                                               \
		.text = "validate and say what would change, in objects and in " \
			"live connections, but change nothing",                  \
	}

#define OPTION_REVISION                                                                  \
	{                                                                                \
		.name = "revision", .argument = "N",                                     \
		.text = "only if this is the stored state, as history numbers it; else " \
			"nothing is changed",                                            \
	}

#define OPTION_COMMENT                                                                      \
	{                                                                                   \
		.name = "comment", .argument = "TEXT", .text = "a line that history shows", \
	}

#define OPTION_CONFIRM                                                                      \
	{                                                                                   \
		.name = "confirm", .argument = "TIME",                                      \
		.text = "the change reverts by itself after this time, as 60s, 10m or 1h, " \
			"unless `sluice confirm` comes before",                             \
	}

// Reads --revision. False after a line that says what is wrong. *given: it is there.
bool revision_option(const struct command *command, const struct invocation *invocation,
		     uint64_t *revision, bool *given);

// Reads a revision's number.
bool revision_parse(const char *text, uint64_t *revision);

// Reads --NAME in seconds, 0 without it. False after a line that says what is wrong.
bool time_option(const struct command *command, const struct invocation *invocation,
		 const char *name, uint32_t *seconds);

// Prints what has changed, or would, in the form of -o. `message` is the response as a whole.
void changes_print(const struct invocation *invocation, const ProtobufCMessage *message,
		   Sluice__V1__Change *const *changes, size_t count,
		   const Sluice__V1__Impact *impact, bool dry_run);

// What a change would mean for live connections; nothing where there are none.
void impact_print(const Sluice__V1__Impact *impact);

// A line that says how long it has to be confirmed.
void confirm_print(uint64_t revision, uint32_t seconds);
