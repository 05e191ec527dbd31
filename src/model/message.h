// Messages by their descriptors: the names that users see, presence, oneofs and maps.

#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <protobuf-c/protobuf-c.h>

#define FIELD_NAME_SIZE 64

// security_groups is written securityGroups. Returns `text`.
const char *field_name(const ProtobufCFieldDescriptor *field, char text[FIELD_NAME_SIZE]);

// The field that is written `text`, or NULL.
const ProtobufCFieldDescriptor *field_find(const ProtobufCMessageDescriptor *type,
					   const char *text);

// ENCAPSULATION_VXLAN is written vxlan. The value *_UNSPECIFIED is never written: NULL, as for an
// unknown number. Returns `text`.
const char *enum_name(const ProtobufCEnumDescriptor *type, int value, char text[FIELD_NAME_SIZE]);

// Is `text` a value of the enum?
bool enum_find(const ProtobufCEnumDescriptor *type, const char *text, int *value);

// Is the field a map<K, V>? It is then a repeated message with the fields `key` and `value`.
bool field_is_map(const ProtobufCMessageDescriptor *type, const ProtobufCFieldDescriptor *field);

static inline bool field_in_oneof(const ProtobufCFieldDescriptor *field)
{
	return field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF;
}

// Has the oneof of this field other members? One without is a field with presence.
bool field_has_alternatives(const ProtobufCMessageDescriptor *type,
			    const ProtobufCFieldDescriptor *field);

// Where the field's value lies. For repeated fields it is a pointer to an array.
static inline void *field_data(const ProtobufCFieldDescriptor *field,
			       const ProtobufCMessage *message)
{
	return (char *)(uintptr_t)message + field->offset;
}

// Number of values: of a repeated field, or 1 and 0 for one that is there or isn't. A scalar
// without presence is always there.
size_t field_count(const ProtobufCFieldDescriptor *field, const ProtobufCMessage *message);

// Value `index` of the field: pointer to an int, a uint64_t, a char *, a ProtobufCMessage * …
const void *field_value(const ProtobufCFieldDescriptor *field, const ProtobufCMessage *message,
			size_t index);

// Bytes that a value of the type takes in memory.
size_t field_value_size(const ProtobufCFieldDescriptor *field);

// Is the value the one that proto3 leaves out (0, "", false)?
bool field_is_default(const ProtobufCFieldDescriptor *field, const ProtobufCMessage *message);

// The word of `words` that is nearest to `text` by edit distance, or NULL where none is near.
const char *nearest_word(const char *text, const char *const *words, size_t count);
