// YAML and JSON text as trees of nodes, from the events of libyaml.

#include "model/yaml_tree.h"

#include <stdio.h>
#include <yaml.h>

#include "model/memory.h"
#include "model/yaml_alias.h"
#include "model/yaml_text.h"

#define DEPTH_MAX 16
#define NODES_MAX 1000000

struct yaml_reader {
	yaml_parser_t parser;
	yaml_event_t event;
	struct yaml_text text; // what the parser reads
	bool has_event;
	bool in_list; // the document is a list of objects
	bool ended;
	size_t nodes;  // of the object that is read
	size_t copies; // nodes that aliases may still make
	struct yaml_anchors *anchors;
	unsigned error_line;
	struct error *err;
};

static void parser_open(struct yaml_reader *reader)
{
	if (!yaml_parser_initialize(&reader->parser))
		memory_required(NULL);
	yaml_parser_set_encoding(&reader->parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&reader->parser, (const unsigned char *)reader->text.start,
				     (size_t)(reader->text.end - reader->text.start));
}

static void parser_close(struct yaml_reader *reader)
{
	if (reader->has_event)
		yaml_event_delete(&reader->event);
	reader->has_event = false;
	yaml_parser_delete(&reader->parser);
}

struct yaml_reader *yaml_reader_new(const char *text, size_t size)
{
	struct yaml_reader *reader = memory_new(sizeof(*reader));

	reader->text = (struct yaml_text){.start = text, .end = text + size};
	reader->anchors = yaml_anchors_new();
	reader->copies = YAML_COPIES_MAX;
	parser_open(reader);
	return reader;
}

void yaml_reader_free(struct yaml_reader *reader)
{
	if (!reader)
		return;
	parser_close(reader);
	yaml_anchors_free(reader->anchors);
	free(reader);
}

static bool fail(struct yaml_reader *reader, unsigned line, const char *what)
{
	if (!reader->error_line) {
		reader->error_line = line ? line : 1;
		error_set(reader->err, "%s", what);
	}
	return false;
}

static unsigned event_line(const struct yaml_reader *reader)
{
	return reader->text.line + (unsigned)reader->event.start_mark.line + 1;
}

// Where the parser found the error, or else where the event is.
static const char *error_place(const struct yaml_reader *reader)
{
	const yaml_parser_t *parser = &reader->parser;
	size_t size = (size_t)(reader->text.end - reader->text.start);

	if (parser->error == YAML_READER_ERROR)
		return reader->text.start +
		       (parser->problem_offset < size ? parser->problem_offset : size);
	if (parser->error)
		return yaml_text_at(&reader->text, parser->problem_mark.index);
	return yaml_text_at(&reader->text, reader->event.start_mark.index);
}

static bool parser_fail(struct yaml_reader *reader)
{
	const yaml_parser_t *parser = &reader->parser;
	const char *place = error_place(reader);
	unsigned line = reader->text.line + (unsigned)parser->problem_mark.line + 1;
	char text[256];

	if (parser->error == YAML_READER_ERROR)
		line = yaml_text_line(&reader->text, place);
	if (parser->error != YAML_READER_ERROR && yaml_text_tab(&reader->text, place))
		return fail(reader, line,
			    "no valid YAML: a tab in the indentation, which has to be of spaces");
	if (parser->context && strcmp(parser->context, "while scanning a quoted scalar") == 0 &&
	    parser->problem && strncmp(parser->problem, "found unexpected", 16) == 0)
		return fail(reader, reader->text.line + (unsigned)parser->context_mark.line + 1,
			    "no valid YAML: quotes are opened here and not closed");
	snprintf(text, sizeof(text), "no valid YAML: %s%s%s",
		 parser->context ? parser->context : "", parser->context ? ", " : "",
		 parser->problem ? parser->problem : "out of memory");
	return fail(reader, line, text);
}

// Objects in JSON may follow each other without anything between them.
static bool json_follows(struct yaml_reader *reader)
{
	const yaml_parser_t *parser = &reader->parser;
	const char *place = error_place(reader);

	if (parser->error != YAML_PARSER_ERROR || !parser->problem ||
	    strcmp(parser->problem, "did not find expected <document start>") != 0 ||
	    place == reader->text.start || place == reader->text.end ||
	    (*place != '{' && *place != '['))
		return false;
	parser_close(reader);
	yaml_text_cut(&reader->text, place);
	parser_open(reader);
	return true;
}

static bool event_next(struct yaml_reader *reader)
{
	do {
		if (reader->has_event)
			yaml_event_delete(&reader->event);
		reader->has_event = false;
		if (yaml_parser_parse(&reader->parser, &reader->event)) {
			reader->has_event = true;
			return true;
		}
	} while (json_follows(reader));
	return parser_fail(reader);
}

// Goes on with the next document.
static void recover(struct yaml_reader *reader)
{
	const char *place = error_place(reader);
	struct yaml_text text = reader->text;

	reader->ended = !yaml_text_next_document(&text, place);
	if (reader->ended)
		return;
	parser_close(reader);
	reader->text = text;
	reader->in_list = false;
	parser_open(reader);
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

static bool tag_check(struct yaml_reader *reader, const yaml_char_t *tag)
{
	return tag ? fail(reader, event_line(reader), "tags (!) are not supported") : true;
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
		bool key_plain = false;
		unsigned key_line;

		if (!event_next(reader))
			return false;
		if (reader->event.type == end)
			return node->kind == YAML_LIST || yaml_merge(node) ||
			       fail(reader, node->line,
				    "<< takes a mapping (*NAME), or a list of them");
		key_line = event_line(reader);
		if (node->kind == YAML_MAPPING) {
			if (reader->event.type != YAML_SCALAR_EVENT)
				return fail(reader, key_line, "a key must be a word");
			if (!tag_check(reader, reader->event.data.scalar.tag))
				return false;
			key_plain = reader->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
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
		(*tail)->key_plain = key_plain;
		(*tail)->key_line = key_line;
		tail = &(*tail)->next;
		node->count++;
	}
}

// What the alias of the current event stands for, or NULL with an error.
static struct yaml_node *alias_read(struct yaml_reader *reader, unsigned line)
{
	const char *name = (const char *)reader->event.data.alias.anchor;
	struct yaml_node *node;
	char text[160];
	bool found;

	node = yaml_anchors_copy(reader->anchors, name, &reader->copies, &found);
	if (node) {
		node->line = line;
		return node;
	}
	if (found)
		snprintf(text, sizeof(text), "aliases (*) stand for more than a million values");
	else
		snprintf(text, sizeof(text), "there is no anchor &%.60s before this alias", name);
	fail(reader, line, text);
	return NULL;
}

// The node that the current event begins, or NULL with an error.
static struct yaml_node *node_read(struct yaml_reader *reader, unsigned depth)
{
	const yaml_event_t *event = &reader->event;
	const yaml_char_t *mark = NULL;
	struct yaml_node *node;
	char *anchor = NULL;
	bool valid = false;

	if (++reader->nodes > NODES_MAX) {
		fail(reader, event_line(reader), "more than a million values in one object");
		return NULL;
	}
	if (event->type == YAML_ALIAS_EVENT)
		return alias_read(reader, event_line(reader));
	node = memory_new(sizeof(*node));
	node->line = event_line(reader);
	if (event->type == YAML_SCALAR_EVENT)
		mark = event->data.scalar.anchor;
	else if (event->type == YAML_SEQUENCE_START_EVENT)
		mark = event->data.sequence_start.anchor;
	else if (event->type == YAML_MAPPING_START_EVENT)
		mark = event->data.mapping_start.anchor;
	if (mark)
		anchor = memory_text((const char *)mark);
	switch (event->type) {
	case YAML_SCALAR_EVENT:
		node->kind = YAML_SCALAR;
		node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
		if (tag_check(reader, event->data.scalar.tag))
			node->text = scalar_text(reader);
		valid = node->text != NULL;
		break;
	case YAML_SEQUENCE_START_EVENT:
		node->kind = YAML_LIST;
		valid = tag_check(reader, event->data.sequence_start.tag) &&
			children_read(reader, node, depth);
		break;
	case YAML_MAPPING_START_EVENT:
		node->kind = YAML_MAPPING;
		valid = tag_check(reader, event->data.mapping_start.tag) &&
			children_read(reader, node, depth);
		break;
	default:
		break;
	}
	if (valid && anchor && !yaml_anchors_add(reader->anchors, anchor, node, &reader->copies))
		valid = fail(reader, node->line,
			     "anchors (&) stand for more than a million values");
	free(anchor);
	if (valid)
		return node;
	yaml_node_free(node);
	return NULL;
}

struct yaml_node *yaml_reader_next(struct yaml_reader *reader, unsigned *line, struct error *err)
{
	struct yaml_node *node = NULL;

	reader->err = err;
	reader->error_line = 0;
	while (!node && !reader->ended && !reader->error_line && event_next(reader)) {
		reader->nodes = 0;
		switch (reader->event.type) {
		case YAML_STREAM_END_EVENT:
			reader->ended = true;
			break;
		case YAML_DOCUMENT_START_EVENT:
			// Anchors are those of one document.
			yaml_anchors_free(reader->anchors);
			reader->anchors = yaml_anchors_new();
			break;
		case YAML_SEQUENCE_START_EVENT:
			if (reader->in_list)
				node = node_read(reader, 0);
			else
				reader->in_list =
					tag_check(reader, reader->event.data.sequence_start.tag);
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
		default: // start of the stream, end of a document
			break;
		}
	}
	*line = reader->error_line;
	if (reader->error_line)
		recover(reader);
	return node;
}
