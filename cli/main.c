// The command line of Sluice: options, and the way to the command.

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

const struct option_spec global_options[] = {
	{.name = "api",
	 .argument = "unix:PATH",
	 .text = "where sluiced listens; default $SLUICE_API, or " DEFAULT_API},
	{0},
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
	putchar('\n');
	options_print("Options:", global_options);
	puts("\n"
	     "sluice COMMAND --help tells about a command.\n"
	     "\n"
	     "Exit status: 0 if all went well, 1 if not, 2 if the command line is wrong.");
}

static void command_help_print(const struct command *command)
{
	printf("Usage: sluice %s %s\n\n%s.\n", command->name, command->arguments, command->summary);
	if (command->about)
		printf("\n%s", command->about);
	putchar('\n');
	if (command->options) {
		options_print("Options:", command->options);
		putchar('\n');
	}
	if (command->notes)
		printf("%s\n", command->notes);
	if (command->examples)
		printf("Examples:\n%s\n", command->examples);
	options_print("Other options:", global_options);
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

static int command_run(const struct command *command, int argc, char **argv,
		       struct invocation *invocation)
{
	const char *form;
	bool help;
	int rest, result;

	result = options_parse(command, argc, argv, &invocation->options, &rest, &help);
	if (result != EXIT_OK)
		return result;
	if (help) {
		command_help_print(command);
		return EXIT_OK;
	}
	form = option_get(&invocation->options, "output");
	if (form && !output_parse(form, &invocation->output))
		return usage_error(command, "-o takes table, json or yaml, not '%s'", form);
	if (option_get(&invocation->options, "api"))
		invocation->api = option_get(&invocation->options, "api");
	invocation->arguments = argv + rest;
	invocation->argument_count = argc - rest;
	return command->run(command, invocation);
}

static int help_run(const char *name)
{
	const struct command *command = name ? command_find(name) : NULL;

	if (name && !command)
		return unknown_command(name);
	if (command)
		command_help_print(command);
	else
		help_print();
	return EXIT_OK;
}

static int words_run(int argc, char **argv, struct invocation *invocation)
{
	const struct command *command;
	int place, result;
	bool help;

	result = options_parse(NULL, argc, argv, &invocation->options, &place, &help);
	if (result != EXIT_OK)
		return result;
	if (help)
		return help_run(NULL);
	if (place >= argc)
		return usage_error(NULL, "a command is missing");
	if (strcmp(argv[place], "help") == 0)
		return help_run(place + 1 < argc ? argv[place + 1] : NULL);
	command = command_find(argv[place]);
	if (!command)
		return unknown_command(argv[place]);
	return command_run(command, argc - place, argv + place, invocation);
}

int main(int argc, char **argv)
{
	struct invocation invocation = {.api = getenv("SLUICE_API")};
	int result;

	// There is one thread; locks would cost most of the time of long lists.
	__fsetlocking(stdout, FSETLOCKING_BYCALLER);
	if (!invocation.api || !*invocation.api)
		invocation.api = DEFAULT_API;
	result = words_run(argc, argv, &invocation);
	options_free(&invocation.options);
	if (fflush(stdout) != 0 || ferror(stdout))
		return failure("cannot write to standard output");
	return result;
}
