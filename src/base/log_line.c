#include "base/log_line.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

#define VALUE_MAX 1024 // bytes of one value as written
#define CUT	  "\u2026"
#define UNKNOWN	  "\ufffd"

// What ends a value and the line: quotes, a brace, the line end.
#define TAIL 8

struct writer {
	char *line;
	size_t length;
	bool json;
};

static const char *const level_names[] = {"error", "warning", "info", "debug"};
// As in syslog(3).
static const int level_priorities[] = {3, 4, 6, 7};

static void put(struct writer *writer, const char *text, size_t length)
{
	memcpy(writer->line + writer->length, text, length);
	writer->length += length;
}

static void put_text(struct writer *writer, const char *text)
{
	put(writer, text, strlen(text));
}

static uint32_t code_point(const char *text, size_t length)
{
	const unsigned char *bytes = (const unsigned char *)text;
	uint32_t code = length == 1 ? bytes[0] : bytes[0] & (0x7fu >> length);

	for (size_t i = 1; i < length; i++)
		code = code << 6 | (bytes[i] & 0x3f);
	return code;
}

// Does something other than be seen in its place: control characters of terminals, line ends, marks
// that turn the direction of what follows.
static bool is_disguise(uint32_t code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x61c ||
	       (code >= 0x200b && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) ||
	       (code >= 0x2060 && code <= 0x206f) || code == 0xfeff;
}

// One character of a quoted value. Returns how many bytes of `text` it was.
static size_t character_escape(const char *text, char escaped[8])
{
	size_t length = utf8_length(text);
	uint32_t code;

	if (length == 0) {
		strcpy(escaped, UNKNOWN);
		return 1;
	}
	code = code_point(text, length);
	if (code == '"' || code == '\\')
		snprintf(escaped, 8, "\\%c", (char)code);
	else if (code == '\n')
		strcpy(escaped, "\\n");
	else if (code == '\t')
		strcpy(escaped, "\\t");
	else if (is_disguise(code))
		snprintf(escaped, 8, "\\u%04x", (unsigned)code & 0xffff);
	else
		snprintf(escaped, 8, "%.*s", (int)length, text);
	return length;
}

// Can it stand without quotes?
static bool is_plain(const char *text)
{
	if (!*text || strlen(text) > VALUE_MAX)
		return false;
	for (const unsigned char *c = (const unsigned char *)text; *c; c++)
		if (*c <= ' ' || *c >= 0x7f || strchr("\"=\\", *c))
			return false;
	return true;
}

static void put_quoted(struct writer *writer, const char *text)
{
	size_t end = writer->length + VALUE_MAX;

	if (end > LOG_LINE_SIZE - TAIL - sizeof(CUT))
		end = LOG_LINE_SIZE - TAIL - sizeof(CUT);
	put_text(writer, "\"");
	while (*text) {
		char escaped[8];
		size_t taken = character_escape(text, escaped);

		if (writer->length + strlen(escaped) > end) {
			put_text(writer, CUT);
			break;
		}
		put_text(writer, escaped);
		text += taken;
	}
	put_text(writer, "\"");
}

// False: there is no room for more.
static bool put_field(struct writer *writer, const struct log_field *field)
{
	char number[24];

	if (writer->length + strlen(field->key) + 40 > LOG_LINE_SIZE - TAIL - sizeof(CUT))
		return false;
	if (writer->json) {
		put_text(writer, writer->length > 1 && writer->line[writer->length - 1] != '{'
					 ? ",\""
					 : "\"");
		put_text(writer, field->key);
		put_text(writer, "\":");
	} else {
		put_text(writer, " ");
		put_text(writer, field->key);
		put_text(writer, "=");
	}
	if (!field->text) {
		snprintf(number, sizeof(number), "%" PRIu64, field->number);
		put_text(writer, number);
	} else if (!writer->json && is_plain(field->text) &&
		   writer->length + strlen(field->text) < LOG_LINE_SIZE - TAIL - sizeof(CUT)) {
		put_text(writer, field->text);
	} else {
		put_quoted(writer, field->text);
	}
	return true;
}

// The message is of the program's own, and short.
static void put_head(struct writer *writer, const struct log_head *head, const char *message)
{
	const struct log_field fields[] = {
		log_text("time", head->time),
		log_text("level", level_names[head->level]),
		log_text("message", message),
	};

	if (head->journal)
		writer->length = (size_t)snprintf(writer->line, LOG_LINE_SIZE, "<%d>",
						  level_priorities[head->level]);
	if (writer->json) {
		put_text(writer, "{");
		for (size_t i = head->time ? 0 : 1; i < sizeof(fields) / sizeof(fields[0]); i++)
			put_field(writer, &fields[i]);
		return;
	}
	writer->length +=
		(size_t)snprintf(writer->line + writer->length, LOG_LINE_SIZE / 2, "%s%s%s %s",
				 head->time ? head->time : "", head->time ? " " : "",
				 level_names[head->level], message);
	if (writer->length >= LOG_LINE_SIZE / 2)
		writer->length = LOG_LINE_SIZE / 2 - 1;
}

size_t log_line(enum log_format format, const struct log_head *head, const struct log_field *fields,
		char line[LOG_LINE_SIZE])
{
	struct writer writer = {.line = line, .json = format == LOG_FORMAT_JSON};

	put_head(&writer, head, fields->text);
	for (fields++; fields->key; fields++)
		if ((!fields->text || *fields->text) && !put_field(&writer, fields))
			break;
	put_text(&writer, writer.json ? "}\n" : "\n");
	return writer.length;
}
