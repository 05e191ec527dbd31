// Objects as rows of a table: a column for each field of their kind.

#include "cli/object_cells.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/memory.h"
#include "model/message.h"
#include "model/object.h"

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

char *object_cell(const ProtobufCFieldDescriptor *field, const ProtobufCMessage *message)
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

char *object_heading(const ProtobufCFieldDescriptor *field)
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

char *status_cell(const Sluice__V1__ObjectStatus *status)
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

size_t object_columns(Sluice__V1__Object *const *objects, size_t count,
		      const ProtobufCFieldDescriptor *fields[OBJECT_COLUMNS_MAX])
{
	const ProtobufCMessageDescriptor *type = object_message(objects[0])->descriptor;
	size_t columns = 0;

	for (unsigned i = 0; i < type->n_fields && columns < OBJECT_COLUMNS_MAX; i++) {
		bool used = false;

		for (size_t o = 0; o < count && !used; o++)
			used = !field_is_default(&type->fields[i], object_message(objects[o]));
		if (used)
			fields[columns++] = &type->fields[i];
	}
	return columns;
}
