// Messages by their descriptors.

#include "model/message.h"

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

const char *field_name(const ProtobufCFieldDescriptor *field, char text[FIELD_NAME_SIZE])
{
	size_t length = 0;
	bool upper = false;

	for (const char *c = field->name; *c && length < FIELD_NAME_SIZE - 1; c++) {
		if (*c == '_') {
			upper = true;
			continue;
		}
		text[length++] = upper ? (char)toupper((unsigned char)*c) : *c;
		upper = false;
	}
	text[length] = 0;
	return text;
}

const ProtobufCFieldDescriptor *field_find(const ProtobufCMessageDescriptor *type, const char *text)
{
	char name[FIELD_NAME_SIZE];

	for (unsigned i = 0; i < type->n_fields; i++)
		if (strcmp(field_name(&type->fields[i], name), text) == 0)
			return &type->fields[i];
	return NULL;
}

// Length of what all values of the type begin with: VHOST_USER_MODE_ for VhostUserMode.
static size_t enum_prefix(const ProtobufCEnumDescriptor *type, const char *value)
{
	const char *c = value;

	for (const char *t = type->short_name; *t; t++) {
		if (isupper((unsigned char)*t) && t != type->short_name) {
			if (*c != '_')
				return 0;
			c++;
		}
		if (*c != toupper((unsigned char)*t))
			return 0;
		c++;
	}
	return *c == '_' ? (size_t)(c - value) + 1 : 0;
}

const char *enum_name(const ProtobufCEnumDescriptor *type, int value, char text[FIELD_NAME_SIZE])
{
	const ProtobufCEnumValue *entry = protobuf_c_enum_descriptor_get_value(type, value);
	size_t length = 0;

	if (!entry)
		return NULL;
	const char *name = entry->name + enum_prefix(type, entry->name);
	if (value == 0 && strcmp(name, "UNSPECIFIED") == 0)
		return NULL;
	for (; *name && length < FIELD_NAME_SIZE - 1; name++)
		text[length++] = *name == '_' ? '-' : (char)tolower((unsigned char)*name);
	text[length] = 0;
	return text;
}

bool enum_find(const ProtobufCEnumDescriptor *type, const char *text, int *value)
{
	char name[FIELD_NAME_SIZE];

	for (unsigned i = 0; i < type->n_values; i++) {
		if (enum_name(type, type->values[i].value, name) && strcmp(name, text) == 0) {
			*value = type->values[i].value;
			return true;
		}
	}
	return false;
}

bool field_is_map(const ProtobufCMessageDescriptor *type, const ProtobufCFieldDescriptor *field)
{
	char expected[256];
	size_t length;
	bool upper = true;

	if (field->label != PROTOBUF_C_LABEL_REPEATED || field->type != PROTOBUF_C_TYPE_MESSAGE)
		return false;
	const ProtobufCMessageDescriptor *entry = field->descriptor;
	if (entry->n_fields != 2 || strcmp(entry->fields[0].name, "key") != 0 ||
	    strcmp(entry->fields[1].name, "value") != 0)
		return false;
	// protoc names the entry of `drops` in PortStats PortStats.DropsEntry; nobody else may.
	length = (size_t)snprintf(expected, sizeof(expected), "%s.", type->name);
	for (const char *c = field->name; *c && length < sizeof(expected) - 8; c++) {
		if (*c == '_')
			upper = true;
		else {
			expected[length++] = upper ? (char)toupper((unsigned char)*c) : *c;
			upper = false;
		}
	}
	if (length >= sizeof(expected) - 8)
		return false;
	memcpy(expected + length, "Entry", sizeof("Entry"));
	return strcmp(entry->name, expected) == 0;
}

bool field_has_alternatives(const ProtobufCMessageDescriptor *type,
			    const ProtobufCFieldDescriptor *field)
{
	if (!field_in_oneof(field))
		return false;
	for (unsigned i = 0; i < type->n_fields; i++) {
		const ProtobufCFieldDescriptor *other = &type->fields[i];

		if (other != field && field_in_oneof(other) &&
		    other->quantifier_offset == field->quantifier_offset)
			return true;
	}
	return false;
}

size_t field_value_size(const ProtobufCFieldDescriptor *field)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		return sizeof(uint64_t);
	case PROTOBUF_C_TYPE_DOUBLE:
		return sizeof(double);
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	case PROTOBUF_C_TYPE_BOOL:
		return sizeof(protobuf_c_boolean);
	default:
		return sizeof(uint32_t);
	}
}

size_t field_count(const ProtobufCFieldDescriptor *field, const ProtobufCMessage *message)
{
	const char *base = (const char *)message;

	if (field->label == PROTOBUF_C_LABEL_REPEATED)
		return *(const size_t *)(base + field->quantifier_offset);
	if (field_in_oneof(field))
		return *(const uint32_t *)(base + field->quantifier_offset) == field->id;
	if (field->type == PROTOBUF_C_TYPE_MESSAGE)
		return *(void *const *)(base + field->offset) != NULL;
	if (field->label == PROTOBUF_C_LABEL_OPTIONAL && field->type != PROTOBUF_C_TYPE_STRING)
		return *(const protobuf_c_boolean *)(base + field->quantifier_offset) != 0;
	return 1;
}

const void *field_value(const ProtobufCFieldDescriptor *field, const ProtobufCMessage *message,
			size_t index)
{
	const void *data = field_data(field, message);

	if (field->label != PROTOBUF_C_LABEL_REPEATED)
		return data;
	return *(const char *const *)data + index * field_value_size(field);
}

bool field_is_default(const ProtobufCFieldDescriptor *field, const ProtobufCMessage *message)
{
	static const char zero[sizeof(ProtobufCBinaryData)];

	if (field_count(field, message) == 0)
		return true;
	if (field->label == PROTOBUF_C_LABEL_REPEATED || field_in_oneof(field) ||
	    field->type == PROTOBUF_C_TYPE_MESSAGE)
		return false;
	const void *value = field_value(field, message, 0);
	if (field->type == PROTOBUF_C_TYPE_STRING) {
		const char *text = *(char *const *)value;

		return !text || !*text;
	}
	if (field->type == PROTOBUF_C_TYPE_BYTES)
		return ((const ProtobufCBinaryData *)value)->len == 0;
	return memcmp(value, zero, field_value_size(field)) == 0;
}

static unsigned smaller(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

// Letters to insert, to remove, to replace, or to swap with the next one. Both words are shorter
// than FIELD_NAME_SIZE.
static unsigned edit_distance(const char *a, const char *b)
{
	unsigned rows[3][FIELD_NAME_SIZE +
			 1]; // of the letters before the last, the last, and this one
	size_t width = strlen(b);

	for (size_t j = 0; j <= width; j++)
		rows[0][j] = (unsigned)j;
	for (size_t i = 1; a[i - 1]; i++) {
		unsigned *row = rows[i % 3], *last = rows[(i - 1) % 3], *before = rows[(i + 1) % 3];
		int letter = tolower((unsigned char)a[i - 1]);

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= width; j++) {
			int other = tolower((unsigned char)b[j - 1]);

			row[j] = smaller(smaller(last[j], row[j - 1]) + 1,
					 last[j - 1] + (letter != other));
			if (i > 1 && j > 1 && letter == tolower((unsigned char)b[j - 2]) &&
			    other == tolower((unsigned char)a[i - 2]))
				row[j] = smaller(row[j], before[j - 2] + 1);
		}
	}
	return rows[strlen(a) % 3][width];
}

const char *nearest_word(const char *text, const char *const *words, size_t count)
{
	const char *best = NULL;
	size_t length = strlen(text);
	unsigned best_distance = 0;

	if (length >= FIELD_NAME_SIZE)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		if (strlen(words[i]) >= FIELD_NAME_SIZE)
			continue;
		unsigned distance = edit_distance(text, words[i]);

		// A third of the letters may differ.
		if (distance > 1 && distance * 3 > length)
			continue;
		if (distance >= length || (best && distance >= best_distance))
			continue;
		best = words[i];
		best_distance = distance;
	}
	return best;
}
