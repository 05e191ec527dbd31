#include "cli/help.h"

#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/terminal.h"
#include "model/message.h"

#define WORDS_MAX 128

static void heading_print(const char *text)
{
	printf("%s%s%s\n", style_begin(stdout, STYLE_HEADING), text, style_end(stdout));
}

static void summary_print(const char *name, const char *summary)
{
	printf("  %-10s  ", name);
	text_wrap(stdout, summary, 14);
}

// Lines that begin with two spaces stay as they are, others are paragraphs.
static void paragraphs_print(const char *text)
{
	while (*text) {
		const char *end = text;
		char paragraph[2048];

		if (*text == '\n' || strncmp(text, "  ", 2) == 0) {
			end += strcspn(text, "\n") + 1;
			printf("%.*s", (int)(end - text), text);
			text = end;
			continue;
		}
		while (*end && *end != '\n' && end - text < (int)sizeof(paragraph) - 1) {
			end += strcspn(end, "\n");
			if (end[0] == '\n' && end[1] && end[1] != '\n' &&
			    strncmp(end + 1, "  ", 2) != 0)
				end++;
		}
		snprintf(paragraph, sizeof(paragraph), "%.*s", (int)(end - text), text);
		for (char *c = paragraph; *c; c++)
			if (*c == '\n')
				*c = ' ';
		text_wrap(stdout, paragraph, 0);
		text = *end ? end + 1 : end;
	}
}

static void help_print(void)
{
	puts("Usage: sluice [--api ADDRESS] COMMAND ...\n");
	text_wrap(stdout,
		  "Configures and watches sluiced, the software SmartNIC. What a node shall do is "
		  "described by objects (networks, ports, security groups ...) in YAML files.",
		  0);
	putchar('\n');
	heading_print("Commands:");
	for (size_t i = 0; commands[i]; i++)
		summary_print(commands[i]->name, commands[i]->summary);
	putchar('\n');
	heading_print("Topics (sluice help TOPIC):");
	for (size_t i = 0; help_topics[i].name; i++)
		summary_print(help_topics[i].name, help_topics[i].summary);
	putchar('\n');
	options_print("Options:", global_options);
	putchar('\n');
	heading_print("Examples:");
	puts("  sluice apply -f network.yaml            create or change what the file describes\n"
	     "  sluice get ports                        look at it\n"
	     "  sluice trace --port web-1 'tcp 10.1.0.11:1234 > 10.1.0.12:80'\n"
	     "                                          why does this packet not arrive?\n"
	     "  sluice explain port                     what may stand in a Port?\n"
	     "\n"
	     "sluice COMMAND --help tells about a command.\n"
	     "\n"
	     "Exit status: 0 if all went well, 1 if not, 2 if the command line is wrong.");
}

void command_help_print(const struct command *command)
{
	printf("Usage: sluice %s%s%s\n\n%s.\n", command->name, *command->arguments ? " " : "",
	       command->arguments, command->summary);
	if (command->about) {
		putchar('\n');
		paragraphs_print(command->about);
	}
	putchar('\n');
	if (command->options) {
		options_print("Options:", command->options);
		putchar('\n');
	}
	if (command->notes) {
		paragraphs_print(command->notes);
		putchar('\n');
	}
	if (command->examples) {
		heading_print("Examples:");
		printf("%s\n", command->examples);
	}
	options_print("Other options:", global_options);
}

const struct command *command_find(const char *name)
{
	for (size_t i = 0; commands[i]; i++)
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	return NULL;
}

int command_unknown(const char *name)
{
	const char *words[WORDS_MAX];
	const char *near;
	size_t count = 0;

	for (; count < WORDS_MAX && commands[count]; count++)
		words[count] = commands[count]->name;
	near = nearest_word(name, words, count);
	if (near)
		return usage_error(NULL, "unknown command '%s', did you mean '%s'?", name, near);
	return usage_error(NULL, "unknown command '%s'", name);
}

int help_run(const char *name)
{
	const struct command *command;

	if (!name) {
		help_print();
		return EXIT_OK;
	}
	command = command_find(name);
	if (command) {
		command_help_print(command);
		return EXIT_OK;
	}
	for (size_t i = 0; help_topics[i].name; i++) {
		if (strcmp(help_topics[i].name, name) != 0)
			continue;
		paragraphs_print(help_topics[i].text);
		return EXIT_OK;
	}
	return command_unknown(name);
}
