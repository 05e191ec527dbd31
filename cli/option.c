#include "cli/option.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/terminal.h"
#include "model/memory.h"

#define OPTIONS_MAX 64

static size_t spec_count(const struct option_spec *options)
{
	size_t count = 0;

	while (options && options[count].name)
		count++;
	return count;
}

// All that may be given, and getopt's two forms of it. Long options have numbers from 256 on.
struct tables {
	const struct option_spec *specs[OPTIONS_MAX];
	size_t count;
	char letters[OPTIONS_MAX * 2 + 8];
	struct option names[OPTIONS_MAX + 2];
};

static void table_add(struct tables *tables, const struct option_spec *options)
{
	size_t count = spec_count(options);

	for (size_t i = 0; i < count && tables->count < OPTIONS_MAX; i++)
		tables->specs[tables->count++] = &options[i];
}

static void tables_finish(struct tables *tables, bool in_order)
{
	char *letters = tables->letters;

	if (in_order)
		*letters++ = '+';
	*letters++ = ':';
	*letters++ = 'h';
	for (size_t i = 0; i < tables->count; i++) {
		const struct option_spec *spec = tables->specs[i];

		tables->names[i] = (struct option){
			.name = spec->name,
			.has_arg = spec->argument ? required_argument : no_argument,
			.val = 256 + (int)i,
		};
		if (!spec->letter)
			continue;
		*letters++ = spec->letter;
		if (spec->argument)
			*letters++ = ':';
	}
	tables->names[tables->count].name = "help";
	tables->names[tables->count].val = 'h';
}

static const struct option_spec *spec_find(const struct tables *tables, int found)
{
	if (found >= 256)
		return tables->specs[found - 256];
	for (size_t i = 0; i < tables->count; i++)
		if (tables->specs[i]->letter == found)
			return tables->specs[i];
	return NULL;
}

static void value_add(struct option_values *values, const struct option_spec *spec,
		      const char *text)
{
	values->values = memory_resize(values->values, values->count + 1, sizeof(*values->values));
	values->values[values->count++] =
		(struct option_value){.spec = spec, .text = text ? text : ""};
}

int options_parse(const struct command *command, int argc, char **argv,
		  struct option_values *values, int *rest, bool *help)
{
	struct tables tables = {.count = 0};
	int found;

	*help = false;
	if (command)
		table_add(&tables, command->options);
	table_add(&tables, global_options);
	tables_finish(&tables, !command);
	opterr = 0;
	optind = 0; // begins anew, also with another form
	while ((found = getopt_long(argc, argv, tables.letters, tables.names, NULL)) != -1) {
		const char *word = argv[optind - 1];

		if (found == ':')
			return usage_error(command, "%s needs a value", word);
		if (found == '?')
			return usage_error(command, "unknown option %s", word);
		if (found == 'h') {
			*help = true;
			return EXIT_OK;
		}
		value_add(values, spec_find(&tables, found), optarg);
	}
	*rest = optind;
	return EXIT_OK;
}

void options_free(struct option_values *values)
{
	free(values->values);
	*values = (struct option_values){0};
}

const char *option_get(const struct option_values *values, const char *name)
{
	size_t count = option_count(values, name);

	return count ? option_at(values, name, count - 1) : NULL;
}

size_t option_count(const struct option_values *values, const char *name)
{
	size_t count = 0;

	for (size_t i = 0; i < values->count; i++)
		count += strcmp(values->values[i].spec->name, name) == 0;
	return count;
}

const char *option_at(const struct option_values *values, const char *name, size_t number)
{
	for (size_t i = 0; i < values->count; i++)
		if (strcmp(values->values[i].spec->name, name) == 0 && number-- == 0)
			return values->values[i].text;
	return NULL;
}

static int head_make(const struct option_spec *spec, char *text, size_t size)
{
	char letter[8] = "";

	if (spec->letter)
		snprintf(letter, sizeof(letter), "-%c, ", spec->letter);
	return snprintf(text, size, "  %s--%s%s%s", letter, spec->name, spec->argument ? " " : "",
			spec->argument ? spec->argument : "");
}

void options_print(const char *heading, const struct option_spec *options)
{
	size_t count = spec_count(options);
	char head[128];
	int width = 0;

	for (size_t i = 0; i < count; i++) {
		int length = head_make(&options[i], head, sizeof(head));

		width = length > width ? length : width;
	}
	printf("%s%s%s\n", style_begin(stdout, STYLE_HEADING), heading, style_end(stdout));
	for (size_t i = 0; i < count; i++) {
		head_make(&options[i], head, sizeof(head));
		printf("%-*s  ", width, head);
		text_wrap(stdout, options[i].text, width + 2);
	}
}
