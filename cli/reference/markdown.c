// docs/reference/objects.md and api.md.

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/reference/reference.h"
#include "cli/schema.h"
#include "model/memory.h"

#define GENERATED "<!-- Generated from api/sluice.proto by `make reference`. -->\n\n"

// For a cell of a table: | is escaped, paragraphs are broken by <br>, < and > are text.
static void cell_print(const char *text)
{
	bool code = false;

	for (; *text; text++) {
		if (*text == '`')
			code = !code;
		if (*text == '|')
			fputs("\\|", stdout);
		else if (*text == '\n')
			fputs(text[1] == '\n' ? "<br>" : " ", stdout), text += text[1] == '\n';
		else if (*text == '<' && !code)
			fputs("&lt;", stdout);
		else if (*text == '*' && !code)
			fputs("\\*", stdout);
		else
			putchar(*text);
	}
}

static void anchor_print(const char *name)
{
	for (; *name; name++)
		putchar(tolower((unsigned char)*name));
}

static void type_print(const struct schema_field *field, bool wire)
{
	if (field->list)
		fputs("list of ", stdout);
	if (field->map)
		fputs(wire ? "map of string to " : "names, each with ", stdout);
	if (field->message || field->values) {
		printf("[%s](#", field->type);
		anchor_print(field->type);
		putchar(')');
	} else {
		fputs(wire ? field->scalar : field->type, stdout);
	}
}

static void message_print_table(const struct schema_message *message, bool wire)
{
	if (!message->count) {
		puts("No fields.\n");
		return;
	}
	puts(wire ? "| field | number | type | |\n|---|---|---|---|"
		  : "| field | type | |\n|---|---|---|");
	for (size_t i = 0; i < message->count; i++) {
		const struct schema_field *field = &message->fields[i];

		printf("| `%s` | ", wire ? field->wire : field->name);
		if (wire)
			printf("%u | ", field->number);
		type_print(field, wire);
		fputs(" | ", stdout);
		if (field->one_of)
			printf("*One of `%s`.* ", field->one_of);
		cell_print(field->text);
		puts(" |");
	}
	putchar('\n');
}

static void enum_print_table(const struct schema_enum *values, bool wire, int level)
{
	printf("%.*s %s\n\n", level, "####", values->name);
	if (*values->text)
		printf("%s\n\n", values->text);
	puts(wire ? "| value | number | |\n|---|---|---|" : "| value | |\n|---|---|");
	for (size_t i = 0; i < values->count; i++) {
		const struct schema_value *value = &values->values[i];

		if (wire)
			printf("| `%s` | %d | ", value->wire, value->number);
		else if (value->name)
			printf("| `%s` | ", value->name);
		else if (*value->text)
			fputs("| (not given) | ", stdout);
		else
			continue;
		cell_print(value->text);
		puts(" |");
	}
	putchar('\n');
}

// What was printed already, by its place in the schema.
struct seen {
	bool *messages;
	bool *enums;
};

static bool message_first(struct seen *seen, const struct schema_message *message)
{
	bool *place = &seen->messages[message - schema_get()->messages];
	bool first = !*place;

	*place = true;
	return first;
}

// The message, and behind it those that its fields are of.
static void messages_print(struct seen *seen, const struct schema_message *message, int level)
{
	if (!message_first(seen, message))
		return;
	printf("%.*s %s\n\n", level, "####", message->name);
	if (*message->text)
		printf("%s\n\n", message->text);
	message_print_table(message, false);
	for (size_t i = 0; i < message->count; i++) {
		const struct schema_field *field = &message->fields[i];

		if (field->message)
			messages_print(seen, field->message, 3);
		if (field->values && !seen->enums[field->values - schema_get()->enums]) {
			seen->enums[field->values - schema_get()->enums] = true;
			enum_print_table(field->values, false, 3);
		}
	}
}

static struct seen seen_new(void)
{
	return (struct seen){.messages = memory_new(schema_get()->message_count),
			     .enums = memory_new(schema_get()->enum_count)};
}

static void seen_free(struct seen *seen)
{
	free(seen->messages);
	free(seen->enums);
}

void objects_markdown(void)
{
	const struct schema_message *object = schema_get()->object;
	struct seen seen = seen_new();

	puts(GENERATED
	     "# Objects\n\n"
	     "Desired state is a set of objects: YAML documents (or JSON) with `kind`, `name` and "
	     "the fields below.\n`sluice explain KIND.field` says the same on the command line, "
	     "and "
	     "[examples](../examples) show it in use.\n\n"
	     "| kind | |\n|---|---|");
	for (size_t i = 0; i < object->count; i++) {
		const struct schema_message *kind = object->fields[i].message;
		char *sentence = schema_first_sentence(kind->text);

		printf("| [%s](#", kind->name);
		anchor_print(kind->name);
		fputs(") | ", stdout);
		cell_print(sentence);
		puts(" |");
		free(sentence);
	}
	putchar('\n');
	for (size_t i = 0; i < object->count; i++)
		messages_print(&seen, object->fields[i].message, 2);
	seen_free(&seen);
}

// What objects consist of is in objects.md.
static void objects_mark(struct seen *seen, const struct schema_message *message)
{
	if (!message_first(seen, message))
		return;
	for (size_t i = 0; i < message->count; i++) {
		if (message->fields[i].message)
			objects_mark(seen, message->fields[i].message);
		if (message->fields[i].values)
			seen->enums[message->fields[i].values - schema_get()->enums] = true;
	}
}

void api_markdown(void)
{
	const struct schema *schema = schema_get();
	struct seen objects = seen_new();

	puts(GENERATED
	     "# The API\n\n"
	     "sluiced answers gRPC (HTTP/2, protobuf) on its API address: the service "
	     "`sluice.v1.Sluice` of [api/sluice.proto](../../api/sluice.proto).\nObjects are in "
	     "[objects.md](objects.md); here are the calls, and what goes through them.\n\n"
	     "| call | takes | answers | |\n|---|---|---|---|");
	for (size_t i = 0; i < schema->method_count; i++) {
		const struct schema_method *method = &schema->methods[i];

		printf("| `%s` | [%s](#", method->name, method->request->name);
		anchor_print(method->request->name);
		printf(") | %s[%s](#", method->stream ? "stream of " : "", method->response->name);
		anchor_print(method->response->name);
		fputs(") | ", stdout);
		cell_print(method->text);
		puts(" |");
	}
	putchar('\n');
	for (size_t i = 0; i < schema->object->count; i++)
		objects_mark(&objects, schema->object->fields[i].message);
	for (size_t i = 0; i < schema->message_count; i++) {
		const struct schema_message *message = &schema->messages[i];

		if (objects.messages[i])
			continue;
		printf("## %s\n\n", message->name);
		if (*message->text)
			printf("%s\n\n", message->text);
		if (message == schema->object)
			puts("Exactly one of the kinds of [objects.md](objects.md).\n");
		else
			message_print_table(message, true);
	}
	for (size_t i = 0; i < schema->enum_count; i++)
		if (!objects.enums[i])
			enum_print_table(&schema->enums[i], true, 2);
	seen_free(&objects);
}
