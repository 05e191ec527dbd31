// sluice version: of this program and of sluiced.

#include <stdio.h>

#include "cli/command.h"

static int version_run(const struct command *command, const struct invocation *invocation)
{
	Sluice__V1__VersionRequest request = SLUICE__V1__VERSION_REQUEST__INIT;
	Sluice__V1__VersionResponse *response;

	if (invocation->argument_count)
		return usage_error(command, "unexpected '%s'", invocation->arguments[0]);
	if (invocation->output == OUTPUT_TABLE)
		printf("sluice   %s\n", SLUICE_VERSION);
	response =
		(Sluice__V1__VersionResponse *)call_reported(invocation, "Version", &request.base);
	if (!response)
		return EXIT_FAILED;
	if (invocation->output == OUTPUT_TABLE)
		printf("sluiced  %s, node %s\n", response->version, response->node);
	else
		result_print(invocation, &response->base);
	sluice__v1__version_response__free_unpacked(response, NULL);
	return EXIT_OK;
}

static const struct option_spec options[] = {
	{.name = "output",
	 .letter = 'o',
	 .argument = "FORM",
	 .text = "table (default), json or yaml; the last two are about sluiced only",
	 .completion = "table json yaml"},
	{0},
};

const struct command version_command = {
	.name = "version",
	.arguments = "[-o table|json|yaml]",
	.summary = "Shows the versions of this program and of sluiced, and the node's name",
	.options = options,
	.examples = "  sluice --api unix:/run/sluice/sluiced.sock version\n",
	.run = version_run,
};
