#include "model/message_difference.h"

#include <stdio.h>
#include <string.h>

#include "model/message.h"

static bool bytes_equal(const ProtobufCBinaryData *a, const ProtobufCBinaryData *b)
{
	return a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

static bool text_equal(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "") == 0;
}

static bool value_equal(const ProtobufCFieldDescriptor *field, const void *a, const void *b)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_STRING:
		return text_equal(*(char *const *)a, *(char *const *)b);
	case PROTOBUF_C_TYPE_BYTES:
		return bytes_equal(a, b);
	case PROTOBUF_C_TYPE_MESSAGE:
		return message_equal(*(ProtobufCMessage *const *)a, *(ProtobufCMessage *const *)b);
	default:
		return memcmp(a, b, field_value_size(field)) == 0;
	}
}

static bool field_equal(const ProtobufCFieldDescriptor *field, const ProtobufCMessage *a,
			const ProtobufCMessage *b)
{
	size_t count = field_count(field, a);

	if (field_count(field, b) != count)
		return false;
	for (size_t i = 0; i < count; i++)
		if (!value_equal(field, field_value(field, a, i), field_value(field, b, i)))
			return false;
	return true;
}

static bool unknown_equal(const ProtobufCMessage *a, const ProtobufCMessage *b)
{
	if (a->n_unknown_fields != b->n_unknown_fields)
		return false;
	for (unsigned i = 0; i < a->n_unknown_fields; i++) {
		const ProtobufCMessageUnknownField *x = &a->unknown_fields[i];
		const ProtobufCMessageUnknownField *y = &b->unknown_fields[i];

		if (x->tag != y->tag || x->wire_type != y->wire_type || x->len != y->len ||
		    memcmp(x->data, y->data, x->len) != 0)
			return false;
	}
	return true;
}

bool message_equal(const ProtobufCMessage *a, const ProtobufCMessage *b)
{
	if (a == b)
		return true;
	if (a->descriptor != b->descriptor)
		return false;
	for (unsigned i = 0; i < a->descriptor->n_fields; i++)
		if (!field_equal(&a->descriptor->fields[i], a, b))
			return false;
	return unknown_equal(a, b);
}

const char *message_difference(const ProtobufCMessage *a, const ProtobufCMessage *b, char *text,
			       size_t size)
{
	const ProtobufCMessageDescriptor *type = a->descriptor;
	size_t length = 0;

	text[0] = 0;
	for (unsigned i = 0; i < type->n_fields; i++) {
		char name[FIELD_NAME_SIZE];

		if (field_equal(&type->fields[i], a, b))
			continue;
		field_name(&type->fields[i], name);
		// With room for what stands for the others.
		if (length + strlen(name) + sizeof(",,…") > size) {
			snprintf(text + length, size - length, "%s…", length ? "," : "");
			break;
		}
		length += (size_t)snprintf(text + length, size - length, "%s%s", length ? "," : "",
					   name);
	}
	return text;
}
