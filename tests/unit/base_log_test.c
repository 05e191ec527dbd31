// Lines of the log: what comes from outside stays a value.

#include "test.h"

#include "base/log_line.h"

#define TIME "2026-11-21T12:00:00.123Z"

static const struct log_head head = {.time = TIME, .level = LOG_LEVEL_INFO};

// The line without its end, which must be its only one.
static const char *line_of(enum log_format format, const struct log_head *at,
			   const struct log_field *fields)
{
	static char line[LOG_LINE_SIZE + 1];
	size_t length = log_line(format, at, fields, line);

	assert_true(length >= 1 && length <= LOG_LINE_SIZE);
	assert_int_equal(line[length - 1], '\n');
	line[length - 1] = 0;
	assert_int_equal(strlen(line), length - 1);
	assert_null(strchr(line, '\n'));
	return line;
}

#define LINE(format, at, ...)                                                               \
	line_of(format, at,                                                                 \
		(const struct log_field[]){log_text("message", "port opened"), __VA_ARGS__, \
					   (struct log_field){.key = NULL}})

static void test_forms(void **state)
{
	struct log_head journal = {.level = LOG_LEVEL_WARNING, .journal = true};

	assert_string_equal(LINE(LOG_FORMAT_TEXT, &head, log_text("port", "web-1"),
				 log_number("revision", UINT64_MAX)),
			    TIME " info port opened port=web-1 revision=18446744073709551615");
	assert_string_equal(
		LINE(LOG_FORMAT_JSON, &head, log_text("port", "web-1"), log_number("revision", 7)),
		"{\"time\":\"" TIME "\",\"level\":\"info\",\"message\":\"port opened\","
		"\"port\":\"web-1\",\"revision\":7}");
	assert_string_equal(LINE(LOG_FORMAT_TEXT, &journal, log_text("port", "web-1")),
			    "<4>warning port opened port=web-1");
	assert_string_equal(LINE(LOG_FORMAT_JSON, &journal, log_text("port", "web-1")),
			    "<4>{\"level\":\"warning\",\"message\":\"port opened\","
			    "\"port\":\"web-1\"}");
	// What has nothing to say is not there.
	assert_string_equal(LINE(LOG_FORMAT_TEXT, &head, log_text("port", ""), log_text("a", NULL),
				 log_text("b", "c")),
			    TIME " info port opened b=c");
}

static void test_values(void **state)
{
	static const struct {
		const char *value, *text, *json; // both without what is around them
	} cases[] = {
		{"web-1", "web-1", "\"web-1\""},
		{"unix:/run/a.sock,x+y@z[1]", "unix:/run/a.sock,x+y@z[1]",
		 "\"unix:/run/a.sock,x+y@z[1]\""},
		{"two words", "\"two words\"", "\"two words\""},
		{"a=b", "\"a=b\"", "\"a=b\""},
		{"say \"no\"", "\"say \\\"no\\\"\"", "\"say \\\"no\\\"\""},
		{"back\\slash", "\"back\\\\slash\"", "\"back\\\\slash\""},
		{"x\n2026-01-01T00:00:00.000Z info port closed",
		 "\"x\\n2026-01-01T00:00:00.000Z info port closed\"",
		 "\"x\\n2026-01-01T00:00:00.000Z info port closed\""},
		{"\r\t\x1b[2J\x7f", "\"\\u000d\\t\\u001b[2J\\u007f\"",
		 "\"\\u000d\\t\\u001b[2J\\u007f\""},
		{"grün 網", "\"grün 網\"", "\"grün 網\""},
		{"\xc2\x9b"
		 "31m",
		 "\"\\u009b31m\"", "\"\\u009b31m\""},
		{"a\u202eb\u2028c\ufeff", "\"a\\u202eb\\u2028c\\ufeff\"",
		 "\"a\\u202eb\\u2028c\\ufeff\""},
		// No UTF-8: a byte alone, one cut short, an overlong form, a surrogate.
		{"a\xff", "\"a\ufffd\"", "\"a\ufffd\""},
		{"a\xe2\x82", "\"a\ufffd\ufffd\"", "\"a\ufffd\ufffd\""},
		{"\xc0\x8a", "\"\ufffd\ufffd\"", "\"\ufffd\ufffd\""},
		{"\xed\xa0\x80", "\"\ufffd\ufffd\ufffd\"", "\"\ufffd\ufffd\ufffd\""},
		{"\U0001f600", "\"\U0001f600\"", "\"\U0001f600\""},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char expected[512];

		snprintf(expected, sizeof(expected), TIME " info port opened name=%s last=1",
			 cases[i].text);
		assert_string_equal(LINE(LOG_FORMAT_TEXT, &head, log_text("name", cases[i].value),
					 log_number("last", 1)),
				    expected);
		snprintf(expected, sizeof(expected),
			 "{\"time\":\"" TIME "\",\"level\":\"info\",\"message\":\"port opened\","
			 "\"name\":%s,\"last\":1}",
			 cases[i].json);
		assert_string_equal(LINE(LOG_FORMAT_JSON, &head, log_text("name", cases[i].value),
					 log_number("last", 1)),
				    expected);
	}
}

// Quotes outside of escapes.
static unsigned int quotes(const char *line)
{
	unsigned int count = 0;

	for (; *line; line++) {
		if (*line == '\\' && line[1])
			line++;
		else
			count += *line == '"';
	}
	return count;
}

// Whatever is in a value, and however much of it: one line that is closed.
static void test_any_value(void **state)
{
	static const char pieces[][5] = {"a", "\"",   "\\",	"\n",	  "\x1b", "=",
					 " ", "\xff", "\u20ac", "\u202e", "\xe2", "}"};
	struct random random = {.state = 4};

	for (unsigned int round = 0; round < 3000; round++) {
		struct log_field fields[12] = {log_text("message", "anything")};
		static char values[10][3000];
		unsigned int count = 1 + random_below(&random, 10);

		for (unsigned int i = 0; i < count; i++) {
			uint32_t limit = random_below(&random, 4) ? 40 : sizeof(values[i]) - 5;
			size_t length = 0;

			values[i][0] = 0;
			while (length < limit) {
				strcpy(values[i] + length,
				       pieces[random_below(&random,
							   sizeof(pieces) / sizeof(pieces[0]))]);
				length += strlen(values[i] + length);
				if (!random_below(&random, 40))
					break;
			}
			fields[i + 1] = log_text("key", values[i]);
		}
		assert_int_equal(quotes(line_of(LOG_FORMAT_TEXT, &head, fields)) % 2, 0);
		const char *json = line_of(LOG_FORMAT_JSON, &head, fields);
		assert_int_equal(quotes(json) % 2, 0);
		assert_int_equal(json[strlen(json) - 1], '}');
	}
}

static void test_long_values(void **state)
{
	static char value[8000];
	const char *line;

	memset(value, 'x', sizeof(value) - 1);
	line = LINE(LOG_FORMAT_TEXT, &head, log_text("name", value), log_text("port", "web-1"));
	assert_non_null(strstr(line, "xx…\" port=web-1"));
	line = LINE(LOG_FORMAT_JSON, &head, log_text("a", value), log_text("b", value),
		    log_text("c", value), log_text("d", value), log_text("e", value));
	assert_null(strstr(line, "\"e\":"));
	assert_string_equal(line + strlen(line) - 5, "…\"}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_any_value),
		cmocka_unit_test(test_long_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
