// YAML and JSON text as trees of nodes, from the events of libyaml.

#include "model/yaml_tree.h"

#include <stdio.h>
#include <yaml.h>

#include "model/memory.h"

#define DEPTH_MAX 16
#define NODES_MAX 1000000

struct yaml_reader {
	yaml_parser_t parser;
	yaml_event_t event;
	bool has_event;
	bool in_list; // the document is a list of objects
	bool ended;
	size_t nodes; // of the object that is read
	unsigned error_line;
	struct error *err;
};

struct yaml_reader *yaml_reader_new(const char *text, size_t size)
{
	struct yaml_reader *reader = memory_new(sizeof(*reader));

	if (!yaml_parser_initialize(&reader->parser))
		memory_required(NULL);
	yaml_parser_set_encoding(&reader->parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&reader->parser, (const unsigned char *)text, size);
	return reader;
}

void yaml_reader_free(struct yaml_reader *reader)
{
	if (!reader)
		return;
	if (reader->has_event)
		yaml_event_delete(&reader->event);
	yaml_parser_delete(&reader->parser);
	free(reader);
}

static bool fail(struct yaml_reader *reader, unsigned line, const char *what)
{
	if (!reader->error_line) {
		reader->error_line = line ? line : 1;
		error_set(reader->err, "%s", what);
	}
	reader->ended = true;
	return false;
}

static unsigned event_line(const struct yaml_reader *reader)
{
	return (unsigned)reader->event.start_mark.line + 1;
}

static bool event_next(struct yaml_reader *reader)
{
	const yaml_parser_t *parser = &reader->parser;
	char text[256];

	if (reader->has_event)
		yaml_event_delete(&reader->event);
	reader->has_event = false;
	if (yaml_parser_parse(&reader->parser, &reader->event)) {
		reader->has_event = true;
		return true;
	}
	snprintf(text, sizeof(text), "no valid YAML: %s%s%s",
		 parser->context ? parser->context : "", parser->context ? ", " : "",
		 parser->problem ? parser->problem : "out of memory");
	return fail(reader, (unsigned)parser->problem_mark.line + 1, text);
}

void yaml_node_free(struct yaml_node *node)
{
	// Depth is bounded by DEPTH_MAX, length is not.
	while (node) {
		struct yaml_node *next = node->next;

		yaml_node_free(node->first);
		free(node->text);
		free(node->key);
		free(node);
		node = next;
	}
}

bool yaml_is_null(const struct yaml_node *node)
{
	return node->kind == YAML_SCALAR && node->plain &&
	       (!*node->text || strcmp(node->text, "~") == 0 ||
		strcasecmp(node->text, "null") == 0);
}

// Text of the scalar event, or NULL with an error.
static char *scalar_text(struct yaml_reader *reader)
{
	const char *value = (const char *)reader->event.data.scalar.value;
	size_t length = reader->event.data.scalar.length;

	if (strlen(value) != length) {
		fail(reader, event_line(reader), "a string has a zero byte");
		return NULL;
	}
	return memory_text(value);
}

static bool marks_check(struct yaml_reader *reader, const yaml_char_t *anchor,
			const yaml_char_t *tag)
{
	if (anchor)
		return fail(reader, event_line(reader), "anchors (&) are not supported");
	if (tag)
		return fail(reader, event_line(reader), "tags (!) are not supported");
	return true;
}

static struct yaml_node *node_read(struct yaml_reader *reader, unsigned depth);

static bool children_read(struct yaml_reader *reader, struct yaml_node *node, unsigned depth)
{
	yaml_event_type_t end =
		node->kind == YAML_LIST ? YAML_SEQUENCE_END_EVENT : YAML_MAPPING_END_EVENT;
	struct yaml_node **tail = &node->first;

	if (depth >= DEPTH_MAX)
		return fail(reader, node->line, "nested too deeply");
	for (;;) {
		char *key = NULL;
		unsigned key_line;

		if (!event_next(reader))
			return false;
		if (reader->event.type == end)
			return true;
		key_line = event_line(reader);
		if (node->kind == YAML_MAPPING) {
			if (reader->event.type != YAML_SCALAR_EVENT)
				return fail(reader, key_line, "a key must be a word");
			if (!marks_check(reader, reader->event.data.scalar.anchor,
					 reader->event.data.scalar.tag))
				return false;
			key = scalar_text(reader);
			if (!key)
				return false;
			if (!event_next(reader)) {
				free(key);
				return false;
			}
		}
		*tail = node_read(reader, depth + 1);
		if (!*tail) {
			free(key);
			return false;
		}
		(*tail)->key = key;
		(*tail)->key_line = key_line;
		tail = &(*tail)->next;
		node->count++;
	}
}

// The node that the current event begins, or NULL with an error.
static struct yaml_node *node_read(struct yaml_reader *reader, unsigned depth)
{
	const yaml_event_t *event = &reader->event;
	struct yaml_node *node;

	if (++reader->nodes > NODES_MAX) {
		fail(reader, event_line(reader), "more than a million values in one object");
		return NULL;
	}
	node = memory_new(sizeof(*node));
	node->line = event_line(reader);
	switch (event->type) {
	case YAML_SCALAR_EVENT:
		node->kind = YAML_SCALAR;
		node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
		if (!marks_check(reader, event->data.scalar.anchor, event->data.scalar.tag))
			break;
		node->text = scalar_text(reader);
		if (node->text)
			return node;
		break;
	case YAML_SEQUENCE_START_EVENT:
		node->kind = YAML_LIST;
		if (marks_check(reader, event->data.sequence_start.anchor,
				event->data.sequence_start.tag) &&
		    children_read(reader, node, depth))
			return node;
		break;
	case YAML_MAPPING_START_EVENT:
		node->kind = YAML_MAPPING;
		if (marks_check(reader, event->data.mapping_start.anchor,
				event->data.mapping_start.tag) &&
		    children_read(reader, node, depth))
			return node;
		break;
	default:
		fail(reader, node->line, "aliases (*) are not supported");
		break;
	}
	yaml_node_free(node);
	return NULL;
}

struct yaml_node *yaml_reader_next(struct yaml_reader *reader, unsigned *line, struct error *err)
{
	struct yaml_node *node = NULL;

	reader->err = err;
	while (!node && !reader->ended && event_next(reader)) {
		reader->nodes = 0;
		switch (reader->event.type) {
		case YAML_STREAM_END_EVENT:
			reader->ended = true;
			break;
		case YAML_SEQUENCE_START_EVENT:
			if (reader->in_list)
				node = node_read(reader, 0);
			else
				reader->in_list = marks_check(
					reader, reader->event.data.sequence_start.anchor,
					reader->event.data.sequence_start.tag);
			break;
		case YAML_SEQUENCE_END_EVENT:
			reader->in_list = false;
			break;
		case YAML_SCALAR_EVENT:
		case YAML_MAPPING_START_EVENT:
		case YAML_ALIAS_EVENT:
			node = node_read(reader, 0);
			// An empty document is no object.
			if (node && yaml_is_null(node) && !reader->in_list) {
				yaml_node_free(node);
				node = NULL;
			}
			break;
		default: // start of the stream, start and end of documents
			break;
		}
	}
	*line = reader->error_line;
	return node;
}
