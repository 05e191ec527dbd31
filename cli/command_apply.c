// sluice apply: makes objects as the files describe them.

#include <stdio.h>

#include "cli/changes.h"

static int apply_run(const struct command *command, const struct invocation *invocation)
{
	Sluice__V1__ApplyResponse *response;
	Sluice__V1__ApplyRequest request;
	struct document *document;
	bool only_if;

	if (invocation->argument_count)
		return usage_error(command, "unexpected '%s', files are given with -f",
				   invocation->arguments[0]);
	if (!option_count(&invocation->options, "file"))
		return usage_error(command, "-f FILE is missing");
	sluice__v1__apply_request__init(&request);
	if (!revision_option(command, invocation, &request.revision, &only_if) ||
	    !time_option(command, invocation, "confirm", &request.confirm_seconds))
		return EXIT_USAGE;
	if (only_if)
		request.has_revision_case = SLUICE__V1__APPLY_REQUEST__HAS_REVISION_REVISION;
	request.dry_run = option_get(&invocation->options, "dry-run") != NULL;
	request.prune = option_get(&invocation->options, "prune") != NULL;
	if (option_get(&invocation->options, "comment"))
		request.comment = (char *)(uintptr_t)option_get(&invocation->options, "comment");
	response = files_apply(invocation, &request, &document);
	document_free(document);
	if (!response)
		return EXIT_FAILED;
	changes_print(invocation, &response->base, response->changes, response->n_changes,
		      response->impact, request.dry_run);
	if (request.confirm_seconds && !request.dry_run && invocation->output == OUTPUT_TABLE)
		for (size_t i = 0; i < response->n_changes; i++)
			if (response->changes[i]->action != SLUICE__V1__ACTION__ACTION_UNCHANGED) {
				confirm_print(response->revision, request.confirm_seconds);
				break;
			}
	sluice__v1__apply_response__free_unpacked(response, NULL);
	return EXIT_OK;
}

static const struct option_spec options[] = {
	OPTION_FILE,
	OPTION_DRY_RUN,
	{.name = "prune", .text = "objects that are not in the files go, of all kinds"},
	OPTION_CONFIRM,
	OPTION_REVISION,
	OPTION_COMMENT,
	OPTION_OUTPUT,
	{0},
};

const struct command apply_command = {
	.name = "apply",
	.arguments = "-f FILE|- [-f FILE ...] [--dry-run] [--prune] [--confirm TIME] ...",
	.summary = "Creates and changes objects as YAML or JSON files describe them",
	.about = "All files together are applied whole or not at all. Objects that they don't name "
		 "stay as they are, unless --prune is given.\n",
	.options = options,
	.examples = "  sluice apply -f networks.yaml -f ports.yaml\n"
		    "  sluice get ports -o yaml | sed s/blue/green/ | sluice apply -f - --dry-run\n"
		    "  sluice apply -f everything.yaml --prune --comment 'ticket 4711'\n"
		    "  sluice apply -f groups.yaml --confirm 60s && ping -c 3 web-1 && sluice "
		    "confirm\n",
	.run = apply_run,
};
