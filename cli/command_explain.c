// sluice explain: what the fields of objects mean, from the comments of api/sluice.proto.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/schema.h"
#include "cli/terminal.h"
#include "model/kind.h"
#include "model/memory.h"
#include "model/message.h"

#define DEPTH_MAX 16
#define PATH_SIZE 512

// What a path leads to: a message, and the field by which it was reached (NULL for a kind).
struct place {
	const char *kind;
	char path[PATH_SIZE]; // as written by the user, in its right form
	const struct schema_message *message;
	const struct schema_field *field;
};

static int field_missing(const struct place *place, const char *name)
{
	const char *words[64];
	const char *near;
	size_t count = 0;

	for (; place->message && count < place->message->count && count < 64; count++)
		words[count] = place->message->fields[count].name;
	if (!count)
		return failure("%s has no fields", place->path);
	near = nearest_word(name, words, count);
	if (near)
		return failure("%s has no field '%s', did you mean '%s'?", place->path, name, near);
	return failure("%s has no field '%s' (see sluice explain %s)", place->path, name,
		       place->path);
}

// KIND.field.field, with or without indices as in error lines: rules[2].ports.
static int place_find(const char *text, struct place *place)
{
	char *copy = memory_text(text), *rest = copy;
	const char *word = strsep(&rest, ".");
	Sluice__V1__Object__KindCase kind = kind_find(word);
	int result = EXIT_OK;

	if (kind == SLUICE__V1__OBJECT__KIND__NOT_SET) {
		const char *near = kind_suggest(word);

		result = near ? failure("unknown kind '%s', did you mean '%s'?", word, near)
			      : failure("unknown kind '%s' (sluice explain lists them)", word);
		free(copy);
		return result;
	}
	place->kind = kind_name(kind);
	place->message = memory_required((void *)(uintptr_t)schema_message(place->kind));
	place->field = NULL;
	snprintf(place->path, sizeof(place->path), "%s", place->kind);
	while (result == EXIT_OK && (word = strsep(&rest, "."))) {
		char name[FIELD_NAME_SIZE];
		size_t length = strlen(place->path);
		const struct schema_field *field = NULL;

		snprintf(name, sizeof(name), "%.*s", (int)strcspn(word, "["), word);
		if (place->message)
			field = schema_field(place->message, name);
		if (!field) {
			result = field_missing(place, name);
			break;
		}
		snprintf(place->path + length, sizeof(place->path) - length, ".%s", field->name);
		place->field = field;
		place->message = field->message;
	}
	free(copy);
	return result;
}

static void field_head(const struct schema_field *field, int indent)
{
	char *type = schema_type_text(field);

	printf("%*s%s%s%s  <%s>\n", indent, "", style_begin(stdout, STYLE_HEADING), field->name,
	       style_end(stdout), type);
	free(type);
}

static void fields_print(const struct schema_message *message, int indent, bool recursive,
			 unsigned depth);

static void field_print(const struct schema_field *field, int indent, bool recursive,
			unsigned depth)
{
	field_head(field, indent);
	if (recursive) {
		if (field->message && depth < DEPTH_MAX)
			fields_print(field->message, indent + 2, true, depth + 1);
		return;
	}
	if (*field->text) {
		printf("%*s", indent + 4, "");
		text_wrap(stdout, field->text, indent + 4);
	}
	putchar('\n');
}

static void fields_print(const struct schema_message *message, int indent, bool recursive,
			 unsigned depth)
{
	const char *choice = NULL;

	for (size_t i = 0; i < message->count; i++) {
		const struct schema_field *field = &message->fields[i];

		if (field->one_of && !(choice && strcmp(choice, field->one_of) == 0))
			printf("%*sone of:\n", indent, "");
		choice = field->one_of;
		field_print(field, indent + (choice ? 2 : 0), recursive, depth);
	}
}

static void values_print(const struct schema_enum *values)
{
	printf("\n%sVALUES%s\n", style_begin(stdout, STYLE_HEADING), style_end(stdout));
	for (size_t i = 0; i < values->count; i++) {
		const struct schema_value *value = &values->values[i];

		if (!value->name && !*value->text)
			continue;
		printf("  %s\n", value->name ? value->name : "(not given)");
		if (*value->text) {
			printf("%6s", "");
			text_wrap(stdout, value->text, 6);
		}
	}
}

static void place_print(const struct place *place, bool recursive)
{
	const char *heading = style_begin(stdout, STYLE_HEADING), *plain = style_end(stdout);

	printf("%sKIND%s   %s\n", heading, plain, place->kind);
	if (place->field) {
		char *type = schema_type_text(place->field);

		printf("%sFIELD%s  %s  <%s>\n", heading, plain, strchr(place->path, '.') + 1, type);
		free(type);
	}
	if (place->field && *place->field->text) {
		putchar('\n');
		text_wrap(stdout, place->field->text, 0);
	}
	if (place->message && *place->message->text) {
		putchar('\n');
		text_wrap(stdout, place->message->text, 0);
	}
	if (place->field && place->field->values) {
		if (*place->field->values->text) {
			putchar('\n');
			text_wrap(stdout, place->field->values->text, 0);
		}
		values_print(place->field->values);
	}
	if (place->message) {
		printf("\n%sFIELDS%s\n", heading, plain);
		fields_print(place->message, 2, recursive, 0);
	}
}

static void item_print(enum output output, const char *name, const char *value, bool last)
{
	if (output == OUTPUT_JSON)
		printf("    \"%s\": ", name);
	else
		printf("  %s: ", name);
	string_print(stdout, value, output == OUTPUT_JSON ? PRINT_JSON : PRINT_YAML);
	puts(output == OUTPUT_JSON && !last ? "," : "");
}

// A flat list: path, type, description.
static void flat_print(const struct schema_message *message, const char *path, enum output output,
		       unsigned depth, bool *first)
{
	for (size_t i = 0; i < message->count; i++) {
		const struct schema_field *field = &message->fields[i];
		char *type = schema_type_text(field);
		char *name;

		if (asprintf(&name, "%s.%s", path, field->name) < 0)
			name = memory_required(NULL);
		fputs(output == OUTPUT_JSON ? *first ? "  {\n" : ",\n  {\n" : "-\n", stdout);
		*first = false;
		item_print(output, "path", name, false);
		item_print(output, "type", type, false);
		item_print(output, "description", field->text, true);
		if (output == OUTPUT_JSON)
			fputs("  }", stdout);
		free(type);
		if (field->message && depth < DEPTH_MAX)
			flat_print(field->message, name, output, depth + 1, first);
		free(name);
	}
}

static void flat_print_place(const struct place *place, enum output output)
{
	bool first = true;
	struct schema_message own = {.fields = place->field, .count = 1};
	char parent[PATH_SIZE];

	if (output == OUTPUT_JSON)
		puts("[");
	snprintf(parent, sizeof(parent), "%s", place->path);
	if (place->field) {
		*strrchr(parent, '.') = 0;
		flat_print(&own, parent, output, 0, &first);
	} else {
		flat_print(place->message, parent, output, 0, &first);
	}
	if (output == OUTPUT_JSON)
		puts("\n]");
}

static void kinds_print(enum output output)
{
	const struct schema_message *object = schema_get()->object;
	bool first = true;

	if (output == OUTPUT_JSON)
		puts("[");
	for (size_t i = 0; i < object->count; i++) {
		const struct schema_message *kind = object->fields[i].message;
		char *sentence = schema_first_sentence(kind->text);

		if (output == OUTPUT_TABLE) {
			printf("%-16s  ", kind->name);
			text_wrap(stdout, sentence, 18);
		} else {
			fputs(output == OUTPUT_JSON ? first ? "  {\n" : ",\n  {\n" : "-\n", stdout);
			item_print(output, "kind", kind->name, false);
			item_print(output, "description", kind->text, true);
			if (output == OUTPUT_JSON)
				fputs("  }", stdout);
		}
		first = false;
		free(sentence);
	}
	if (output == OUTPUT_JSON)
		puts("\n]");
}

static int explain_run(const struct command *command, const struct invocation *invocation)
{
	struct place place;

	if (invocation->argument_count > 1)
		return usage_error(command, "explain takes KIND or KIND.field");
	schema_get();
	if (invocation->argument_count == 0) {
		kinds_print(invocation->output);
		return EXIT_OK;
	}
	if (place_find(invocation->arguments[0], &place) != EXIT_OK)
		return EXIT_FAILED;
	if (invocation->output == OUTPUT_TABLE)
		place_print(&place, option_get(&invocation->options, "recursive"));
	else
		flat_print_place(&place, invocation->output);
	return EXIT_OK;
}

static const struct option_spec options[] = {
	{.name = "recursive",
	 .letter = 'R',
	 .text = "the fields of fields too, without their texts"},
	OPTION_OUTPUT,
	{0},
};

const struct command explain_command = {
	.name = "explain",
	.arguments = "[KIND[.field[.field...]]] [--recursive] [-o table|json|yaml]",
	.summary = "Says what an object's fields mean",
	.about = "Without KIND it lists the kinds. It needs no sluiced.\n",
	.words = "FIELD",
	.options = options,
	.examples = "  sluice explain\n"
		    "  sluice explain network\n"
		    "  sluice explain port.device.vhostUser\n"
		    "  sluice explain securitygroup --recursive\n",
	.run = explain_run,
};
