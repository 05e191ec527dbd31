// sluice diff: what applying files would change, line by line.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "model/memory.h"
#include "model/object.h"

// Longer objects are shown as all removed and all added.
#define LINES_MAX 2000

struct lines {
	char *text; // with zero bytes for line ends
	char **list;
	size_t count;
};

static struct lines object_lines(const Sluice__V1__Object *object)
{
	struct lines lines = {0};
	size_t capacity = 0;
	size_t size;
	FILE *file = open_memstream(&lines.text, &size);

	memory_required(file);
	if (object)
		object_print(file, object, NULL, PRINT_YAML, 0);
	fclose(file);
	for (char *line = lines.text; line && *line;) {
		char *end = strchr(line, '\n');

		lines.list = memory_grow(lines.list, lines.count, &capacity, sizeof(*lines.list));
		lines.list[lines.count++] = line;
		if (!end)
			break;
		*end = 0;
		line = end + 1;
	}
	return lines;
}

static void lines_free(struct lines *lines)
{
	free(lines->text);
	free(lines->list);
}

// The longest common subsequence stays, the rest goes or comes.
static void lines_compare(const struct lines *before, const struct lines *after)
{
	size_t width = after->count + 1;
	size_t i = 0, j = 0;
	uint16_t *common = NULL;

	if (before->count <= LINES_MAX && after->count <= LINES_MAX) {
		common = memory_new((before->count + 1) * width * sizeof(*common));
		for (size_t b = before->count; b-- > 0;)
			for (size_t a = after->count; a-- > 0;) {
				uint16_t down = common[(b + 1) * width + a],
					 right = common[b * width + a + 1];

				if (strcmp(before->list[b], after->list[a]) == 0)
					common[b * width + a] =
						(uint16_t)(common[(b + 1) * width + a + 1] + 1);
				else
					common[b * width + a] = down > right ? down : right;
			}
	}
	while (i < before->count || j < after->count) {
		if (common && i < before->count && j < after->count &&
		    strcmp(before->list[i], after->list[j]) == 0) {
			printf("  %s\n", before->list[i]);
			i++;
			j++;
		} else if (i < before->count &&
			   (j == after->count || !common ||
			    common[(i + 1) * width + j] >= common[i * width + j + 1])) {
			printf("- %s\n", before->list[i++]);
		} else {
			printf("+ %s\n", after->list[j++]);
		}
	}
	free(common);
}

// The object as sluiced has it; NULL where it has none. Freed with the response.
static Sluice__V1__GetResponse *object_get(const struct invocation *invocation,
					   const Sluice__V1__Change *change,
					   struct rpc_status *status)
{
	Sluice__V1__GetRequest request;

	sluice__v1__get_request__init(&request);
	request.kind = change->kind;
	request.name = change->name;
	return (Sluice__V1__GetResponse *)call(invocation, "Get", &request.base, status);
}

static int change_print(const struct invocation *invocation, const Sluice__V1__Change *change,
			const Sluice__V1__Object *wanted)
{
	Sluice__V1__GetResponse *response = NULL;
	struct rpc_status status = {0};
	struct lines before, after;

	if (change->action == SLUICE__V1__ACTION__ACTION_CHANGED) {
		response = object_get(invocation, change, &status);
		if (!response) {
			status_failure(&status, NULL);
			rpc_status_clear(&status);
			return EXIT_FAILED;
		}
	}
	printf("%s/%s would be %s\n", change->kind, change->name, response ? "changed" : "created");
	before = object_lines(response && response->n_objects ? response->objects[0] : NULL);
	after = object_lines(wanted);
	lines_compare(&before, &after);
	lines_free(&before);
	lines_free(&after);
	if (response)
		sluice__v1__get_response__free_unpacked(response, NULL);
	return EXIT_OK;
}

static int diff_run(const struct command *command, const struct invocation *invocation)
{
	Sluice__V1__ApplyResponse *response;
	struct document *document;
	int result = EXIT_OK;

	if (invocation->argument_count)
		return usage_error(command, "unexpected '%s', files are given with -f",
				   invocation->arguments[0]);
	if (!option_count(&invocation->options, "file"))
		return usage_error(command, "-f FILE is missing");
	response = files_apply(invocation, true, &document);
	if (!response) {
		document_free(document);
		return EXIT_FAILED;
	}
	// Changes come in the order of the request.
	for (size_t i = 0; i < response->n_changes && i < document->count && result == EXIT_OK; i++)
		if (response->changes[i]->action != SLUICE__V1__ACTION__ACTION_UNCHANGED)
			result = change_print(invocation, response->changes[i],
					      document->objects[i].object);
	sluice__v1__apply_response__free_unpacked(response, NULL);
	document_free(document);
	return result;
}

static const struct option_spec options[] = {
	OPTION_FILE,
	{0},
};

const struct command diff_command = {
	.name = "diff",
	.arguments = "-f FILE|- [-f FILE ...]",
	.summary = "Shows what applying files would change, line by line",
	.about = "Prints nothing where everything is as the files say. Nothing is changed.\n",
	.options = options,
	.examples = "  sluice diff -f ports.yaml\n",
	.run = diff_run,
};
