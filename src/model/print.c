// Messages as JSON and YAML, by descriptors.

#include "model/print.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "model/message.h"
#include "model/object.h"

// Characters that YAML takes for line ends, or not at all: controls, U+2028, U+2029, U+FEFF,
// U+FFFE, U+FFFF. Returns the one at `text` or 0.
static unsigned special_character(const char *text, size_t length)
{
	const unsigned char *bytes = (const unsigned char *)text;
	unsigned c = bytes[0];

	if (length == 2)
		c = (bytes[0] & 0x1fu) << 6 | (bytes[1] & 0x3fu);
	else if (length == 3)
		c = (bytes[0] & 0xfu) << 12 | (bytes[1] & 0x3fu) << 6 | (bytes[2] & 0x3fu);
	else if (length == 4)
		return 0;
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029 || c == 0xfeff ||
			       c >= 0xfffe
		       ? c
		       : 0;
}

static void quoted_print(FILE *file, const char *text)
{
	const char *start = text; // of what is printed as it is

	fputc('"', file);
	while (*text) {
		unsigned char c = (unsigned char)*text;
		size_t length = utf8_length(text);

		if (length && !special_character(text, length) && c != '"' && c != '\\') {
			text += length;
			continue;
		}
		fwrite(start, 1, (size_t)(text - start), file);
		if (c == '"' || c == '\\')
			fprintf(file, "\\%c", c);
		else if (c == '\n')
			fputs("\\n", file);
		else if (c == '\t')
			fputs("\\t", file);
		else if (length)
			fprintf(file, "\\u%04x", special_character(text, length));
		else
			fputs("\xef\xbf\xbd", file); // U+FFFD
		text += length ? length : 1;
		start = text;
	}
	fwrite(start, 1, (size_t)(text - start), file);
	fputc('"', file);
}

// Would a YAML reader of whatever version take the plain text for something other than a string?
static bool looks_typed(const char *text)
{
	static const char *const words[] = {"y",   "n",	   "yes",   "no",  "on",
					    "off", "true", "false", "null"};
	char *end;

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (strcasecmp(text, words[i]) == 0)
			return true;
	if (!isdigit((unsigned char)*text) && *text != '.' && *text != '-' && *text != '+') {
		strtod(text, &end); // inf, nan
		return *end == 0;
	}
	// Numbers, octal ones, those with _ in them, and dates.
	strtod(text, &end);
	if (*end == 0 || strchr(text, '_'))
		return true;
	if (text[0] == '0' && (text[1] == 'o' || text[1] == 'b' || text[1] == 'x'))
		return true;
	return text[strspn(text, "0123456789")] == '-' && strspn(text, "0123456789") == 4;
}

static bool is_plain(const char *text)
{
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/";

	return *text && !text[strspn(text, allowed)] &&
	       (isalnum((unsigned char)*text) || *text == '/') && !looks_typed(text);
}

void string_print(FILE *file, const char *text, enum print_format format)
{
	if (format == PRINT_YAML && is_plain(text))
		fputs(text, file);
	else
		quoted_print(file, text);
}

static void double_print(FILE *file, double value)
{
	char text[400];
	size_t length;

	if (!isfinite(value))
		value = 0;
	length = (size_t)snprintf(text, sizeof(text), "%.2f", value);
	while (length && text[length - 1] == '0')
		length--;
	if (length && text[length - 1] == '.')
		length--;
	text[length] = 0;
	fputs(text, file);
}

static void scalar_print(FILE *file, const ProtobufCFieldDescriptor *field, const void *value,
			 enum print_format format)
{
	char name[FIELD_NAME_SIZE];
	const char *text;

	switch (field->type) {
	case PROTOBUF_C_TYPE_STRING:
		text = *(char *const *)value;
		string_print(file, text ? text : "", format);
		break;
	case PROTOBUF_C_TYPE_BYTES: // as people read packets
		putc('"', file);
		for (size_t i = 0; i < ((const ProtobufCBinaryData *)value)->len; i++)
			fprintf(file, "%02x", ((const ProtobufCBinaryData *)value)->data[i]);
		putc('"', file);
		break;
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
		fprintf(file, "%" PRId32, *(const int32_t *)value);
		break;
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		fprintf(file, "%" PRIu32, *(const uint32_t *)value);
		break;
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
		fprintf(file, "%" PRId64, *(const int64_t *)value);
		break;
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		fprintf(file, "%" PRIu64, *(const uint64_t *)value);
		break;
	case PROTOBUF_C_TYPE_FLOAT:
		double_print(file, (double)*(const float *)value);
		break;
	case PROTOBUF_C_TYPE_DOUBLE:
		double_print(file, *(const double *)value);
		break;
	case PROTOBUF_C_TYPE_BOOL:
		fputs(*(const protobuf_c_boolean *)value ? "true" : "false", file);
		break;
	case PROTOBUF_C_TYPE_ENUM:
		text = enum_name(field->descriptor, *(const int *)value, name);
		string_print(file, text ? text : "", format);
		break;
	default: // bytes have no text
		fputs("\"\"", file);
		break;
	}
}

static bool is_printed(const ProtobufCFieldDescriptor *field, const ProtobufCMessage *message,
		       unsigned flags)
{
	char name[FIELD_NAME_SIZE];

	if (field->type == PROTOBUF_C_TYPE_ENUM && field->label != PROTOBUF_C_LABEL_REPEATED &&
	    field_count(field, message) &&
	    !enum_name(field->descriptor, *(const int *)field_value(field, message, 0), name))
		return false;
	if (!field_is_default(field, message))
		return true;
	return (flags & PRINT_EMPTY) && !field_in_oneof(field) &&
	       (field->type != PROTOBUF_C_TYPE_MESSAGE ||
		field->label == PROTOBUF_C_LABEL_REPEATED);
}

static void indentation(FILE *file, unsigned indent)
{
	static const char spaces[] = "                                ";
	size_t width = indent * 2;

	fwrite(spaces, 1, width < sizeof(spaces) - 1 ? width : sizeof(spaces) - 1, file);
}

// A thing that is printed: fields of a message, elements of a list or of a map.
struct item {
	FILE *file;
	enum print_format format;
	unsigned flags;
	unsigned indent;
	bool any;	   // something was printed at this level
	bool inline_first; // YAML: the first line is indented already, behind "- "
};

// Begins the next entry, with a key or as an element of a list.
static void item_begin(struct item *item, const char *key, bool key_is_field)
{
	if (item->format == PRINT_JSON) {
		fputs(item->any ? ",\n" : "\n", item->file);
		indentation(item->file, item->indent + 1);
		if (key) {
			quoted_print(item->file, key);
			fputs(": ", item->file);
		}
	} else {
		if (item->any || !item->inline_first)
			indentation(item->file, item->indent);
		if (!key)
			fputs("-", item->file);
		else if (key_is_field)
			fprintf(item->file, "%s:", key);
		else {
			string_print(item->file, key, item->format);
			fputs(":", item->file);
		}
	}
	item->any = true;
}

static void fields_print(struct item *item, const ProtobufCMessage *message);

// NULL: there is none to print.
static void kind_print(struct item *item, const char *kind)
{
	if (!kind)
		return;
	item_begin(item, "kind", true);
	if (item->format == PRINT_YAML)
		fprintf(item->file, " %s\n", kind);
	else
		quoted_print(item->file, kind);
}

// The value behind what item_begin printed.
static void submessage_print(struct item *item, const ProtobufCMessage *message, bool in_list)
{
	struct item inner = {.file = item->file,
			     .format = item->format,
			     .flags = item->flags,
			     .indent = item->indent + 1};
	const char *kind = NULL;
	bool any = false;

	if (message->descriptor == &sluice__v1__object__descriptor) {
		const Sluice__V1__Object *object = (const Sluice__V1__Object *)message;

		// As documents have it.
		if (object_message(object)) {
			kind = object_kind_name(object);
			message = object_message(object);
			inner.flags &= ~(unsigned)PRINT_EMPTY;
		}
	}
	any = kind;
	for (unsigned i = 0; i < message->descriptor->n_fields && !any; i++)
		any = is_printed(&message->descriptor->fields[i], message, inner.flags);
	if (item->format == PRINT_JSON) {
		fputc('{', item->file);
		kind_print(&inner, kind);
		fields_print(&inner, message);
		if (any) {
			fputc('\n', item->file);
			indentation(item->file, inner.indent);
		}
		fputc('}', item->file);
	} else if (!any) {
		fputs(" {}\n", item->file);
	} else {
		inner.inline_first = in_list;
		fputs(in_list ? " " : "\n", item->file);
		kind_print(&inner, kind);
		fields_print(&inner, message);
	}
}

static void value_print(struct item *item, const ProtobufCFieldDescriptor *field, const void *value,
			bool in_list)
{
	if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
		submessage_print(item, *(ProtobufCMessage *const *)value, in_list);
		return;
	}
	if (item->format == PRINT_YAML)
		fputc(' ', item->file);
	scalar_print(item->file, field, value, item->format);
	if (item->format == PRINT_YAML)
		fputc('\n', item->file);
}

static void repeated_print(struct item *item, const ProtobufCFieldDescriptor *field,
			   const ProtobufCMessage *message)
{
	bool is_map = field_is_map(message->descriptor, field);
	size_t count = field_count(field, message);
	struct item inner = {.file = item->file,
			     .format = item->format,
			     .flags = item->flags,
			     .indent = item->indent + 1};

	if (count == 0) {
		fprintf(item->file, "%s%s%s", item->format == PRINT_YAML ? " " : "",
			is_map ? "{}" : "[]", item->format == PRINT_YAML ? "\n" : "");
		return;
	}
	fputs(item->format == PRINT_YAML ? "\n" : is_map ? "{" : "[", item->file);
	for (size_t i = 0; i < count; i++) {
		const void *value = field_value(field, message, i);

		if (!is_map) {
			item_begin(&inner, NULL, false);
			value_print(&inner, field, value, true);
			continue;
		}
		const ProtobufCMessage *entry = *(ProtobufCMessage *const *)value;
		const ProtobufCFieldDescriptor *key = &entry->descriptor->fields[0];
		char number[32];
		const char *text = number;

		if (key->type == PROTOBUF_C_TYPE_STRING)
			text = *(char *const *)field_data(key, entry);
		else
			snprintf(number, sizeof(number), "%" PRId64,
				 field_value_size(key) == 8
					 ? *(const int64_t *)field_data(key, entry)
					 : *(const int32_t *)field_data(key, entry));
		item_begin(&inner, text, false);
		value_print(&inner, &entry->descriptor->fields[1],
			    field_data(&entry->descriptor->fields[1], entry), false);
	}
	if (item->format == PRINT_JSON) {
		fputc('\n', item->file);
		indentation(item->file, inner.indent);
		fputc(is_map ? '}' : ']', item->file);
	}
}

static void fields_print(struct item *item, const ProtobufCMessage *message)
{
	const ProtobufCMessageDescriptor *type = message->descriptor;
	char name[FIELD_NAME_SIZE];

	for (unsigned i = 0; i < type->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &type->fields[i];

		if (!is_printed(field, message, item->flags))
			continue;
		item_begin(item, field_name(field, name), true);
		if (field->label == PROTOBUF_C_LABEL_REPEATED)
			repeated_print(item, field, message);
		else
			value_print(item, field, field_value(field, message, 0), false);
	}
}

// `status`: NULL, or what stands behind the fields under this name.
static void top_print(FILE *file, const char *kind, const ProtobufCMessage *message,
		      const ProtobufCMessage *status, enum print_format format, unsigned flags,
		      unsigned indent)
{
	struct item item = {.file = file, .format = format, .flags = flags, .indent = indent};

	if (format == PRINT_JSON)
		fputc('{', file);
	kind_print(&item, kind);
	fields_print(&item, message);
	if (status) {
		item_begin(&item, "status", true);
		submessage_print(&item, status, false);
	}
	if (format == PRINT_JSON) {
		if (item.any) {
			fputc('\n', file);
			indentation(file, indent);
		}
		fputc('}', file);
	} else if (!item.any) {
		fputs("{}\n", file);
	}
}

void message_print(FILE *file, const ProtobufCMessage *message, enum print_format format,
		   unsigned flags, unsigned indent)
{
	top_print(file, NULL, message, NULL, format, flags, indent);
}

void object_print(FILE *file, const Sluice__V1__Object *object,
		  const Sluice__V1__ObjectStatus *status, enum print_format format, unsigned indent)
{
	const ProtobufCMessage *message = object_message(object);

	if (message)
		top_print(file, object_kind_name(object), message, status ? &status->base : NULL,
			  format, 0, indent);
}
