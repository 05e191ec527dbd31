// Two passes over the same fields: the first one adds up sizes, the second one copies. Structures
// and arrays come first, aligned; texts and bytes follow.

#include "model/message_compact.h"

#include <stdint.h>

#include "model/memory.h"
#include "model/message.h"

struct block {
	char *structures; // NULL while sizes are added up
	size_t structures_used;
	char *bytes;
	size_t bytes_used;
};

static void *structure_take(struct block *block, size_t size)
{
	void *place = block->structures ? block->structures + block->structures_used : NULL;

	block->structures_used +=
		(size + MESSAGE_COMPACT_ALIGNMENT - 1) & ~(size_t)(MESSAGE_COMPACT_ALIGNMENT - 1);
	return place;
}

static void *bytes_copy(struct block *block, const void *data, size_t size)
{
	void *place = NULL;

	if (block->structures && size) {
		place = block->bytes + block->bytes_used;
		memcpy(place, data, size);
	}
	block->bytes_used += size;
	return place;
}

static ProtobufCMessage *message_copy(struct block *block, const ProtobufCMessage *message);

// `to`: the value's place in the copy, which has what the original has; NULL in the first pass.
static void value_copy(struct block *block, const ProtobufCFieldDescriptor *field, const void *from,
		       void *to)
{
	void *copy;

	if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
		copy = message_copy(block, *(ProtobufCMessage *const *)from);
		if (to)
			memcpy(to, &copy, sizeof(copy));
	} else if (field->type == PROTOBUF_C_TYPE_STRING) {
		const char *text = *(char *const *)from;

		// The one that stands for no text is a constant.
		if (!text || text == field->default_value || text == protobuf_c_empty_string)
			return;
		copy = bytes_copy(block, text, strlen(text) + 1);
		if (to)
			memcpy(to, &copy, sizeof(copy));
	} else if (field->type == PROTOBUF_C_TYPE_BYTES) {
		ProtobufCBinaryData data = *(const ProtobufCBinaryData *)from;

		data.data = bytes_copy(block, data.data, data.len);
		if (to)
			memcpy(to, &data, sizeof(data));
	}
}

static void array_copy(struct block *block, const ProtobufCFieldDescriptor *field,
		       const ProtobufCMessage *message, ProtobufCMessage *to)
{
	size_t count = field_count(field, message), size = field_value_size(field);
	char *array = count ? structure_take(block, count * size) : NULL;

	if (array)
		memcpy(array, field_value(field, message, 0), count * size);
	for (size_t i = 0; i < count; i++)
		value_copy(block, field, field_value(field, message, i),
			   array ? array + i * size : NULL);
	if (to)
		memcpy(field_data(field, to), &array, sizeof(array));
}

static void unknown_copy(struct block *block, const ProtobufCMessage *message, ProtobufCMessage *to)
{
	ProtobufCMessageUnknownField *fields;
	size_t count = message->n_unknown_fields;

	if (count == 0)
		return;
	fields = structure_take(block, count * sizeof(*fields));
	if (to) {
		memcpy(fields, message->unknown_fields, count * sizeof(*fields));
		to->unknown_fields = fields;
	}
	for (size_t i = 0; i < count; i++) {
		void *data = bytes_copy(block, message->unknown_fields[i].data,
					message->unknown_fields[i].len);

		if (to)
			fields[i].data = data;
	}
}

static ProtobufCMessage *message_copy(struct block *block, const ProtobufCMessage *message)
{
	const ProtobufCMessageDescriptor *type = message->descriptor;
	ProtobufCMessage *to = structure_take(block, type->sizeof_message);

	if (to)
		memcpy(to, message, type->sizeof_message);
	for (unsigned i = 0; i < type->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &type->fields[i];

		if (field->label == PROTOBUF_C_LABEL_REPEATED)
			array_copy(block, field, message, to);
		else if (field_count(field, message))
			value_copy(block, field, field_data(field, message),
				   to ? field_data(field, to) : NULL);
	}
	unknown_copy(block, message, to);
	return to;
}

void *message_compact(const ProtobufCMessage *message, size_t room)
{
	struct block block = {0};
	size_t structures;
	char *memory;

	message_copy(&block, message);
	structures = room + block.structures_used;
	memory = memory_resize(NULL, structures + block.bytes_used, 1);
	memset(memory, 0, room);
	block = (struct block){
		.structures = memory, .structures_used = room, .bytes = memory + structures};
	message_copy(&block, message);
	return memory;
}
