// sluice trace: what each layer would decide on a packet.

#include <stdio.h>
#include <string.h>

#include "cli/command.h"

static void trace_print(const Sluice__V1__TraceResponse *response)
{
	int width = 0;
	size_t last = response->n_steps;

	for (size_t i = 0; i < last; i++)
		if ((int)strlen(response->steps[i]->layer) > width)
			width = (int)strlen(response->steps[i]->layer);
	for (size_t i = 0; i < last; i++)
		printf("%-*s  %s\n", width, response->steps[i]->layer, response->steps[i]->text);
	if (strcmp(response->verdict, "drop") == 0)
		printf("drop %s\n", response->reason);
	else
		printf("%s%s%s\n", response->verdict, *response->reason ? " " : "",
		       response->reason);
}

static int trace_run(const struct command *command, const struct invocation *invocation)
{
	Sluice__V1__TraceResponse *response;
	Sluice__V1__TraceRequest request;
	struct rpc_status status;

	if (!invocation->port)
		return usage_error(command, "--port PORT is missing");
	if (invocation->argument_count != 1)
		return usage_error(command, "trace takes one packet, in quotes");
	sluice__v1__trace_request__init(&request);
	request.port = (char *)(uintptr_t)invocation->port;
	request.packet = invocation->arguments[0];
	response = (Sluice__V1__TraceResponse *)call(invocation, "Trace", &request.base, &status);
	if (!response) {
		status_failure(&status, NULL);
		rpc_status_clear(&status);
		return EXIT_FAILED;
	}
	if (invocation->output == OUTPUT_TABLE) {
		trace_print(response);
	} else {
		message_print(stdout, &response->base,
			      invocation->output == OUTPUT_JSON ? PRINT_JSON : PRINT_YAML,
			      PRINT_EMPTY, 0);
		if (invocation->output == OUTPUT_JSON)
			putchar('\n');
	}
	sluice__v1__trace_response__free_unpacked(response, NULL);
	return EXIT_OK;
}

const struct command trace_command = {
	.name = "trace",
	.arguments = "--port PORT 'PACKET' [-o table|json|yaml]",
	.summary = "Runs a made-up packet through the layers and shows what each decides",
	.help = "The last line is `allow ...` or `drop REASON`; the exit status is 0 in both "
		"cases.\n"
		"\n"
		"Options:\n"
		"  --port PORT        where the packet enters\n"
		"  -o, --output FORM  table (default), json or yaml\n"
		"\n"
		"PACKET is PROTOCOL SOURCE > DESTINATION:\n"
		"  tcp 10.1.0.11:1234 > 10.1.0.12:80\n"
		"  udp [fd00::1]:53 > [fd00::2]:53\n"
		"  icmp 10.1.0.11 > 10.1.0.12\n"
		"\n"
		"Examples:\n"
		"  sluice trace --port web-1 'tcp 10.1.0.11:1234 > 10.1.0.12:80'\n",
	.options = "po",
	.run = trace_run,
};
