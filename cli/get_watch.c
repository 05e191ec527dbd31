// sluice get --watch: objects, and then what becomes of them.

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/object_cells.h"
#include "cli/terminal.h"
#include "model/kind.h"
#include "model/memory.h"
#include "model/message.h"
#include "model/object.h"

#define EVENT_WIDTH 7

struct watching {
	enum output output;
	const ProtobufCMessageDescriptor *type; // of the objects
	// For the table: what was there is gathered up to the first bookmark, for the columns.
	bool begun;
	Sluice__V1__WatchEvent **events;
	size_t count, capacity;
	const ProtobufCFieldDescriptor *fields[OBJECT_COLUMNS_MAX];
	int widths[OBJECT_COLUMNS_MAX]; // negative: aligned to the left
	size_t columns;
};

static const char *event_name(const Sluice__V1__WatchEvent *event, char name[FIELD_NAME_SIZE])
{
	const char *text =
		enum_name(&sluice__v1__watch_event_type__descriptor, (int)event->type, name);

	return text ? text : "-";
}

// ---- as a table

static void row_print(const struct watching *watching, const Sluice__V1__WatchEvent *event)
{
	bool deleted = event->type == SLUICE__V1__WATCH_EVENT_TYPE__WATCH_EVENT_TYPE_DELETED;
	char name[FIELD_NAME_SIZE], *status = status_cell(event->status);

	printf("%-*s", EVENT_WIDTH, event_name(event, name));
	for (size_t i = 0; i < watching->columns; i++) {
		char *text = object_cell(watching->fields[i], object_message(event->object));

		printf("  %*s", watching->widths[i], *text ? text : "-");
		free(text);
	}
	printf("  %s%s%s\n", style_begin(stdout, style_of_state(status)),
	       *status && !deleted ? status : "-", style_end(stdout));
	free(status);
}

// The columns are those of the objects that are there, or all there may be.
static void columns_choose(struct watching *watching)
{
	Sluice__V1__Object **objects = memory_new((watching->count + 1) * sizeof(*objects));

	for (size_t i = 0; i < watching->count; i++)
		objects[i] = watching->events[i]->object;
	if (watching->count)
		watching->columns = object_columns(objects, watching->count, watching->fields);
	else
		for (; watching->columns < watching->type->n_fields &&
		       watching->columns < OBJECT_COLUMNS_MAX;
		     watching->columns++)
			watching->fields[watching->columns] =
				&watching->type->fields[watching->columns];
	for (size_t i = 0; i < watching->columns; i++) {
		char *heading = object_heading(watching->fields[i]);
		bool right = *heading == '>';
		int width = (int)strlen(heading) - right;

		free(heading);
		for (size_t o = 0; o < watching->count; o++) {
			char *text = object_cell(watching->fields[i], object_message(objects[o]));

			if ((int)strlen(text) > width)
				width = (int)strlen(text);
			free(text);
		}
		watching->widths[i] = right ? width : -width;
	}
	free(objects);
}

static void headings_print(const struct watching *watching)
{
	printf("%s%-*s", style_begin(stdout, STYLE_HEADING), EVENT_WIDTH, "EVENT");
	for (size_t i = 0; i < watching->columns; i++) {
		char *heading = object_heading(watching->fields[i]);

		printf("  %*s", watching->widths[i], heading + (*heading == '>'));
		free(heading);
	}
	printf("  STATUS%s\n", style_end(stdout));
}

static void table_begin(struct watching *watching)
{
	watching->begun = true;
	columns_choose(watching);
	headings_print(watching);
	for (size_t i = 0; i < watching->count; i++) {
		row_print(watching, watching->events[i]);
		sluice__v1__watch_event__free_unpacked(watching->events[i], NULL);
	}
	free(watching->events);
	watching->events = NULL;
	watching->count = 0;
}

static void event_keep(struct watching *watching, const Sluice__V1__WatchEvent *event)
{
	size_t size = sluice__v1__watch_event__get_packed_size(event);
	uint8_t *data = memory_new(size);

	sluice__v1__watch_event__pack(event, data);
	watching->events = memory_grow(watching->events, watching->count, &watching->capacity,
				       sizeof(*watching->events));
	watching->events[watching->count++] =
		memory_required(sluice__v1__watch_event__unpack(NULL, size, data));
	free(data);
}

static void table_take(struct watching *watching, const Sluice__V1__WatchEvent *event)
{
	bool present = event->type == SLUICE__V1__WATCH_EVENT_TYPE__WATCH_EVENT_TYPE_PRESENT;

	if (!watching->begun && present) {
		event_keep(watching, event);
		return;
	}
	if (!watching->begun)
		table_begin(watching);
	if (event->object)
		row_print(watching, event);
}

// ---- as JSON and YAML

// There is no end, so there is no list: event after event.
static void event_print(const Sluice__V1__WatchEvent *event, enum output output)
{
	char name[FIELD_NAME_SIZE];
	bool json = output == OUTPUT_JSON;

	printf(json ? "{\n  \"event\": \"%s\",\n  \"revision\": %" PRIu64
		    : "---\nevent: %s\nrevision: %" PRIu64 "\n",
	       event_name(event, name), event->revision);
	if (event->object) {
		fputs(json ? ",\n  \"object\": " : "object:\n", stdout);
		object_print(stdout, event->object, event->status, json ? PRINT_JSON : PRINT_YAML,
			     1);
	}
	if (json)
		puts("\n}");
}

static int event_take(void *context, const ProtobufCMessage *message)
{
	const Sluice__V1__WatchEvent *event = (const Sluice__V1__WatchEvent *)message;
	struct watching *watching = context;

	// Of a kind that this program does not know.
	if (event->object && (!object_message(event->object) ||
			      object_message(event->object)->descriptor != watching->type))
		return 0;
	if (watching->output == OUTPUT_TABLE)
		table_take(watching, event);
	else
		event_print(event, watching->output);
	fflush(stdout);
	// Nobody reads any more.
	return ferror(stdout) ? 1 : 0;
}

int get_watch(const struct invocation *invocation, const char *kind, const char *name)
{
	const char *revision = option_get(&invocation->options, "revision");
	struct watching watching = {.output = invocation->output};
	Sluice__V1__WatchRequest request;
	struct rpc_client *client;
	struct rpc_status status;
	struct error err;
	int result;

	sluice__v1__watch_request__init(&request);
	request.kind = (char *)(uintptr_t)kind;
	request.name = (char *)(uintptr_t)name;
	if (revision) {
		char *end;

		errno = 0;
		request.has_revision_case = SLUICE__V1__WATCH_REQUEST__HAS_REVISION_REVISION;
		request.revision = strtoull(revision, &end, 10);
		if (!isdigit((unsigned char)*revision) || *end || errno)
			return usage_error(&get_command, "--revision takes a number, not '%s'",
					   revision);
	}
	watching.type = kind_descriptor(kind_find(kind));
	if (!watching.type)
		return failure("unknown kind '%s'", kind);
	if (client_open(invocation, &client, &err) < 0)
		return failure("%s", err.text);
	result = rpc_client_stream(client, &sluice__v1__sluice__descriptor, "Watch", &request.base,
				   event_take, &watching, &status);
	if (result < 0)
		status_failure(&status, NULL);
	for (size_t i = 0; i < watching.count; i++)
		sluice__v1__watch_event__free_unpacked(watching.events[i], NULL);
	free(watching.events);
	rpc_status_clear(&status);
	rpc_client_close(client);
	return result < 0 ? EXIT_FAILED : EXIT_OK;
}
