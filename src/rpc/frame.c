// gRPC's framing of messages.

#include "rpc/frame.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "model/memory.h"

// Memory that one message may unpack to.
#define UNPACK_MAX ((size_t)384 << 20)

enum frame_result frame_feed(struct frame_reader *reader, const uint8_t *data, size_t size,
			     size_t limit, size_t *taken)
{
	size_t part = FRAME_HEADER_SIZE - reader->header_used;

	if (part > size)
		part = size;
	memcpy(reader->header + reader->header_used, data, part);
	reader->header_used += part;
	*taken = part;
	if (reader->header_used < FRAME_HEADER_SIZE)
		return FRAME_MORE;
	reader->size = (size_t)reader->header[1] << 24 | (size_t)reader->header[2] << 16 |
		       (size_t)reader->header[3] << 8 | reader->header[4];
	if (reader->header[0])
		return FRAME_COMPRESSED;
	if (reader->size > limit)
		return FRAME_TOO_LARGE;
	part = reader->size - reader->used;
	if (part > size - *taken)
		part = size - *taken;
	if (part) {
		while (reader->used + part > reader->capacity) {
			reader->capacity = reader->capacity ? reader->capacity * 2 : 1024;
			if (reader->capacity > reader->size)
				reader->capacity = reader->size;
			reader->data = memory_resize(reader->data, reader->capacity, 1);
		}
		memcpy(reader->data + reader->used, data + *taken, part);
		reader->used += part;
		*taken += part;
	}
	return reader->used == reader->size ? FRAME_COMPLETE : FRAME_MORE;
}

bool frame_begun(const struct frame_reader *reader)
{
	return reader->header_used > 0;
}

void frame_clear(struct frame_reader *reader)
{
	free(reader->data);
	memset(reader, 0, sizeof(*reader));
}

uint8_t *frame_pack(const ProtobufCMessage *message, size_t *size)
{
	size_t length = protobuf_c_message_get_packed_size(message);
	uint8_t *frame;

	if (length > INT_MAX - FRAME_HEADER_SIZE)
		return NULL;
	frame = memory_new(FRAME_HEADER_SIZE + length);
	frame[1] = (uint8_t)(length >> 24);
	frame[2] = (uint8_t)(length >> 16);
	frame[3] = (uint8_t)(length >> 8);
	frame[4] = (uint8_t)length;
	protobuf_c_message_pack(message, frame + FRAME_HEADER_SIZE);
	*size = FRAME_HEADER_SIZE + length;
	return frame;
}

struct budget {
	size_t left;
	bool exhausted;
};

static void *budget_alloc(void *data, size_t size)
{
	struct budget *budget = data;
	size_t cost = size + 16; // what malloc adds

	if (size > UNPACK_MAX || cost > budget->left) {
		budget->exhausted = true;
		return NULL;
	}
	budget->left -= cost;
	return malloc(size);
}

static void budget_free(void *data, void *pointer)
{
	free(pointer);
}

ProtobufCMessage *frame_unpack(const ProtobufCMessageDescriptor *type, const uint8_t *data,
			       size_t size, bool *exhausted)
{
	struct budget budget = {.left = UNPACK_MAX};
	ProtobufCAllocator allocator = {budget_alloc, budget_free, &budget};
	// It comes from malloc, so that the default allocator frees it.
	ProtobufCMessage *message = protobuf_c_message_unpack(type, &allocator, size, data);

	*exhausted = budget.exhausted;
	return message;
}
