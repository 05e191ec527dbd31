// The command line of Sluice: options, and the way to the command.

#include <stdarg.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/help.h"
#include "cli/terminal.h"
#include "model/message.h"

static bool has_wide(const struct command *command)
{
	for (const struct option_spec *spec = command->options; spec && spec->name; spec++)
		if (strcmp(spec->name, "output") == 0 && spec->completion)
			return strstr(spec->completion, "wide");
	return false;
}

static bool output_parse(const char *text, bool wide, enum output *output)
{
	static const char *const names[] = {"table", "json", "yaml", "wide"};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names) - !wide; i++) {
		if (strcmp(text, names[i]) == 0) {
			*output = (enum output)i;
			return true;
		}
	}
	return false;
}

static bool color_parse(const struct invocation *invocation)
{
	const char *color = option_get(&invocation->options, "color");

	return !color || terminal_set_color(color);
}

// What the option says, else the variable; NULL: neither does.
static const char *setting_get(const struct invocation *invocation, const char *option,
			       const char *variable)
{
	const char *text = option_get(&invocation->options, option);

	if (!text)
		text = getenv(variable);
	return text && *text ? text : NULL;
}

static void server_find(struct invocation *invocation)
{
	invocation->api = setting_get(invocation, "api", "SLUICE_API");
	if (!invocation->api)
		invocation->api = DEFAULT_API;
	invocation->tls = (struct rpc_tls_files){
		.certificate = setting_get(invocation, "cert", "SLUICE_CERT"),
		.key = setting_get(invocation, "key", "SLUICE_KEY"),
		.ca = setting_get(invocation, "ca", "SLUICE_CA"),
	};
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
	if (!color_parse(invocation))
		return usage_error(command, "--color takes auto, always or never");
	form = option_get(&invocation->options, "output");
	if (form && !output_parse(form, has_wide(command), &invocation->output))
		return usage_error(command, "-o takes table, %sjson or yaml, not '%s'",
				   has_wide(command) ? "wide, " : "", form);
	server_find(invocation);
	invocation->arguments = argv + rest;
	invocation->argument_count = argc - rest;
	return command->run(command, invocation);
}

static int words_run(int argc, char **argv, struct invocation *invocation)
{
	const struct command *command;
	int place, result;
	bool help;

	result = options_parse(NULL, argc, argv, &invocation->options, &place, &help);
	if (result != EXIT_OK)
		return result;
	if (!color_parse(invocation))
		return usage_error(NULL, "--color takes auto, always or never");
	if (help)
		return help_run(NULL);
	if (place >= argc)
		return usage_error(NULL, "a command is missing");
	if (strcmp(argv[place], "help") == 0)
		return help_run(place + 1 < argc ? argv[place + 1] : NULL);
	command = command_find(argv[place]);
	if (!command)
		return command_unknown(argv[place]);
	return command_run(command, argc - place, argv + place, invocation);
}

int main(int argc, char **argv)
{
	struct invocation invocation = {.api = DEFAULT_API};
	int result;

	// There is one thread; locks would cost most of the time of long lists.
	__fsetlocking(stdout, FSETLOCKING_BYCALLER);
	result = words_run(argc, argv, &invocation);
	options_free(&invocation.options);
	if (fflush(stdout) != 0 || ferror(stdout))
		return failure("cannot write to standard output");
	return result;
}
