// sluice upgrade: another sluiced in the place of the one that runs.

#include <inttypes.h>
#include <stdio.h>

#include "cli/changes.h"
#include "cli/command.h"

static int upgrade_run(const struct command *command, const struct invocation *invocation)
{
	const char *binary = option_get(&invocation->options, "binary");
	Sluice__V1__UpgradeRequest request;
	Sluice__V1__UpgradeResponse *response;

	sluice__v1__upgrade_request__init(&request);
	if (invocation->argument_count)
		return usage_error(command, "unexpected '%s'", invocation->arguments[0]);
	if (binary && *binary != '/')
		return usage_error(command, "--binary: '%s' is no absolute path", binary);
	if (!time_option(command, invocation, "limit", &request.limit_seconds))
		return EXIT_USAGE;
	if (binary)
		request.binary = (char *)(uintptr_t)binary;
	response =
		(Sluice__V1__UpgradeResponse *)call_reported(invocation, "Upgrade", &request.base);
	if (!response)
		return EXIT_FAILED;
	if (invocation->output == OUTPUT_TABLE)
		printf("sluiced %s is the node now, process %" PRIu32 ": %" PRIu64
		       " connections go on, %" PRIu64 ".%" PRIu64 " ms without forwarding\n",
		       response->version, response->pid, response->connections,
		       response->gap_microseconds / 1000, response->gap_microseconds % 1000 / 100);
	else
		result_print(invocation, &response->base);
	sluice__v1__upgrade_response__free_unpacked(response, NULL);
	return EXIT_OK;
}

static const struct option_spec options[] = {
	{.name = "binary",
	 .argument = "PATH",
	 .text = "the program, which only root may write; default: the path that sluiced was "
		 "started from",
	 .completion = "FILE"},
	{.name = "limit",
	 .argument = "TIME",
	 .text = "how long the new process may take to get ready, as 60s or 10m; default: 120s"},
	OPTION_OUTPUT,
	{0},
};

const struct command upgrade_command = {
	.name = "upgrade",
	.arguments = "[--binary PATH] [--limit TIME] [-o table|json|yaml]",
	.summary = "Has another sluiced take the place of the one that runs; no connection ends",
	.about = "The new process gets the options of the old one, and reads the file of --config "
		 "anew. It\n"
		 "takes over ports, connections and listening sockets while the old one still "
		 "runs; if it\n"
		 "fails, the old one goes on as if nothing had been, and exit status is 1.\n",
	.options = options,
	.examples = "  sluice upgrade\n"
		    "  sluice upgrade --binary /opt/sluice-0.2/sluiced\n",
	.run = upgrade_run,
};
