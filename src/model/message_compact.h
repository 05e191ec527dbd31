// A message in one block of memory: for objects that stay, of which there are many.

#pragma once

#include <stddef.h>

#include <protobuf-c/protobuf-c.h>

// A copy with everything that belongs to it, behind `room` bytes for the caller (a multiple of
// MESSAGE_COMPACT_ALIGNMENT, zeroed). One free() of the block frees it. It may be read and packed
// as any message, and never be given to free_unpacked or be changed.
void *message_compact(const ProtobufCMessage *message, size_t room);

#define MESSAGE_COMPACT_ALIGNMENT 8
