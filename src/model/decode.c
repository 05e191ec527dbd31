// From trees of nodes to objects, by descriptors: every field is looked at, whatever was wrong with
// those before, and what is right is kept.

#include "model/decode.h"

#include <stdarg.h>
#include <stdio.h>

#include "model/key_map.h"
#include "model/kind.h"
#include "model/memory.h"
#include "model/message.h"
#include "model/object.h"
#include "model/scalar.h"

#define PATH_SIZE 512

struct decoder {
	decode_report *report;
	void *context;
	const char *kind;
	const char *name;
	struct field_lines *lines;
	bool failed;
	char path[PATH_SIZE];
};

static void wrong(struct decoder *decoder, unsigned line, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void wrong(struct decoder *decoder, unsigned line, const char *format, ...)
{
	va_list args;
	char text[512];

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	decoder->failed = true;
	decoder->report(decoder->context, line, decoder->kind, decoder->name, decoder->path, text);
}

// Appends to the path; the caller cuts it back to the length that is returned.
static size_t path_enter(struct decoder *decoder, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static size_t path_enter(struct decoder *decoder, const char *format, ...)
{
	size_t length = strlen(decoder->path);
	va_list args;

	va_start(args, format);
	vsnprintf(decoder->path + length, PATH_SIZE - length, format, args);
	va_end(args);
	return length;
}

static ProtobufCMessage *message_new(const ProtobufCMessageDescriptor *type)
{
	ProtobufCMessage *message = memory_new(type->sizeof_message);

	protobuf_c_message_init(type, message);
	return message;
}

static void message_decode(struct decoder *decoder, const struct yaml_node *node,
			   ProtobufCMessage *message, uint32_t parent, bool is_object);

// Fills the place of one value, of a field or an element. Returns false where nothing was put
// there.
static bool value_decode(struct decoder *decoder, const struct yaml_node *node,
			 const ProtobufCFieldDescriptor *field, void *value, uint32_t place)
{
	struct error err;

	if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
		if (node->kind != YAML_MAPPING) {
			wrong(decoder, node->line, "must be a mapping");
			return false;
		}
		ProtobufCMessage *inner = message_new(field->descriptor);
		*(ProtobufCMessage **)value = inner;
		message_decode(decoder, node, inner, place, false);
		return true;
	}
	if (node->kind != YAML_SCALAR) {
		wrong(decoder, node->line, "must be a single value, not a %s",
		      node->kind == YAML_LIST ? "list" : "mapping");
		return false;
	}
	if (scalar_decode(field, node, value, &err) < 0) {
		wrong(decoder, node->line, "%s", err.text);
		return false;
	}
	return true;
}

static void list_decode(struct decoder *decoder, const struct yaml_node *node,
			const ProtobufCFieldDescriptor *field, ProtobufCMessage *message,
			uint32_t place)
{
	size_t size = field_value_size(field);
	size_t *count = (size_t *)((char *)message + field->quantifier_offset);
	size_t index = 0;

	if (node->kind != YAML_LIST) {
		wrong(decoder, node->line, "must be a list");
		return;
	}
	if (!node->count)
		return;
	char *values = memory_new(node->count * size);
	*(void **)field_data(field, message) = values;
	for (const struct yaml_node *item = node->first; item; item = item->next, index++) {
		size_t length = path_enter(decoder, "[%zu]", index);
		uint32_t element = field_lines_add(decoder->lines, place, NULL, index, item->line);
		void *value = values + *count * size;
		bool there = false;

		if (yaml_is_null(item))
			wrong(decoder, item->line, "is empty");
		else
			there = value_decode(decoder, item, field, value, element);
		// Those behind it keep their places.
		if (!there && field->type == PROTOBUF_C_TYPE_MESSAGE)
			*(ProtobufCMessage **)value = message_new(field->descriptor);
		else if (!there && field->type == PROTOBUF_C_TYPE_STRING)
			*(char **)value = memory_text("");
		++*count;
		decoder->path[length] = 0;
	}
}

static void map_decode(struct decoder *decoder, const struct yaml_node *node,
		       const ProtobufCFieldDescriptor *field, ProtobufCMessage *message,
		       uint32_t place)
{
	const ProtobufCMessageDescriptor *type = field->descriptor;
	size_t *count = (size_t *)((char *)message + field->quantifier_offset);
	struct key_map *keys;

	if (node->kind != YAML_MAPPING) {
		wrong(decoder, node->line, "must be a mapping");
		return;
	}
	if (!node->count)
		return;
	ProtobufCMessage **entries = memory_new(node->count * sizeof(*entries));
	*(void **)field_data(field, message) = entries;
	keys = key_map_new();
	for (const struct yaml_node *item = node->first; item; item = item->next) {
		size_t length = path_enter(decoder, "[%s]", item->key);
		struct yaml_node key = {.kind = YAML_SCALAR,
					.plain = true,
					.line = item->key_line,
					.text = item->key};

		if (key_map_add(keys, item->key, strlen(item->key), item))
			wrong(decoder, item->key_line, "is given twice");
		ProtobufCMessage *entry = message_new(type);
		entries[(*count)++] = entry;
		value_decode(decoder, &key, &type->fields[0], field_data(&type->fields[0], entry),
			     place);
		value_decode(decoder, item, &type->fields[1], field_data(&type->fields[1], entry),
			     place);
		decoder->path[length] = 0;
	}
	key_map_free(keys);
}

// Marks the member of the oneof as the one that is there; false where another is already.
static bool oneof_take(struct decoder *decoder, const struct yaml_node *node,
		       const ProtobufCFieldDescriptor *field, ProtobufCMessage *message)
{
	uint32_t *member = (uint32_t *)((char *)message + field->quantifier_offset);
	char name[FIELD_NAME_SIZE];

	if (!*member)
		return true;
	wrong(decoder, node->key_line, "is given beside %s, only one of them may be",
	      field_name(protobuf_c_message_descriptor_get_field(message->descriptor, *member),
			 name));
	return false;
}

static void field_decode(struct decoder *decoder, const struct yaml_node *node,
			 const ProtobufCFieldDescriptor *field, ProtobufCMessage *message,
			 uint32_t place)
{
	if (field->label == PROTOBUF_C_LABEL_REPEATED) {
		if (field_is_map(message->descriptor, field))
			map_decode(decoder, node, field, message, place);
		else
			list_decode(decoder, node, field, message, place);
		return;
	}
	if (field_in_oneof(field)) {
		if (oneof_take(decoder, node, field, message) &&
		    value_decode(decoder, node, field, field_data(field, message), place))
			*(uint32_t *)((char *)message + field->quantifier_offset) = field->id;
		return;
	}
	if (value_decode(decoder, node, field, field_data(field, message), place) &&
	    field->label == PROTOBUF_C_LABEL_OPTIONAL && field->type != PROTOBUF_C_TYPE_STRING &&
	    field->type != PROTOBUF_C_TYPE_MESSAGE)
		*(protobuf_c_boolean *)((char *)message + field->quantifier_offset) = true;
}

static void unknown_field(struct decoder *decoder, const struct yaml_node *node,
			  const ProtobufCMessageDescriptor *type)
{
	const char *words[64];
	char names[64][FIELD_NAME_SIZE];
	unsigned count = 0;

	for (; count < type->n_fields && count < 64; count++)
		words[count] = field_name(&type->fields[count], names[count]);
	const char *near = nearest_word(node->key, words, count);
	size_t length = path_enter(decoder, "%s%.60s", *decoder->path ? "." : "", node->key);
	if (near)
		wrong(decoder, node->key_line, "unknown field, did you mean '%s'?", near);
	else
		wrong(decoder, node->key_line, "unknown field");
	decoder->path[length] = 0;
	if (!near)
		return;
	// That the one which was meant is missing is no further error.
	length = path_enter(decoder, "%s%s", *decoder->path ? "." : "", near);
	decoder->report(decoder->context, 0, decoder->kind, decoder->name, decoder->path, "");
	decoder->path[length] = 0;
}

static void message_decode(struct decoder *decoder, const struct yaml_node *node,
			   ProtobufCMessage *message, uint32_t parent, bool is_object)
{
	const ProtobufCMessageDescriptor *type = message->descriptor;
	unsigned seen[64] = {0}; // lines
	unsigned kind_seen = 0;

	for (const struct yaml_node *item = node->first; item; item = item->next) {
		const ProtobufCFieldDescriptor *field = field_find(type, item->key);
		size_t length;

		if (is_object && strcmp(item->key, "kind") == 0) {
			if (kind_seen)
				wrong(decoder, item->key_line,
				      "kind is given twice, first in line %u", kind_seen);
			else
				kind_seen = item->key_line;
			continue;
		}
		// What `get` shows beside the object (ObjectStatus) is nobody's wish.
		if (is_object && !field && strcmp(item->key, "status") == 0)
			continue;
		if (!field) {
			unknown_field(decoder, item, type);
			continue;
		}
		size_t number = (size_t)(field - type->fields);
		length = path_enter(decoder, "%s%s", *decoder->path ? "." : "", item->key);
		if (number < 64 && seen[number]) {
			wrong(decoder, item->key_line, "is given twice, first in line %u",
			      seen[number]);
		} else {
			uint32_t place =
				field_lines_add(decoder->lines, parent, field, 0, item->key_line);

			if (!yaml_is_null(item))
				field_decode(decoder, item, field, message, place);
			if (number < 64)
				seen[number] = item->key_line;
		}
		decoder->path[length] = 0;
	}
}

static const struct yaml_node *item_find(const struct yaml_node *node, const char *key)
{
	for (const struct yaml_node *item = node->first; item; item = item->next)
		if (strcmp(item->key, key) == 0)
			return item;
	return NULL;
}

// The kind that the node names, or NOT_SET with an error.
static Sluice__V1__Object__KindCase kind_decode(struct decoder *decoder,
						const struct yaml_node *node)
{
	const struct yaml_node *item = item_find(node, "kind");

	if (!item || yaml_is_null(item)) {
		wrong(decoder, item ? item->line : node->line, "kind: missing");
		return SLUICE__V1__OBJECT__KIND__NOT_SET;
	}
	if (item->kind != YAML_SCALAR) {
		wrong(decoder, item->line, "kind must be a word");
		return SLUICE__V1__OBJECT__KIND__NOT_SET;
	}
	Sluice__V1__Object__KindCase kind = kind_find(item->text);
	if (kind != SLUICE__V1__OBJECT__KIND__NOT_SET && strcmp(kind_name(kind), item->text) == 0) {
		decoder->kind = kind_name(kind);
		return kind;
	}
	const char *near = kind != SLUICE__V1__OBJECT__KIND__NOT_SET ? kind_name(kind)
								     : kind_suggest(item->text);
	if (near)
		wrong(decoder, item->line, "unknown kind '%.60s', did you mean '%s'?", item->text,
		      near);
	else
		wrong(decoder, item->line, "unknown kind '%.60s'", item->text);
	return SLUICE__V1__OBJECT__KIND__NOT_SET;
}

Sluice__V1__Object *object_decode(const struct yaml_node *node, decode_report *report,
				  void *context, struct field_lines **lines, bool *broken)
{
	struct decoder decoder = {.report = report, .context = context, .kind = "", .name = ""};
	const struct yaml_node *name;

	*lines = NULL;
	*broken = true;
	if (node->kind != YAML_MAPPING) {
		wrong(&decoder, node->line,
		      "an object must be a mapping with kind, name and fields");
		return NULL;
	}
	name = item_find(node, "name");
	if (name && name->kind == YAML_SCALAR && !yaml_is_null(name))
		decoder.name = name->text;
	Sluice__V1__Object__KindCase kind = kind_decode(&decoder, node);
	if (kind == SLUICE__V1__OBJECT__KIND__NOT_SET)
		return NULL;
	if (!name || yaml_is_null(name) || (name->kind == YAML_SCALAR && !*name->text))
		wrong(&decoder, name ? name->key_line : node->line, "name: missing");

	Sluice__V1__Object *object = memory_new(sizeof(*object));
	sluice__v1__object__init(object);
	const ProtobufCFieldDescriptor *field =
		protobuf_c_message_descriptor_get_field(object->base.descriptor, (unsigned)kind);
	ProtobufCMessage *message = message_new(field->descriptor);
	*(ProtobufCMessage **)field_data(field, &object->base) = message;
	object->kind_case = kind;
	decoder.lines = field_lines_new();
	message_decode(&decoder, node, message, 0, true);
	// Without a name it can't be told from others.
	if (!*object_name(object)) {
		object_free(object);
		field_lines_free(decoder.lines);
		return NULL;
	}
	*broken = decoder.failed;
	field_lines_trim(decoder.lines);
	*lines = decoder.lines;
	return object;
}
