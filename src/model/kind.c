// The kinds of objects: the members of the oneof in message Object.

#include "model/kind.h"

#include <ctype.h>
#include <string.h>

#include "model/message.h"

static const ProtobufCMessageDescriptor *const objects = &sluice__v1__object__descriptor;

const ProtobufCMessageDescriptor *kind_descriptor(Sluice__V1__Object__KindCase kind)
{
	const ProtobufCFieldDescriptor *field =
		protobuf_c_message_descriptor_get_field(objects, (unsigned)kind);

	return field ? field->descriptor : NULL;
}

const char *kind_name(Sluice__V1__Object__KindCase kind)
{
	const ProtobufCMessageDescriptor *type = kind_descriptor(kind);

	return type ? type->short_name : NULL;
}

Sluice__V1__Object__KindCase kind_at(size_t index)
{
	return index < objects->n_fields ? (Sluice__V1__Object__KindCase)objects->fields[index].id
					 : SLUICE__V1__OBJECT__KIND__NOT_SET;
}

// What remains of `text` without - and _ in lower case; false where it is too long to be a kind.
static bool normalise(const char *text, char result[FIELD_NAME_SIZE])
{
	size_t length = 0;

	for (; *text; text++) {
		if (*text == '-' || *text == '_')
			continue;
		if (length == FIELD_NAME_SIZE - 1)
			return false;
		result[length++] = (char)tolower((unsigned char)*text);
	}
	result[length] = 0;
	return true;
}

static bool is_plural(const char *text, const char *singular)
{
	size_t length = strlen(singular);

	if (length == 0)
		return false;
	if (strncmp(text, singular, length) == 0 &&
	    (strcmp(text + length, "s") == 0 || strcmp(text + length, "es") == 0))
		return true;
	return singular[length - 1] == 'y' && strncmp(text, singular, length - 1) == 0 &&
	       strcmp(text + length - 1, "ies") == 0;
}

Sluice__V1__Object__KindCase kind_find(const char *text)
{
	char wanted[FIELD_NAME_SIZE];
	char name[FIELD_NAME_SIZE];

	if (!normalise(text, wanted))
		return SLUICE__V1__OBJECT__KIND__NOT_SET;
	for (size_t i = 0; i < objects->n_fields; i++) {
		if (!normalise(kind_name(kind_at(i)), name))
			continue;
		if (strcmp(wanted, name) == 0 || is_plural(wanted, name))
			return kind_at(i);
	}
	return SLUICE__V1__OBJECT__KIND__NOT_SET;
}

const char *kind_suggest(const char *text)
{
	const char *words[KIND_MAX];
	size_t count = 0;

	for (size_t i = 0; i < objects->n_fields && count < KIND_MAX; i++)
		words[count++] = kind_name(kind_at(i));
	return nearest_word(text, words, count);
}
