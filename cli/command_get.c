// sluice get: shows objects.

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/table.h"
#include "model/kind.h"
#include "model/memory.h"
#include "model/message.h"
#include "model/object.h"

#define COLUMNS_MAX 32

static void message_cell(FILE *file, const ProtobufCMessage *message);

// One value in a few words.
static void value_cell(FILE *file, const ProtobufCFieldDescriptor *field, const void *value)
{
	char name[FIELD_NAME_SIZE];
	const char *text;

	switch (field->type) {
	case PROTOBUF_C_TYPE_STRING:
		fputs(*(char *const *)value, file);
		break;
	case PROTOBUF_C_TYPE_UINT32:
		fprintf(file, "%u", *(const uint32_t *)value);
		break;
	case PROTOBUF_C_TYPE_UINT64:
		fprintf(file, "%llu", (unsigned long long)*(const uint64_t *)value);
		break;
	case PROTOBUF_C_TYPE_BOOL:
		fputs(*(const protobuf_c_boolean *)value ? "yes" : "no", file);
		break;
	case PROTOBUF_C_TYPE_ENUM:
		text = enum_name(field->descriptor, *(const int *)value, name);
		fputs(text ? text : "", file);
		break;
	case PROTOBUF_C_TYPE_MESSAGE:
		message_cell(file, *(ProtobufCMessage *const *)value);
		break;
	default:
		break;
	}
}

// {tap: {name: web1, netns: web}} becomes `tap name=web1 netns=web`.
static void message_cell(FILE *file, const ProtobufCMessage *message)
{
	const ProtobufCMessageDescriptor *type = message->descriptor;
	const char *separator = "";
	char name[FIELD_NAME_SIZE];

	for (unsigned i = 0; i < type->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &type->fields[i];
		bool chosen = field_has_alternatives(type, field);

		if (field_is_default(field, message) || field->label == PROTOBUF_C_LABEL_REPEATED)
			continue;
		fprintf(file, "%s%s%s", separator, field_name(field, name), chosen ? " " : "=");
		value_cell(file, field, field_value(field, message, 0));
		separator = " ";
	}
}

// A list shows its values, a list of messages their first texts or, without such, its length.
static void list_cell(FILE *file, const ProtobufCFieldDescriptor *field,
		      const ProtobufCMessage *message)
{
	size_t count = field_count(field, message);
	const ProtobufCMessageDescriptor *type =
		field->type == PROTOBUF_C_TYPE_MESSAGE ? field->descriptor : NULL;
	bool titled = type && type->n_fields && type->fields[0].type == PROTOBUF_C_TYPE_STRING &&
		      !field_in_oneof(&type->fields[0]);

	if (type && !titled) {
		if (count)
			fprintf(file, "%zu", count);
		return;
	}
	for (size_t i = 0; i < count; i++) {
		const void *value = field_value(field, message, i);

		if (i)
			fputs(", ", file);
		if (type)
			fputs(*(char *const *)field_data(&type->fields[0],
							 *(ProtobufCMessage *const *)value),
			      file);
		else
			value_cell(file, field, value);
	}
}

static char *field_cell(const ProtobufCFieldDescriptor *field, const ProtobufCMessage *message)
{
	char *text = NULL;
	size_t size;
	FILE *file = memory_required(open_memstream(&text, &size));

	if (field->label == PROTOBUF_C_LABEL_REPEATED)
		list_cell(file, field, message);
	else if (!field_is_default(field, message))
		value_cell(file, field, field_value(field, message, 0));
	fclose(file);
	return memory_required(text);
}

// SECURITY GROUPS for security_groups; '>' first where numbers stand in it.
static char *heading(const ProtobufCFieldDescriptor *field)
{
	char *text = memory_new(strlen(field->name) + 2);
	bool number =
		field->type == PROTOBUF_C_TYPE_UINT32 || field->type == PROTOBUF_C_TYPE_UINT64;
	size_t length = 0;

	if (number && field->label != PROTOBUF_C_LABEL_REPEATED)
		text[length++] = '>';
	for (const char *c = field->name; *c; c++)
		text[length++] = *c == '_' ? ' ' : (char)toupper((unsigned char)*c);
	return text;
}

// NULL: sluiced is of a time when there was none.
static const Sluice__V1__ObjectStatus *status_of(const Sluice__V1__GetResponse *response,
						 size_t number)
{
	return number < response->n_statuses ? response->statuses[number] : NULL;
}

// `active`, `active, up` or `failed: the reason`.
static char *status_cell(const Sluice__V1__ObjectStatus *status)
{
	char name[FIELD_NAME_SIZE], *text = NULL;
	const char *state;
	size_t size;
	FILE *file;

	if (!status)
		return memory_text("");
	file = memory_required(open_memstream(&text, &size));
	state = enum_name(&sluice__v1__object_state__descriptor, (int)status->state, name);
	fputs(state ? state : "", file);
	if (*status->link)
		fprintf(file, ", %s", status->link);
	if (*status->reason)
		fprintf(file, ": %s", status->reason);
	fclose(file);
	return memory_required(text);
}

// Columns follow from the kind's fields; those that are empty everywhere are left out. The last one
// is the status.
static void objects_table(const Sluice__V1__GetResponse *response)
{
	Sluice__V1__Object *const *objects = response->objects;
	size_t count = response->n_objects;
	const ProtobufCFieldDescriptor *fields[COLUMNS_MAX];
	char *texts[COLUMNS_MAX + 1];
	struct table *table;
	size_t columns = 0;

	const ProtobufCMessageDescriptor *type = object_message(objects[0])->descriptor;
	for (unsigned i = 0; i < type->n_fields && columns < COLUMNS_MAX; i++) {
		bool used = false;

		for (size_t o = 0; o < count && !used; o++)
			used = !field_is_default(&type->fields[i], object_message(objects[o]));
		if (used)
			fields[columns++] = &type->fields[i];
	}
	for (size_t i = 0; i < columns; i++)
		texts[i] = heading(fields[i]);
	texts[columns] = memory_text("STATUS");
	table = table_new((const char *const *)texts, columns + 1);
	for (size_t i = 0; i <= columns; i++)
		free(texts[i]);
	for (size_t o = 0; o < count; o++) {
		for (size_t i = 0; i < columns; i++)
			texts[i] = field_cell(fields[i], object_message(objects[o]));
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
	struct rpc_status status;
	const char *near;
	int result = EXIT_OK;

	if (invocation->argument_count < 1 || invocation->argument_count > 2)
		return usage_error(command, "get takes KIND and perhaps NAME");
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
	response = (Sluice__V1__GetResponse *)call(invocation, "Get", &request.base, &status);
	if (!response) {
		status_failure(&status, NULL);
		rpc_status_clear(&status);
		return EXIT_FAILED;
	}
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
	OPTION_OUTPUT,
	{0},
};

const struct command get_command = {
	.name = "get",
	.arguments = "KIND [NAME] [-o table|json|yaml]",
	.summary = "Shows objects of a kind, or one of them",
	.words = "KIND NAME",
	.about = "KIND may be written in any case, singular or plural. What -o yaml and -o json "
		 "print can be applied.\n",
	.options = options,
	.examples = "  sluice get ports\n"
		    "  sluice get network blue -o yaml\n",
	.run = get_run,
};
