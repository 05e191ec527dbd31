// A line of the log as text (logfmt) or as a JSON object. Values come from anywhere: whatever they
// hold, the line stays one line, its fields stay apart, and it is valid UTF-8.

#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/log.h"

// What a pipe takes in one piece (PIPE_BUF).
#define LOG_LINE_SIZE 4096

struct log_head {
	const char *time; // NULL: not in the line
	enum log_level level;
	bool journal; // begins with the level as journald wants it
};

// Returns the length with the line end; there is no zero byte. A value that is too long is cut
// (`…` stands for the rest), and fields that find no room are left out.
size_t log_line(enum log_format format, const struct log_head *head, const struct log_field *fields,
		char line[LOG_LINE_SIZE]);
