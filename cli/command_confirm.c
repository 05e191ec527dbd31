// sluice confirm: a change that was made with --confirm stays.

#include <inttypes.h>
#include <stdio.h>

#include "cli/changes.h"

static int confirm_run(const struct command *command, const struct invocation *invocation)
{
	Sluice__V1__ConfirmRequest request;
	Sluice__V1__ConfirmResponse *response;

	if (invocation->argument_count > 1)
		return usage_error(command, "confirm takes one REVISION or none");
	sluice__v1__confirm_request__init(&request);
	if (invocation->argument_count) {
		if (!revision_parse(invocation->arguments[0], &request.revision))
			return usage_error(command, "'%s' is no revision",
					   invocation->arguments[0]);
		request.has_revision_case = SLUICE__V1__CONFIRM_REQUEST__HAS_REVISION_REVISION;
	}
	response =
		(Sluice__V1__ConfirmResponse *)call_reported(invocation, "Confirm", &request.base);
	if (!response)
		return EXIT_FAILED;
	if (invocation->output == OUTPUT_TABLE)
		printf("revision %" PRIu64 " confirmed\n", response->revision);
	else
		result_print(invocation, &response->base);
	sluice__v1__confirm_response__free_unpacked(response, NULL);
	return EXIT_OK;
}

static const struct option_spec options[] = {OPTION_OUTPUT, {0}};

const struct command confirm_command = {
	.name = "confirm",
	.arguments = "[REVISION] [-o table|json|yaml]",
	.summary = "Keeps a change that was made with --confirm and would revert by itself",
	.about = "With REVISION only if it is that one that waits.\n",
	.options = options,
	.examples = "  sluice apply -f groups.yaml --confirm 60s\n"
		    "  sluice confirm\n",
	.run = confirm_run,
};
