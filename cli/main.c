// The command line of Sluice: options, and the way to the command.

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "model/message.h"

#define DEFAULT_API "unix:/run/sluice/sluiced.sock"

const struct command *const commands[] = {
	&apply_command, &delete_command, &diff_command,	   &flows_command, &get_command,
	&stats_command, &trace_command,	 &version_command, NULL,
};

static const struct option long_options[] = {
	{"api", required_argument, NULL, 'a'},	{"dry-run", no_argument, NULL, 'd'},
	{"file", required_argument, NULL, 'f'}, {"frame", required_argument, NULL, 'F'},
	{"help", no_argument, NULL, 'h'},	{"output", required_argument, NULL, 'o'},
	{"port", required_argument, NULL, 'p'}, {NULL, 0, NULL, 0},
};

static void help_print(void)
{
	puts("Usage: sluice [--api unix:PATH] COMMAND ...\n"
	     "\n"
	     "Configures and watches sluiced, the software SmartNIC.\n"
	     "\n"
	     "Commands:");
	for (size_t i = 0; commands[i]; i++)
		printf("  %-8s  %s\n", commands[i]->name, commands[i]->summary);
	puts("\n"
	     "Options:\n"
	     "  --api unix:PATH  where sluiced listens; default $SLUICE_API, or " DEFAULT_API "\n"
	     "  --help           this text, or that of a command: sluice COMMAND --help\n"
	     "\n"
	     "Exit status: 0 if all went well, 1 if not, 2 if the command line is wrong.");
}

static void command_help_print(const struct command *command)
{
	printf("Usage: sluice %s %s\n\n%s.\n\n%s", command->name, command->arguments,
	       command->summary, command->help);
	puts("\nOther options:\n"
	     "  --api unix:PATH  where sluiced listens; default $SLUICE_API, or " DEFAULT_API);
}

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

static const struct command *command_find(const char *name)
{
	for (size_t i = 0; commands[i]; i++)
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	return NULL;
}

static int unknown_command(const char *name)
{
	const char *words[sizeof(commands) / sizeof(*commands)];
	const char *near;
	size_t count = 0;

	for (; commands[count]; count++)
		words[count] = commands[count]->name;
	near = nearest_word(name, words, count);
	if (near)
		return usage_error(NULL, "unknown command '%s', did you mean '%s'?", name, near);
	return usage_error(NULL, "unknown command '%s'", name);
}

static bool output_parse(const char *text, enum output *output)
{
	static const char *const names[] = {"table", "json", "yaml"};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (strcmp(text, names[i]) == 0) {
			*output = (enum output)i;
			return true;
		}
	}
	return false;
}

// Takes one option. Returns -1 to go on, or the exit status.
static int option_take(const struct command *command, int option, struct invocation *invocation)
{
	if (option != 'a' && option != 'h' && option != '?' && option != ':' &&
	    !strchr(command->options, option))
		return usage_error(command, "%s takes no such option", command->name);
	switch (option) {
	case 'a':
		invocation->api = optarg;
		return -1;
	case 'd':
		invocation->dry_run = true;
		return -1;
	case 'f':
		if (invocation->file_count == FILES_MAX)
			return usage_error(command, "more than %d files", FILES_MAX);
		invocation->files[invocation->file_count++] = optarg;
		return -1;
	case 'F':
		if (invocation->frame_count == FRAMES_MAX)
			return usage_error(command, "more than %d frames", FRAMES_MAX);
		invocation->frames[invocation->frame_count++] = optarg;
		return -1;
	case 'h':
		command_help_print(command);
		return EXIT_OK;
	case 'o':
		if (!output_parse(optarg, &invocation->output))
			return usage_error(command, "-o takes table, json or yaml, not '%s'",
					   optarg);
		return -1;
	case 'p':
		invocation->port = optarg;
		return -1;
	default: // the word before optind is the one that is wrong
		return EXIT_USAGE;
	}
}

static int command_run(const struct command *command, int argc, char **argv,
		       struct invocation *invocation)
{
	int option;

	opterr = 0;
	optind = 1;
	while ((option = getopt_long(argc, argv, ":f:o:", long_options, NULL)) != -1) {
		const char *word = argv[optind - 1];
		int result;

		if (option == ':')
			return usage_error(command, "%s needs a value", word);
		if (option == '?')
			return usage_error(command, "unknown option %s", word);
		result = option_take(command, option, invocation);
		if (result >= 0)
			return result;
	}
	invocation->arguments = argv + optind;
	invocation->argument_count = argc - optind;
	return command->run(command, invocation);
}

int main(int argc, char **argv)
{
	struct invocation invocation = {.api = getenv("SLUICE_API")};
	const struct command *command;
	int place = 1;
	int result;

	// There is one thread; locks would cost most of the time of long lists.
	__fsetlocking(stdout, FSETLOCKING_BYCALLER);
	if (!invocation.api || !*invocation.api)
		invocation.api = DEFAULT_API;
	for (; place < argc && argv[place][0] == '-'; place++) {
		if (strcmp(argv[place], "--help") == 0 || strcmp(argv[place], "-h") == 0) {
			help_print();
			return EXIT_OK;
		}
		if (strncmp(argv[place], "--api=", 6) == 0)
			invocation.api = argv[place] + 6;
		else if (strcmp(argv[place], "--api") != 0)
			return usage_error(NULL, "unknown option %s", argv[place]);
		else if (++place == argc)
			return usage_error(NULL, "--api needs a value");
		else
			invocation.api = argv[place];
	}
	if (place >= argc)
		return usage_error(NULL, "a command is missing");
	if (strcmp(argv[place], "help") == 0) {
		command = place + 1 < argc ? command_find(argv[place + 1]) : NULL;
		if (place + 1 < argc && !command)
			return unknown_command(argv[place + 1]);
		if (command)
			command_help_print(command);
		else
			help_print();
		return EXIT_OK;
	}
	command = command_find(argv[place]);
	if (!command)
		return unknown_command(argv[place]);
	result = command_run(command, argc - place, argv + place, &invocation);
	if (fflush(stdout) != 0 || ferror(stdout))
		return failure("cannot write to standard output");
	return result;
}
