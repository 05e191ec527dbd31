// Scalars of messages from text: numbers in their range, enums by name, strings as they are.

#include "model/scalar.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>

#include "model/memory.h"
#include "model/message.h"

// The beginning of a text, for messages.
#define SHOWN "%.60s"

#define ENUM_VALUES_MAX 16

static int unsigned_decode(const char *text, uint64_t max, uint64_t *value, struct error *err)
{
	char *end;

	errno = 0;
	unsigned long long number = strtoull(text, &end, 10);
	bool digits = *text && text[strspn(text, "0123456789")] == 0;
	bool negative = *text == '-' && text[1] && text[1 + strspn(text + 1, "0123456789")] == 0;
	if (!digits && !negative)
		return error_set(err, "must be a whole number, not '" SHOWN "'", text);
	if (negative || errno || number > max)
		return error_set(err, SHOWN " is out of range", text);
	*value = number;
	return 0;
}

static int signed_decode(const char *text, int64_t min, int64_t max, int64_t *value,
			 struct error *err)
{
	const char *digits = text + (*text == '-');
	char *end;

	errno = 0;
	long long number = strtoll(text, &end, 10);
	if (!*digits || digits[strspn(digits, "0123456789")])
		return error_set(err, "must be a whole number, not '" SHOWN "'", text);
	if (errno || number < min || number > max)
		return error_set(err, SHOWN " is out of range", text);
	*value = number;
	return 0;
}

static int double_decode(const char *text, double *value, struct error *err)
{
	char *end;

	if (!*text || text[strspn(text, "0123456789.+-eE")])
		return error_set(err, "must be a number, not '" SHOWN "'", text);
	*value = strtod(text, &end);
	if (*end)
		return error_set(err, "must be a number, not '" SHOWN "'", text);
	if (!isfinite(*value))
		return error_set(err, SHOWN " is out of range", text);
	return 0;
}

static int enum_decode(const ProtobufCEnumDescriptor *type, const char *text, int *value,
		       struct error *err)
{
	const char *words[ENUM_VALUES_MAX];
	char known[ENUM_VALUES_MAX][FIELD_NAME_SIZE];
	char names[256] = "";
	size_t length = 0, count = 0;

	if (enum_find(type, text, value))
		return 0;
	for (unsigned i = 0; i < type->n_values && count < ENUM_VALUES_MAX; i++)
		if (enum_name(type, type->values[i].value, known[count])) {
			words[count] = known[count];
			count++;
		}
	for (size_t i = 0; i < count && length < sizeof(names); i++)
		length += (size_t)snprintf(names + length, sizeof(names) - length, "%s%s",
					   !i		    ? ""
					   : i + 1 == count ? " or "
							    : ", ",
					   words[i]);
	const char *near = nearest_word(text, words, count);
	if (near)
		return error_set(err, "must be %s, not '" SHOWN "', did you mean '%s'?", names,
				 text, near);
	return error_set(err, "must be %s, not '" SHOWN "'", names, text);
}

int scalar_decode(const ProtobufCFieldDescriptor *field, const struct yaml_node *node, void *value,
		  struct error *err)
{
	const char *text = node->text;
	uint64_t natural;
	int64_t integer;

	switch (field->type) {
	case PROTOBUF_C_TYPE_STRING:
		*(char **)value = memory_text(text);
		return 0;
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		if (unsigned_decode(text, UINT32_MAX, &natural, err) < 0)
			return -1;
		*(uint32_t *)value = (uint32_t)natural;
		return 0;
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		return unsigned_decode(text, UINT64_MAX, value, err);
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
		if (signed_decode(text, INT32_MIN, INT32_MAX, &integer, err) < 0)
			return -1;
		*(int32_t *)value = (int32_t)integer;
		return 0;
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
		return signed_decode(text, INT64_MIN, INT64_MAX, value, err);
	case PROTOBUF_C_TYPE_DOUBLE:
		return double_decode(text, value, err);
	case PROTOBUF_C_TYPE_ENUM:
		return enum_decode(field->descriptor, text, value, err);
	case PROTOBUF_C_TYPE_BOOL:
		if (!node->plain || (strcmp(text, "true") != 0 && strcmp(text, "false") != 0))
			return error_set(err, "must be true or false, not '" SHOWN "'", text);
		*(protobuf_c_boolean *)value = *text == 't';
		return 0;
	default:
		return error_set(err, "cannot be written as text");
	}
}
