// Reads the description of the proto that is embedded (api/meson.build).

#include "cli/schema.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "descriptor.pb-c.h"
#include "model/memory.h"

extern const unsigned char sluice_descriptor[];
extern const size_t sluice_descriptor_size;

// Places in FileDescriptorProto (descriptor.proto), which name what a comment belongs to.
enum {
	IN_FILE_MESSAGES = 4,
	IN_FILE_ENUMS = 5,
	IN_FILE_SERVICES = 6,
	IN_MESSAGE_FIELDS = 2,
	IN_ENUM_VALUES = 2,
	IN_SERVICE_METHODS = 2,
};

enum {
	LABEL_REPEATED = 3,
	TYPE_MESSAGE = 11,
	TYPE_ENUM = 14,
};

static struct schema schema;

// A proto's comment as paragraphs: lines are joined, a line without text separates.
static char *comment_text(const char *comment)
{
	char *result = memory_new(strlen(comment) + 2);
	char *end = result;
	bool gap = false;

	while (*comment) {
		size_t length = strcspn(comment, "\n");
		const char *line = comment;

		comment += length + (comment[length] != 0);
		while (length && isspace((unsigned char)*line)) {
			line++;
			length--;
		}
		while (length && isspace((unsigned char)line[length - 1]))
			length--;
		if (!length) {
			gap = end > result;
			continue;
		}
		if (gap)
			*end++ = '\n', *end++ = '\n';
		else if (end > result)
			*end++ = ' ';
		gap = false;
		memcpy(end, line, length);
		end += length;
	}
	*end = 0;
	return result;
}

// The comment of what the path leads to.
static const char *comment_find(const Sluice__Descriptor__File *file, const int32_t *path,
				size_t length)
{
	const Sluice__Descriptor__SourceInfo *info = file->source_code_info;

	for (size_t i = 0; info && i < info->n_location; i++) {
		const Sluice__Descriptor__Location *location = info->location[i];

		if (location->n_path != length ||
		    memcmp(location->path, path, length * sizeof(*path)) != 0)
			continue;
		return comment_text(*location->leading_comments ? location->leading_comments
								: location->trailing_comments);
	}
	return "";
}

// security_groups becomes securityGroups.
static const char *name_camel(const char *name)
{
	char *result = memory_text(name), *end = result;
	bool upper = false;

	for (; *name; name++) {
		if (*name == '_') {
			upper = true;
			continue;
		}
		*end++ = upper ? (char)toupper((unsigned char)*name) : *name;
		upper = false;
	}
	*end = 0;
	return result;
}

// DIRECTION_INGRESS of Direction becomes ingress; NULL for DIRECTION_UNSPECIFIED.
static const char *value_name(const char *type, const char *value)
{
	char *result;

	// The type's name in capitals, and its words with _ between them.
	for (const char *c = type; *c; c++) {
		if (c > type && isupper((unsigned char)*c) && *value == '_')
			value++;
		if (*value == toupper((unsigned char)*c))
			value++;
	}
	if (*value == '_')
		value++;
	if (strcmp(value, "UNSPECIFIED") == 0)
		return NULL;
	result = memory_text(value);
	for (char *c = result; *c; c++)
		*c = *c == '_' ? '-' : (char)tolower((unsigned char)*c);
	return result;
}

static const char *last_name(const char *type_name)
{
	const char *dot = strrchr(type_name, '.');

	return dot ? dot + 1 : type_name;
}

static const struct schema_enum *enum_of(const char *name)
{
	for (size_t i = 0; i < schema.enum_count; i++)
		if (strcmp(schema.enums[i].name, name) == 0)
			return &schema.enums[i];
	return NULL;
}

const struct schema_message *schema_message(const char *name)
{
	const struct schema *all = schema_get();

	for (size_t i = 0; i < all->message_count; i++)
		if (strcmp(all->messages[i].name, name) == 0)
			return &all->messages[i];
	return NULL;
}

static const char *const scalars[][2] = {
	[1] = {"number", "double"},  [2] = {"number", "float"},	  [3] = {"number", "int64"},
	[4] = {"number", "uint64"},  [5] = {"number", "int32"},	  [6] = {"number", "fixed64"},
	[7] = {"number", "fixed32"}, [8] = {"boolean", "bool"},	  [9] = {"text", "string"},
	[12] = {"bytes", "bytes"},   [13] = {"number", "uint32"}, [17] = {"number", "sint32"},
	[18] = {"number", "sint64"},
};

static void type_fill(struct schema_field *field, const Sluice__Descriptor__Field *from)
{
	field->type = "value";
	field->scalar = "value";
	if (from->type == TYPE_MESSAGE || from->type == TYPE_ENUM) {
		field->type = field->scalar = last_name(from->type_name);
		if (from->type == TYPE_MESSAGE)
			field->message = schema_message(field->type);
		else
			field->values = enum_of(field->type);
	} else if (from->type < sizeof(scalars) / sizeof(*scalars) && scalars[from->type][0]) {
		field->type = scalars[from->type][0];
		field->scalar = scalars[from->type][1];
	}
}

// A map<K, V> is a repeated message that is nested, with the fields key and value.
static const Sluice__Descriptor__Message *map_entry(const Sluice__Descriptor__Message *message,
						    const Sluice__Descriptor__Field *field)
{
	if (field->type != TYPE_MESSAGE || field->label != LABEL_REPEATED)
		return NULL;
	for (size_t i = 0; i < message->n_nested_type; i++)
		if (strcmp(message->nested_type[i]->name, last_name(field->type_name)) == 0 &&
		    message->nested_type[i]->n_field == 2)
			return message->nested_type[i];
	return NULL;
}

static void field_fill(struct schema_field *field, const Sluice__Descriptor__File *file,
		       const Sluice__Descriptor__Message *message, int32_t message_index,
		       int32_t index)
{
	const Sluice__Descriptor__Field *from = message->field[index];
	const Sluice__Descriptor__Message *entry = map_entry(message, from);
	const int32_t path[] = {IN_FILE_MESSAGES, message_index, IN_MESSAGE_FIELDS, index};

	field->name = name_camel(from->name);
	field->wire = from->name;
	field->number = from->number;
	field->text = comment_find(file, path, 4);
	field->map = entry;
	field->list = !entry && from->label == LABEL_REPEATED;
	type_fill(field, entry ? entry->field[1] : from);
	if (from->in_oneof_case == SLUICE__DESCRIPTOR__FIELD__IN_ONEOF_ONEOF_INDEX &&
	    !from->proto3_optional && from->oneof_index < message->n_oneof_decl)
		field->one_of = message->oneof_decl[from->oneof_index]->name;
}

static void enums_fill(const Sluice__Descriptor__File *file)
{
	struct schema_enum *enums = memory_new(file->n_enum_type * sizeof(*enums));

	for (size_t i = 0; i < file->n_enum_type; i++) {
		const Sluice__Descriptor__Enum *from = file->enum_type[i];
		struct schema_value *values = memory_new(from->n_value * sizeof(*values));
		int32_t path[] = {IN_FILE_ENUMS, (int32_t)i, IN_ENUM_VALUES, 0};

		for (size_t v = 0; v < from->n_value; v++) {
			path[3] = (int32_t)v;
			values[v].wire = from->value[v]->name;
			values[v].name = value_name(from->name, values[v].wire);
			values[v].number = from->value[v]->number;
			values[v].text = comment_find(file, path, 4);
		}
		enums[i] = (struct schema_enum){.name = from->name,
						.text = comment_find(file, path, 2),
						.values = values,
						.count = from->n_value};
	}
	schema.enums = enums;
	schema.enum_count = file->n_enum_type;
}

static void messages_fill(const Sluice__Descriptor__File *file)
{
	struct schema_message *messages = memory_new(file->n_message_type * sizeof(*messages));

	// Names first: fields refer to them.
	for (size_t i = 0; i < file->n_message_type; i++) {
		const int32_t path[] = {IN_FILE_MESSAGES, (int32_t)i};

		messages[i].name = file->message_type[i]->name;
		messages[i].text = comment_find(file, path, 2);
	}
	schema.messages = messages;
	schema.message_count = file->n_message_type;
	for (size_t i = 0; i < file->n_message_type; i++) {
		const Sluice__Descriptor__Message *from = file->message_type[i];
		struct schema_field *fields = memory_new(from->n_field * sizeof(*fields));

		for (size_t f = 0; f < from->n_field; f++)
			field_fill(&fields[f], file, from, (int32_t)i, (int32_t)f);
		messages[i].fields = fields;
		messages[i].count = from->n_field;
	}
}

static void methods_fill(const Sluice__Descriptor__File *file)
{
	const Sluice__Descriptor__Service *service = file->n_service ? file->service[0] : NULL;
	struct schema_method *methods =
		memory_new((service ? service->n_method : 0) * sizeof(*methods));

	for (size_t i = 0; service && i < service->n_method; i++) {
		const int32_t path[] = {IN_FILE_SERVICES, 0, IN_SERVICE_METHODS, (int32_t)i};
		const Sluice__Descriptor__Method *from = service->method[i];

		methods[i] = (struct schema_method){
			.name = from->name,
			.text = comment_find(file, path, 4),
			.request = schema_message(last_name(from->input_type)),
			.response = schema_message(last_name(from->output_type)),
			.stream = from->server_streaming,
		};
	}
	schema.methods = methods;
	schema.method_count = service ? service->n_method : 0;
}

const struct schema *schema_get(void)
{
	Sluice__Descriptor__FileSet *set;

	if (schema.messages)
		return &schema;
	set = memory_required(sluice__descriptor__file_set__unpack(NULL, sluice_descriptor_size,
								   sluice_descriptor));
	for (size_t i = 0; i < set->n_file; i++) {
		if (strcmp(set->file[i]->package, "sluice.v1") != 0)
			continue;
		enums_fill(set->file[i]);
		messages_fill(set->file[i]);
		methods_fill(set->file[i]);
	}
	schema.descriptors = set;
	schema.object = memory_required((void *)(uintptr_t)schema_message("Object"));
	return &schema;
}

const struct schema_field *schema_field(const struct schema_message *message, const char *name)
{
	for (size_t i = 0; i < message->count; i++)
		if (strcasecmp(message->fields[i].name, name) == 0 ||
		    strcmp(message->fields[i].wire, name) == 0)
			return &message->fields[i];
	return NULL;
}

char *schema_first_sentence(const char *text)
{
	const char *end = text;

	while (*end && *end != '\n' &&
	       !((*end == '.' || *end == ';' || *end == ':') &&
		 (end[1] == ' ' || !end[1] || end[1] == '\n')))
		end++;
	return memory_required(strndup(text, (size_t)(end - text)));
}

char *schema_type_text(const struct schema_field *field)
{
	char *result = NULL;
	size_t size;
	FILE *file = memory_required(open_memstream(&result, &size));

	if (field->list)
		fputs("list of ", file);
	if (field->map)
		fputs("names, each with ", file);
	if (field->values) {
		const char *separator = "";

		for (size_t i = 0; i < field->values->count; i++) {
			if (!field->values->values[i].name)
				continue;
			fprintf(file, "%s%s", separator, field->values->values[i].name);
			separator = " | ";
		}
	} else {
		fputs(field->type, file);
	}
	fclose(file);
	return memory_required(result);
}
