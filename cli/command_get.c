// sluice get: shows objects.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/object_cells.h"
#include "cli/table.h"
#include "model/kind.h"
#include "model/memory.h"
#include "model/object.h"

// NULL: sluiced is of a time when there was none.
static const Sluice__V1__ObjectStatus *status_of(const Sluice__V1__GetResponse *response,
						 size_t number)
{
	return number < response->n_statuses ? response->statuses[number] : NULL;
}

// Columns follow from the kind's fields; those that are empty everywhere are left out. The last one
// is the status.
static void objects_table(const Sluice__V1__GetResponse *response)
{
	Sluice__V1__Object *const *objects = response->objects;
	size_t count = response->n_objects;
	const ProtobufCFieldDescriptor *fields[OBJECT_COLUMNS_MAX];
	char *texts[OBJECT_COLUMNS_MAX + 1];
	struct table *table;
	size_t columns;

	columns = object_columns(objects, count, fields);
	for (size_t i = 0; i < columns; i++)
		texts[i] = object_heading(fields[i]);
	texts[columns] = memory_text("STATUS");
	table = table_new((const char *const *)texts, columns + 1);
	for (size_t i = 0; i <= columns; i++)
		free(texts[i]);
	for (size_t o = 0; o < count; o++) {
		for (size_t i = 0; i < columns; i++)
			texts[i] = object_cell(fields[i], object_message(objects[o]));
		texts[columns] = status_cell(status_of(response, o));
		table_row(table, (const char *const *)texts);
		for (size_t i = 0; i <= columns; i++)
			free(texts[i]);
	}
	table_print(table, true);
	table_free(table);
}

static void objects_print(const Sluice__V1__GetResponse *response, enum output output, bool one)
{
	if (output == OUTPUT_YAML) {
		for (size_t i = 0; i < response->n_objects; i++) {
			if (i)
				puts("---");
			object_print(stdout, response->objects[i], status_of(response, i),
				     PRINT_YAML, 0);
		}
		return;
	}
	if (one) {
		object_print(stdout, response->objects[0], status_of(response, 0), PRINT_JSON, 0);
		putchar('\n');
		return;
	}
	putchar('[');
	for (size_t i = 0; i < response->n_objects; i++) {
		fputs(i ? ",\n  " : "\n  ", stdout);
		object_print(stdout, response->objects[i], status_of(response, i), PRINT_JSON, 1);
	}
	puts(response->n_objects ? "\n]" : "]");
}

static int get_run(const struct command *command, const struct invocation *invocation)
{
	Sluice__V1__GetRequest request;
	Sluice__V1__GetResponse *response;
	const char *near;
	int result = EXIT_OK;

	if (invocation->argument_count < 1 || invocation->argument_count > 2)
		return usage_error(command, "get takes KIND and perhaps NAME");
	if (option_get(&invocation->options, "revision") &&
	    !option_get(&invocation->options, "watch"))
		return usage_error(command, "--revision goes with --watch");
	sluice__v1__get_request__init(&request);
	request.kind = invocation->arguments[0];
	if (kind_find(request.kind) == SLUICE__V1__OBJECT__KIND__NOT_SET) {
		near = kind_suggest(request.kind);
		if (near)
			return failure("unknown kind '%s', did you mean '%s'?", request.kind, near);
	}
	if (invocation->argument_count == 2) {
		request.name = invocation->arguments[1];
		if (!*request.name)
			return usage_error(command, "NAME is empty");
	}
	if (option_get(&invocation->options, "watch"))
		return get_watch(invocation, request.kind, request.name);
	response = (Sluice__V1__GetResponse *)call_reported(invocation, "Get", &request.base);
	if (!response)
		return EXIT_FAILED;
	for (size_t i = 0; i < response->n_objects && result == EXIT_OK; i++)
		if (!object_message(response->objects[i]))
			result = failure(
				"sluiced has objects of a kind that this program does not know");
	if (result == EXIT_OK && *request.name && response->n_objects != 1)
		result = failure("sluiced gave %zu objects for one name", response->n_objects);
	if (result != EXIT_OK)
		goto out;
	if (invocation->output != OUTPUT_TABLE)
		objects_print(response, invocation->output, *request.name);
	else if (response->n_objects)
		objects_table(response);
out:
	sluice__v1__get_response__free_unpacked(response, NULL);
	return result;
}

static const struct option_spec options[] = {
	{.name = "watch",
	 .letter = 'w',
	 .text = "go on: say what is created, changed and deleted, and what becomes of the status, "
		 "until interrupted"},
	{.name = "revision",
	 .argument = "N",
	 .text = "with --watch: go on behind this revision, of the last bookmark"},
	OPTION_OUTPUT,
	{0},
};

const struct command get_command = {
	.name = "get",
	.arguments = "KIND [NAME] [--watch] [-o table|json|yaml]",
	.summary = "Shows objects of a kind, or one of them",
	.words = "KIND NAME",
	.about = "KIND may be written in any case, singular or plural. What -o yaml and -o json "
		 "print can be applied. STATUS is what this node has of the object: active (in "
		 "force; of a\n"
		 "port of this node also whether somebody is at its other end: up or down), "
		 "pending, or\n"
		 "failed with the reason.\n\n"
		 "With --watch, -o json and -o yaml print one event after the other, with the "
		 "object in it;\n"
		 "a bookmark says that all up to its revision was told, and where a later call "
		 "may go on.\n",
	.options = options,
	.examples = "  sluice get ports\n"
		    "  sluice get network blue -o yaml\n"
		    "  sluice get ports --watch\n"
		    "  sluice get ports -w -o json | jq --unbuffered -r '.object.status.state'\n",
	.run = get_run,
};
