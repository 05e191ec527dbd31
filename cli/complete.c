#include "cli/complete.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/help.h"
#include "cli/schema.h"
#include "model/kind.h"
#include "model/memory.h"
#include "model/message.h"
#include "model/object.h"

#define WORDS_MAX 256
// Nobody waits longer for a key.
#define SECONDS_MAX 3

// What is known of the line before the word to complete.
struct line {
	struct invocation invocation;  // how sluiced is reached
	const struct command *command; // NULL: the word is before it
	const char *arguments[WORDS_MAX];
	int argument_count;
	const struct option_spec *waiting; // the word is this option's argument
	bool only_arguments;		   // behind --
};

static void candidate(const char *prefix, const char *before, const char *value,
		      const char *description)
{
	if (strncasecmp(value, prefix, strlen(prefix)) != 0)
		return;
	printf("%s%s%s%s\n", before, value, description && *description ? "\t" : "",
	       description ? description : "");
}

static const struct option_spec *option_find(const struct option_spec *options, const char *word)
{
	for (; options && options->name; options++) {
		size_t length = strlen(options->name);

		if (strncmp(word, "--", 2) == 0) {
			if (strncmp(word + 2, options->name, length) == 0 &&
			    (!word[2 + length] || word[2 + length] == '='))
				return options;
		} else if (options->letter && word[1] == options->letter) {
			return options;
		}
	}
	return NULL;
}

static const struct option_spec *option_of(const struct line *line, const char *word)
{
	const struct option_spec *spec = NULL;

	if (line->command)
		spec = option_find(line->command->options, word);
	return spec ? spec : option_find(global_options, word);
}

// Options that say how sluiced is reached count here, too.
static void value_take(struct line *line, const char *option, const char *value)
{
	struct invocation *invocation = &line->invocation;

	if (strcmp(option, "api") == 0)
		invocation->api = value;
	else if (strcmp(option, "cert") == 0)
		invocation->tls.certificate = value;
	else if (strcmp(option, "key") == 0)
		invocation->tls.key = value;
	else if (strcmp(option, "ca") == 0)
		invocation->tls.ca = value;
}

// Takes one word that stands before the one to complete.
static void word_take(struct line *line, const char *word)
{
	const struct option_spec *spec;

	if (line->waiting) {
		value_take(line, line->waiting->name, word);
		line->waiting = NULL;
		return;
	}
	if (!line->only_arguments && strcmp(word, "--") == 0) {
		line->only_arguments = true;
		return;
	}
	if (!line->only_arguments && word[0] == '-' && word[1]) {
		const char *value = strchr(word, '=');

		spec = option_of(line, word);
		if (!spec || !spec->argument)
			return;
		if (word[1] != '-')
			value = word[2] ? word + 1 : NULL;
		if (!value)
			line->waiting = spec;
		else
			value_take(line, spec->name, value + 1);
		return;
	}
	if (!line->command && line->argument_count == 0) {
		line->command = command_find(word);
		if (line->command)
			return;
	}
	if (line->argument_count < WORDS_MAX)
		line->arguments[line->argument_count++] = word;
}

static void options_complete(const struct option_spec *options, const char *prefix)
{
	char name[128];

	for (; options && options->name; options++) {
		snprintf(name, sizeof(name), "--%s", options->name);
		candidate(prefix, "", name, options->text);
	}
}

// Names of a kind's objects, as sluiced has them now.
static void names_complete(const struct line *line, const char *kind, const char *prefix,
			   const char *before)
{
	Sluice__V1__GetResponse *response;
	Sluice__V1__GetRequest request;
	struct rpc_status status;

	if (kind_find(kind) == SLUICE__V1__OBJECT__KIND__NOT_SET)
		return;
	sluice__v1__get_request__init(&request);
	request.kind = (char *)(uintptr_t)kind;
	response =
		(Sluice__V1__GetResponse *)call(&line->invocation, "Get", &request.base, &status);
	for (size_t i = 0; response && i < response->n_objects; i++)
		candidate(prefix, before, object_name(response->objects[i]), NULL);
	if (response)
		sluice__v1__get_response__free_unpacked(response, NULL);
	rpc_status_clear(&status);
}

// Kinds as people write them: in small letters, plural where they come to many.
static void kinds_complete(const char *prefix)
{
	const struct schema_message *object = schema_get()->object;

	for (size_t i = 0; i < object->count; i++) {
		const struct schema_message *kind = object->fields[i].message;
		char *sentence = schema_first_sentence(kind->text);
		char name[FIELD_NAME_SIZE];

		snprintf(name, sizeof(name), "%s", kind->name);
		for (char *c = name; *c; c++)
			*c |= *c >= 'A' && *c <= 'Z' ? 0x20 : 0;
		candidate(prefix, "", name, sentence);
		free(sentence);
	}
}

// KIND.field.field
static void fields_complete(const char *prefix)
{
	const char *dot = strrchr(prefix, '.');
	const struct schema_message *message;
	char *path, *rest, *before;
	const char *word;

	if (!dot) {
		kinds_complete(prefix);
		return;
	}
	path = rest = memory_required(strndup(prefix, (size_t)(dot - prefix)));
	before = memory_required(strndup(prefix, (size_t)(dot - prefix) + 1));
	word = strsep(&rest, ".");
	word = kind_name(kind_find(word));
	message = word ? schema_message(word) : NULL;
	while (message && rest && (word = strsep(&rest, "."))) {
		const struct schema_field *field = schema_field(message, word);

		message = field ? field->message : NULL;
	}
	for (size_t i = 0; message && i < message->count; i++) {
		char *sentence = schema_first_sentence(message->fields[i].text);

		candidate(dot + 1, before, message->fields[i].name, sentence);
		free(sentence);
	}
	free(before);
	free(path);
}

static void topics_complete(const char *prefix)
{
	for (size_t i = 0; commands[i]; i++)
		candidate(prefix, "", commands[i]->name, commands[i]->summary);
	for (size_t i = 0; help_topics[i].name; i++)
		candidate(prefix, "", help_topics[i].name, help_topics[i].summary);
}

// `words` are separated by one of `separators`.
static void list_complete(const char *words, const char *separators, const char *prefix,
			  const char *before)
{
	char *copy = memory_text(words), *rest = copy;
	const char *word;

	while ((word = strsep(&rest, separators)))
		if (*word)
			candidate(prefix, before, word, NULL);
	free(copy);
}

static void files_complete(void)
{
	puts(":files");
}

// The argument of an option; `before` stands before it in the same word (--output=).
static void value_complete(const struct line *line, const struct option_spec *spec,
			   const char *prefix, const char *before)
{
	if (spec->completion && strcmp(spec->completion, "FILE") == 0) {
		files_complete();
		return;
	}
	puts(":words");
	if (!spec->completion)
		return;
	if (kind_find(spec->completion) != SLUICE__V1__OBJECT__KIND__NOT_SET)
		names_complete(line, spec->completion, prefix, before);
	else
		list_complete(spec->completion, " ", prefix, before);
}

// What the command's `words` say about the place.
static void argument_complete(const struct line *line, const char *prefix)
{
	char *copy = memory_text(line->command->words ? line->command->words : "");
	char *rest = copy, *word = NULL, *next;
	int place = 0;

	while ((next = strsep(&rest, " "))) {
		size_t length = strlen(next);

		word = next;
		if (length > 3 && strcmp(next + length - 3, "...") == 0) {
			next[length - 3] = 0;
			break;
		}
		if (place++ == line->argument_count)
			break;
		word = NULL;
	}
	if (word && strcmp(word, "FILE") == 0) {
		files_complete();
		free(copy);
		return;
	}
	puts(":words");
	if (word && strcmp(word, "KIND") == 0)
		kinds_complete(prefix);
	else if (word && strcmp(word, "NAME") == 0 && line->argument_count)
		names_complete(line, line->arguments[0], prefix, "");
	else if (word && strcmp(word, "FIELD") == 0)
		fields_complete(prefix);
	else if (word)
		list_complete(word, "|", prefix, "");
	free(copy);
}

static void last_complete(const struct line *line, const char *word)
{
	const char *equals = strchr(word, '=');
	const struct option_spec *spec;

	if (line->waiting) {
		value_complete(line, line->waiting, word, "");
		return;
	}
	if (*word == '-' && !line->only_arguments) {
		spec = equals ? option_of(line, word) : NULL;
		if (spec && spec->argument && word[1] == '-') {
			char *before = memory_required(strndup(word, (size_t)(equals - word) + 1));

			value_complete(line, spec, equals + 1, before);
			free(before);
			return;
		}
		puts(":words");
		if (line->command)
			options_complete(line->command->options, word);
		options_complete(global_options, word);
		candidate(word, "", "--help", "what this command does");
		return;
	}
	if (line->command) {
		argument_complete(line, word);
		return;
	}
	puts(":words");
	if (line->argument_count == 1 && strcmp(line->arguments[0], "help") == 0) {
		topics_complete(word);
	} else if (line->argument_count == 0) {
		for (size_t i = 0; commands[i]; i++)
			candidate(word, "", commands[i]->name, commands[i]->summary);
		candidate(word, "", "help", "What a command does, or a topic");
	}
}

void complete_words(const char *const *words, int count)
{
	struct line line = {
		.invocation = {
			.api = getenv("SLUICE_API"),
			.tls = {getenv("SLUICE_CERT"), getenv("SLUICE_KEY"), getenv("SLUICE_CA")},
		}};

	if (!line.invocation.api || !*line.invocation.api)
		line.invocation.api = DEFAULT_API;
	// A daemon that hangs must not hang the shell.
	alarm(SECONDS_MAX);
	for (int i = 1; i + 1 < count; i++)
		word_take(&line, words[i]);
	last_complete(&line, count > 1 ? words[count - 1] : "");
}

void complete_line(const char *text)
{
	char *copy = memory_new(strlen(text) + 2), *end = copy;
	const char *words[WORDS_MAX];
	bool in_word = false;
	int count = 0;
	char quote = 0;

	for (; *text && count < WORDS_MAX - 1; text++) {
		if (!quote && (*text == ' ' || *text == '\t')) {
			if (in_word)
				*end++ = 0;
			in_word = false;
			continue;
		}
		if (!in_word)
			words[count++] = end;
		in_word = true;
		if (quote ? *text == quote : *text == '\'' || *text == '"')
			quote = quote ? 0 : *text;
		else if (*text == '\\' && quote != '\'' && text[1])
			*end++ = *++text;
		else
			*end++ = *text;
	}
	*end = 0;
	if (!in_word)
		words[count++] = end;
	complete_words(words, count);
	free(copy);
}
