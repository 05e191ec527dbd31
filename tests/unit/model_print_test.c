// Objects as YAML and JSON: what is printed is read again, and is the same.

#include "model_everything.h"

#include <unistd.h>

#include "model/print.h"

static char *objects_text(const struct document *document, enum print_format format)
{
	char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	if (format == PRINT_JSON)
		fputs("[", file);
	for (size_t i = 0; i < document->count; i++) {
		fputs(format == PRINT_YAML ? "---\n" : i ? "," : "", file);
		object_print(file, document->objects[i].object, NULL, format, 0);
	}
	if (format == PRINT_JSON)
		fputs("]", file);
	fclose(file);
	return text;
}

static void round_trip(const struct document *document, enum print_format format)
{
	struct document *again = document_new();
	char *text = objects_text(document, format);
	char *text_again;

	document_parse(again, "again", text, strlen(text));
	if (again->error_count)
		fail_msg("%s\n%s", again->errors[0].text, text);
	assert_int_equal(again->count, document->count);
	for (size_t i = 0; i < document->count; i++)
		assert_true(object_equal(document->objects[i].object, again->objects[i].object));
	text_again = objects_text(again, format);
	assert_string_equal(text, text_again);
	free(text);
	free(text_again);
	document_free(again);
}

static void test_round_trip(void **state)
{
	struct document *document = document_new();

	document_parse(document, "f", everything, sizeof(everything) - 1);
	round_trip(document, PRINT_YAML);
	round_trip(document, PRINT_JSON);
	document_free(document);
}

// Strings that a YAML reader could take for something else, in every place a string can be.
static void test_round_trip_strings(void **state)
{
	static const char *const strings[] = {
		"yes",
		"No",
		"ON",
		"null",
		"~",
		"true",
		"12",
		"1e3",
		"0x1f",
		"0o17",
		"1_000",
		"-1",
		"+1",
		".5",
		"1.5",
		".inf",
		"inf",
		"NaN",
		"-",
		"--",
		"---",
		"...",
		"2001-01-01",
		"12:30:45",
		"a: b",
		"a #b",
		"#a",
		"[a]",
		"{a}",
		"a,b",
		"&a",
		"*a",
		"!a",
		"|",
		">",
		"%a",
		"@a",
		"`a",
		"'a'",
		"\"a\"",
		"a\\b",
		" a",
		"a ",
		"a\tb",
		"fd00::1",
		"52:54:00:00:00:01",
		"\xc3\xbc",
		"\xf0\x9f\x90\xa7",
		"?",
		"? a",
		":",
		"=",
		"<<",
		"a\nb",
		"\x7f",
		"\x01",
		"a\r\nb",
		"\xc2\x85",
		"\xe2\x80\xa8",
		"\xef\xbb\xbf",
	};

	for (size_t i = 0; i < sizeof(strings) / sizeof(*strings); i++) {
		struct document *document = document_new();
		const char *text = "kind: Port\nname: p\naddresses: [x]\ndevice: {pci: x}\n";
		char **places[3];

		document_parse(document, "f", text, strlen(text));
		assert_int_equal(document->count, 1);
		places[0] = &document->objects[0].object->port->name;
		places[1] = &document->objects[0].object->port->addresses[0];
		places[2] = &document->objects[0].object->port->device->pci;
		for (size_t p = 0; p < 3; p++) {
			free(*places[p]);
			*places[p] = strdup(strings[i]);
		}
		round_trip(document, PRINT_YAML);
		round_trip(document, PRINT_JSON);
		document_free(document);
	}
}

static char *message_text(const ProtobufCMessage *message, enum print_format format, unsigned flags)
{
	char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	message_print(file, message, format, flags, 0);
	fclose(file);
	return text;
}

static void test_print_empty(void **state)
{
	Sluice__V1__PortStats stats;
	Sluice__V1__PortStats__DropsEntry entry, *entries[] = {&entry};
	Sluice__V1__WorkerStats worker = SLUICE__V1__WORKER_STATS__INIT;
	char *text;

	sluice__v1__port_stats__init(&stats);
	text = message_text(&stats.base, PRINT_JSON, PRINT_EMPTY);
	assert_string_equal(text, "{\n  \"state\": \"\",\n  \"rxPackets\": 0,\n  \"rxBytes\": 0,\n"
				  "  \"txPackets\": 0,\n  \"txBytes\": 0,\n  \"drops\": {},\n"
				  "  \"network\": \"\",\n  \"connections\": 0,\n"
				  "  \"halfOpenConnections\": 0\n}");
	free(text);
	text = message_text(&stats.base, PRINT_JSON, 0);
	assert_string_equal(text, "{}");
	free(text);
	sluice__v1__port_stats__drops_entry__init(&entry);
	entry.key = (char *)(uintptr_t) "source-mac";
	entry.value = UINT64_MAX;
	stats.drops = entries;
	stats.n_drops = 1;
	text = message_text(&stats.base, PRINT_JSON, 0);
	assert_string_equal(text,
			    "{\n  \"drops\": {\n    \"source-mac\": 18446744073709551615\n  }\n}");
	free(text);
	text = message_text(&stats.base, PRINT_YAML, 0);
	assert_string_equal(text, "drops:\n  source-mac: 18446744073709551615\n");
	free(text);
	worker.idle_percent = 99.5;
	text = message_text(&worker.base, PRINT_YAML, 0);
	assert_string_equal(text, "idlePercent: 99.5\n");
	free(text);
	worker.idle_percent = 12.3456;
	text = message_text(&worker.base, PRINT_YAML, 0);
	assert_string_equal(text, "idlePercent: 12.35\n");
	free(text);
}

// Texts that were right before a few of their bytes were changed. What is read of them survives a
// round trip.
static void test_mutations(void **state)
{
	static const char marks[] = ":-{}[],#&*!|>'\"%@` \n\t~";

	srand(1);
	for (int round = 0; round < 5000; round++) {
		struct document *document = document_new();
		char text[sizeof(everything)];

		memcpy(text, everything, sizeof(text));
		for (int change = rand() % 4; change >= 0; change--)
			text[(size_t)rand() % (sizeof(text) - 1)] =
				rand() % 2 ? (char)rand()
					   : marks[(size_t)rand() % (sizeof(marks) - 1)];
		document_parse(document, "f", text, sizeof(text) - 1);
		round_trip(document, round % 2 ? PRINT_YAML : PRINT_JSON);
		document_free(document);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_round_trip_strings),
		cmocka_unit_test(test_print_empty),
		cmocka_unit_test(test_mutations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
