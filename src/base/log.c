#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const level_names[] = {"error", "warning", "info", "debug"};
static enum log_level highest = LOG_LEVEL_INFO;

void log_set_level(enum log_level level)
{
	highest = level;
}

void log_write(enum log_level level, const char *format, ...)
{
	char line[1024];
	va_list args;
	size_t length;

	if (level > highest)
		return;
	length = (size_t)snprintf(line, sizeof(line), "%s ", level_names[level]);
	va_start(args, format);
	vsnprintf(line + length, sizeof(line) - length - 1, format, args);
	va_end(args);
	length = strlen(line);
	line[length++] = '\n';
	// A log that can't be written has nobody to tell.
	if (write(STDERR_FILENO, line, length) < 0)
		return;
}
