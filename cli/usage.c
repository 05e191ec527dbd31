// What is said of a wrong command line.

#include <stdarg.h>
#include <stdio.h>

#include "cli/command.h"

int usage_error(const struct command *command, const char *format, ...)
{
	va_list args;

	fputs("sluice: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, " (see sluice %s%s--help)\n", command ? command->name : "",
		command ? " " : "");
	return EXIT_USAGE;
}
