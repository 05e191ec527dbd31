// gRPC's framing of messages: a flag byte, the length in four bytes, the packed message.

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#define FRAME_HEADER_SIZE 5

// Puts together one message after the other from pieces of any size. Starts as {0}.
struct frame_reader {
	uint8_t header[FRAME_HEADER_SIZE];
	size_t header_used;
	uint8_t *data;
	size_t size; // as the header says
	size_t used;
	size_t capacity;
};

enum frame_result {
	FRAME_MORE,	  // the message is not complete yet
	FRAME_COMPLETE,	  // data and size are the message, until frame_clear
	FRAME_COMPRESSED, // it is compressed, which nobody agreed to
	FRAME_TOO_LARGE,  // longer than `limit`
};

// `*taken` says how many bytes were used; memory grows with what arrives, not with what the header
// says.
enum frame_result frame_feed(struct frame_reader *reader, const uint8_t *data, size_t size,
			     size_t limit, size_t *taken);

// Has a message begun that is not complete?
bool frame_begun(const struct frame_reader *reader);

void frame_clear(struct frame_reader *reader);

// The message with its header, to be freed; NULL where it is larger than 2 GiB.
uint8_t *frame_pack(const ProtobufCMessage *message, size_t *size);

// Unpacks with a bound on memory, for small messages can stand for large structures. NULL where the
// data is no such message, or (*exhausted) needs more.
ProtobufCMessage *frame_unpack(const ProtobufCMessageDescriptor *type, const uint8_t *data,
			       size_t size, bool *exhausted);
