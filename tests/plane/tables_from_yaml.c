#include "plane/tables_from_yaml.h"

#include <stdio.h>
#include <stdlib.h>

#include "model/check.h"
#include "model/document.h"
#include "model/object.h"

static struct compile_numbers numbers;
static struct neighbours neighbours;
static uint32_t users; // of both

static struct tables *compile(const struct object_set *set, const char *node, uint32_t workers)
{
	struct tables *tables;
	struct error err;

	if (!users++ && (!compile_numbers_open(&numbers) || !neighbours_open(&neighbours)))
		abort();
	if (tables_compile(set, node, &numbers, &neighbours, 1, workers, NULL, NULL, &tables,
			   &err) < 0) {
		fprintf(stderr, "a valid set does not compile: %s\n", err.text);
		abort();
	}
	return tables;
}

struct tables *tables_from_yaml(const char *yaml, size_t size, const char *node, uint32_t workers)
{
	struct document *document = document_new();
	struct object_set *set = object_set_new();
	struct problems problems = {0};
	struct tables *tables = NULL;

	document_parse(document, "yaml", yaml, size);
	for (size_t i = 0; i < document->count; i++)
		object_set_put(set, object_copy(document->objects[i].object));
	set_check(set, NULL, &problems);
	for (size_t i = 0; i < problems.count; i++)
		document_add_problem(document, problems.list[i]);
	document_sort_errors(document);
	if (!document->error_count && !problems.count)
		tables = compile(set, node, workers);
	problems_clear(&problems);
	object_set_free(set);
	document_free(document);
	return tables;
}

void tables_from_yaml_map(struct nat_mappings *mappings)
{
	numbers.mappings = mappings;
}

void tables_from_yaml_free(struct tables *tables)
{
	if (!tables)
		return;
	tables_free(tables);
	if (--users)
		return;
	compile_numbers_close(&numbers);
	neighbours_close(&neighbours);
}
