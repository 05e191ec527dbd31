// Parameters of a request. All of them are a stranger's.

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "model/message.h"
#include "page/private.h"

int query_number(const struct http_request *request, const char *name, uint32_t max,
		 uint32_t *number, struct error *err)
{
	const char *text = http_query(request, name);
	unsigned long value;

	if (!*text)
		return 0;
	if (text[strspn(text, "0123456789")] || strlen(text) > 10)
		return error_set(err, "%s: '%.40s' is no number", name, text);
	value = strtoul(text, NULL, 10);
	if (value > max)
		return error_set(err, "%s: %lu is more than %u", name, value, max);
	*number = (uint32_t)value;
	return 0;
}

int query_range(const struct http_request *request, struct query_range *range, struct error *err)
{
	*range = (struct query_range){.offset = 0, .limit = 100};
	if (query_number(request, "offset", UINT32_MAX - PAGE_ROWS_MAX, &range->offset, err) < 0)
		return -1;
	return query_number(request, "limit", PAGE_ROWS_MAX, &range->limit, err);
}

static int boolean_set(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field,
		       const char *name, const char *text, struct error *err)
{
	bool is_true = strcmp(text, "true") == 0;

	if (!is_true && strcmp(text, "false") != 0)
		return error_set(err, "%s: '%.40s' is neither true nor false", name, text);
	*(protobuf_c_boolean *)field_data(field, message) = is_true;
	// Of a oneof: which member it is.
	if (field_in_oneof(field))
		*(int *)((char *)(uintptr_t)message + field->quantifier_offset) = (int)field->id;
	return 0;
}

int query_message(const struct http_request *request, ProtobufCMessage *message, struct error *err)
{
	for (unsigned int i = 0; i < message->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
		char name[FIELD_NAME_SIZE];
		const char *text = http_query(request, field_name(field, name));

		if (!*text || field->label == PROTOBUF_C_LABEL_REPEATED)
			continue;
		if (field->type == PROTOBUF_C_TYPE_STRING)
			*(char **)field_data(field, message) = (char *)(uintptr_t)text;
		else if (field->type == PROTOBUF_C_TYPE_BOOL &&
			 boolean_set(message, field, name, text, err) < 0)
			return -1;
	}
	return 0;
}

bool query_matches(const char *text, const char *part)
{
	return strcasestr(text, part) != NULL;
}
