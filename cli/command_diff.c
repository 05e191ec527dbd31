// sluice diff: what applying files would change, line by line.

#include <stdio.h>

#include "cli/changes.h"
#include "cli/difference.h"

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
	static const char *const words[] = {"unchanged", "created", "changed", "deleted"};
	Sluice__V1__GetResponse *response = NULL;
	struct rpc_status status = {0};

	if (change->action != SLUICE__V1__ACTION__ACTION_CREATED) {
		response = object_get(invocation, change, &status);
		if (!response) {
			status_failure(&status, NULL);
			rpc_status_clear(&status);
			return EXIT_FAILED;
		}
	}
	printf("%s/%s would be %s\n", change->kind, change->name, words[change->action & 3]);
	difference_print(response && response->n_objects ? response->objects[0] : NULL, wanted);
	if (response)
		sluice__v1__get_response__free_unpacked(response, NULL);
	return EXIT_OK;
}

static int diff_run(const struct command *command, const struct invocation *invocation)
{
	Sluice__V1__ApplyResponse *response;
	Sluice__V1__ApplyRequest request;
	struct document *document;
	int result = EXIT_OK;

	if (invocation->argument_count)
		return usage_error(command, "unexpected '%s', files are given with -f",
				   invocation->arguments[0]);
	if (!option_count(&invocation->options, "file"))
		return usage_error(command, "-f FILE is missing");
	sluice__v1__apply_request__init(&request);
	request.dry_run = true;
	request.prune = option_get(&invocation->options, "prune") != NULL;
	response = files_apply(invocation, &request, &document);
	if (!response) {
		document_free(document);
		return EXIT_FAILED;
	}
	// Changes come in the order of the request, and then what goes.
	for (size_t i = 0; i < response->n_changes && result == EXIT_OK; i++)
		if (response->changes[i]->action != SLUICE__V1__ACTION__ACTION_UNCHANGED)
			result = change_print(invocation, response->changes[i],
					      i < document->count ? document->objects[i].object
								  : NULL);
	if (result == EXIT_OK)
		impact_print(response->impact);
	sluice__v1__apply_response__free_unpacked(response, NULL);
	document_free(document);
	return result;
}

static const struct option_spec options[] = {
	OPTION_FILE,
	{.name = "prune", .text = "objects that are not in the files would go"},
	{0},
};

const struct command diff_command = {
	.name = "diff",
	.arguments = "-f FILE|- [-f FILE ...] [--prune]",
	.summary = "Shows what applying files would change, line by line",
	.about = "Prints nothing where everything is as the files say. Nothing is changed. Behind "
		 "the "
		 "lines stands how many live connections of the node would end or be judged "
		 "otherwise.\n",
	.options = options,
	.examples = "  sluice diff -f ports.yaml\n",
	.run = diff_run,
};
