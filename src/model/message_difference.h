// In what two messages of one type differ.

#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <protobuf-c/protobuf-c.h>

// Are they the same in every field, those that this version does not know too? As on the wire: an
// empty text is one that is not there.
bool message_equal(const ProtobufCMessage *a, const ProtobufCMessage *b);

// Names of the fields that differ, as "mac,addresses". What has no room is "…". Returns `text`.
const char *message_difference(const ProtobufCMessage *a, const ProtobufCMessage *b, char *text,
			       size_t size);
