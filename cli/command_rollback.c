// sluice rollback: objects as they were at an earlier revision.

#include <stdio.h>

#include "cli/changes.h"

static int rollback_run(const struct command *command, const struct invocation *invocation)
{
	Sluice__V1__RollbackRequest request;
	Sluice__V1__ApplyResponse *response;
	bool only_if;

	sluice__v1__rollback_request__init(&request);
	if (invocation->argument_count != 1)
		return usage_error(command, "rollback takes the REVISION to go back to");
	if (!revision_parse(invocation->arguments[0], &request.to))
		return usage_error(command, "'%s' is no revision", invocation->arguments[0]);
	if (!revision_option(command, invocation, &request.revision, &only_if) ||
	    !time_option(command, invocation, "confirm", &request.confirm_seconds))
		return EXIT_USAGE;
	if (only_if)
		request.has_revision_case = SLUICE__V1__ROLLBACK_REQUEST__HAS_REVISION_REVISION;
	request.dry_run = option_get(&invocation->options, "dry-run") != NULL;
	if (option_get(&invocation->options, "comment"))
		request.comment = (char *)(uintptr_t)option_get(&invocation->options, "comment");
	response =
		(Sluice__V1__ApplyResponse *)call_reported(invocation, "Rollback", &request.base);
	if (!response)
		return EXIT_FAILED;
	changes_print(invocation, &response->base, response->changes, response->n_changes,
		      response->impact, request.dry_run);
	if (response->n_changes == 0 && invocation->output == OUTPUT_TABLE)
		puts("nothing to change");
	if (request.confirm_seconds && response->n_changes && !request.dry_run &&
	    invocation->output == OUTPUT_TABLE)
		confirm_print(response->revision, request.confirm_seconds);
	sluice__v1__apply_response__free_unpacked(response, NULL);
	return EXIT_OK;
}

static const struct option_spec options[] = {
	OPTION_DRY_RUN, OPTION_CONFIRM, OPTION_REVISION, OPTION_COMMENT, OPTION_OUTPUT, {0},
};

const struct command rollback_command = {
	.name = "rollback",
	.arguments = "REVISION [--dry-run] [--confirm TIME] ...",
	.summary = "Makes all objects again what they were at an earlier revision",
	.about = "The way back is a change like any other, with a revision of its own, and can be "
		 "rolled back too.\n",
	.options = options,
	.examples = "  sluice history\n"
		    "  sluice rollback 41 --dry-run\n"
		    "  sluice rollback 41 --comment 'web was cut off'\n",
	.run = rollback_run,
};
