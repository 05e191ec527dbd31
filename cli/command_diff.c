// sluice diff: what applying files, or going back to a revision, would change, line by line.

#include <stdio.h>

#include "cli/changes.h"
#include "cli/difference.h"
#include "model/transaction.h"

// NULL after printing what is wrong.
static Sluice__V1__ApplyResponse *files_try(const struct invocation *invocation)
{
	Sluice__V1__ApplyResponse *response;
	Sluice__V1__ApplyRequest request;
	struct document *document;

	sluice__v1__apply_request__init(&request);
	request.dry_run = true;
	request.details = true;
	request.prune = option_get(&invocation->options, "prune") != NULL;
	response = files_apply(invocation, &request, &document);
	document_free(document);
	return response;
}

static Sluice__V1__ApplyResponse *rollback_try(const struct invocation *invocation,
					       uint64_t revision)
{
	Sluice__V1__RollbackRequest request;

	sluice__v1__rollback_request__init(&request);
	request.to = revision;
	request.dry_run = true;
	request.details = true;
	return (Sluice__V1__ApplyResponse *)call_reported(invocation, "Rollback", &request.base);
}

static int diff_run(const struct command *command, const struct invocation *invocation)
{
	bool files = option_count(&invocation->options, "file");
	Sluice__V1__ApplyResponse *response;
	uint64_t revision = 0;

	if (files && invocation->argument_count)
		return usage_error(command, "unexpected '%s', files are given with -f",
				   invocation->arguments[0]);
	if (!files && invocation->argument_count != 1)
		return usage_error(command, "-f FILE or a REVISION is missing");
	if (!files && option_get(&invocation->options, "prune"))
		return usage_error(command, "--prune goes with -f FILE");
	if (!files && !revision_parse(invocation->arguments[0], &revision))
		return usage_error(command, "'%s' is no revision (files are given with -f)",
				   invocation->arguments[0]);
	response = files ? files_try(invocation) : rollback_try(invocation, revision);
	if (!response)
		return EXIT_FAILED;
	if (invocation->output != OUTPUT_TABLE) {
		result_print(invocation, &response->base);
		sluice__v1__apply_response__free_unpacked(response, NULL);
		return EXIT_OK;
	}
	// Changes come in the order of the request, and then what goes.
	for (size_t i = 0; i < response->n_changes; i++) {
		const Sluice__V1__Change *change = response->changes[i];

		if (change->action == SLUICE__V1__ACTION__ACTION_UNCHANGED)
			continue;
		printf("%s/%s would be %s\n", change->kind, change->name,
		       action_name(change->action));
		difference_print(change->before, change->after);
	}
	impact_print(response->impact);
	sluice__v1__apply_response__free_unpacked(response, NULL);
	return EXIT_OK;
}

static const struct option_spec options[] = {
	OPTION_FILE,
	{.name = "prune", .text = "objects that are not in the files would go"},
	OPTION_OUTPUT,
	{0},
};

const struct command diff_command = {
	.name = "diff",
	.arguments = "-f FILE|- [-f FILE ...] [--prune] | REVISION [-o table|json|yaml]",
	.summary = "Shows what applying files would change, line by line",
	.about = "With REVISION: what `sluice rollback REVISION` would change. Nothing is changed, "
		 "and "
		 "nothing is printed where everything is so already. Behind the lines stands how "
		 "many "
		 "live connections of the node would end or be judged otherwise.\n"
		 "\n"
		 "-o json and yaml print the ApplyResponse of docs/reference/api.md, in which each "
		 "change has the object before and after.\n",
	.options = options,
	.examples = "  sluice diff -f ports.yaml\n"
		    "  sluice diff 41\n"
		    "  sluice diff -f all.yaml --prune -o json | jq '.impact.ending'\n",
	.run = diff_run,
};
