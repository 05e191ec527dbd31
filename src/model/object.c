// One object of desired state, of whatever kind: the members of the oneof in message Object.

#include "model/object.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "model/kind.h"
#include "model/memory.h"
#include "model/message.h"
#include "model/message_difference.h"

const ProtobufCMessage *object_message(const Sluice__V1__Object *object)
{
	const ProtobufCFieldDescriptor *field =
		protobuf_c_message_descriptor_get_field(object->base.descriptor, object->kind_case);

	return field ? *(ProtobufCMessage *const *)field_data(field, &object->base) : NULL;
}

const char *object_kind_name(const Sluice__V1__Object *object)
{
	const char *name = kind_name(object->kind_case);

	return name ? name : "";
}

const char *object_name(const Sluice__V1__Object *object)
{
	const ProtobufCMessage *message = object_message(object);

	if (!message)
		return "";
	const ProtobufCFieldDescriptor *field =
		protobuf_c_message_descriptor_get_field_by_name(message->descriptor, "name");
	const char *name = field ? *(char *const *)field_data(field, message) : NULL;
	return name ? name : "";
}

static uint8_t *object_pack(const Sluice__V1__Object *object, size_t *size)
{
	uint8_t *data;

	*size = sluice__v1__object__get_packed_size(object);
	if (*size > INT_MAX)
		return NULL;
	data = malloc(*size + 1);
	if (data)
		sluice__v1__object__pack(object, data);
	return data;
}

bool object_equal(const Sluice__V1__Object *a, const Sluice__V1__Object *b)
{
	return message_equal(&a->base, &b->base);
}

Sluice__V1__Object *object_named(Sluice__V1__Object__KindCase kind, const char *name)
{
	const ProtobufCFieldDescriptor *field =
		protobuf_c_message_descriptor_get_field(&sluice__v1__object__descriptor, kind);
	const ProtobufCMessageDescriptor *type = kind_descriptor(kind);
	const ProtobufCFieldDescriptor *name_field =
		protobuf_c_message_descriptor_get_field_by_name(type, "name");
	Sluice__V1__Object *object = memory_new(sizeof(*object));
	ProtobufCMessage *message = memory_new(type->sizeof_message);

	sluice__v1__object__init(object);
	protobuf_c_message_init(type, message);
	object->kind_case = kind;
	memcpy((char *)object + field->offset, &message, sizeof(message));
	*(char **)(void *)((char *)message + name_field->offset) = memory_text(name);
	return object;
}

Sluice__V1__Object *object_copy(const Sluice__V1__Object *object)
{
	size_t size;
	uint8_t *data = object_pack(object, &size);
	Sluice__V1__Object *copy = NULL;

	if (data)
		copy = sluice__v1__object__unpack(NULL, size, data);
	free(data);
	return copy;
}

void object_free(Sluice__V1__Object *object)
{
	if (object)
		sluice__v1__object__free_unpacked(object, NULL);
}
