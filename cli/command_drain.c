// sluice drain, sluice undrain: a device of the uplink that is to be serviced.

#include <stdio.h>
#include <string.h>

#include "cli/changes.h"
#include "model/scalar.h"

// The device's name, or NULL after a usage error.
static const char *device_argument(const struct command *command,
				   const struct invocation *invocation)
{
	if (invocation->argument_count == 2 && strcmp(invocation->arguments[0], "uplink") == 0)
		return invocation->arguments[1];
	usage_error(command, "%s takes uplink and a DEVICE of it", command->name);
	return NULL;
}

static int drain_run(const struct command *command, const struct invocation *invocation)
{
	const char *device = device_argument(command, invocation);
	Sluice__V1__DrainRequest request;
	Sluice__V1__DrainResponse *response;

	if (!device)
		return EXIT_USAGE;
	sluice__v1__drain_request__init(&request);
	request.device = (char *)(uintptr_t)device;
	response = (Sluice__V1__DrainResponse *)call_reported(invocation, "Drain", &request.base);
	if (!response)
		return EXIT_FAILED;
	if (invocation->output == OUTPUT_TABLE)
		printf("%s may be pulled: %s carries the uplink's packets\n", device,
		       response->carried_by);
	else
		result_print(invocation, &response->base);
	sluice__v1__drain_response__free_unpacked(response, NULL);
	return EXIT_OK;
}

static int undrain_run(const struct command *command, const struct invocation *invocation)
{
	const char *device = device_argument(command, invocation);
	Sluice__V1__UndrainRequest request;
	Sluice__V1__UndrainResponse *response;
	const Sluice__V1__DeviceStatus *status;

	if (!device)
		return EXIT_USAGE;
	sluice__v1__undrain_request__init(&request);
	request.device = (char *)(uintptr_t)device;
	response =
		(Sluice__V1__UndrainResponse *)call_reported(invocation, "Undrain", &request.base);
	if (!response)
		return EXIT_FAILED;
	status = response->device;
	if (invocation->output != OUTPUT_TABLE)
		result_print(invocation, &response->base);
	else if (status->state == SLUICE__V1__DEVICE_STATE__DEVICE_STATE_CARRIES)
		printf("%s carries the uplink's packets\n", status->name);
	else
		printf("%s is in use again%s%s\n", status->name, *status->reason ? ": " : "",
		       status->reason);
	sluice__v1__undrain_response__free_unpacked(response, NULL);
	return EXIT_OK;
}

static const struct option_spec options[] = {OPTION_OUTPUT, {0}};

const struct command drain_command = {
	.name = "drain",
	.arguments = "uplink DEVICE [-o table|json|yaml]",
	.summary = "Takes a device of the uplink out of use, so that it may be pulled",
	.about = "Another device of the uplink sends from then on. What still comes by this one is "
		 "received,\n"
		 "until there is nothing more (3 seconds at most); then it is closed, and the "
		 "command says that\n"
		 "it may be pulled. It stays out of use until it is undrained, or sluiced starts "
		 "anew.\n"
		 "DEVICE is an interface, PCI address, path or devargs, as the Node's "
		 "uplink.devices has it; of\n"
		 "devargs what is in front of the first comma is enough.\n",
	.options = options,
	.examples = "  sluice drain uplink 0000:3b:00.0\n"
		    "  sluice undrain uplink 0000:3b:00.0\n",
	.run = drain_run,
};

const struct command undrain_command = {
	.name = "undrain",
	.arguments = "uplink DEVICE [-o table|json|yaml]",
	.summary = "Takes a device of the uplink into use again",
	.about = "If it is the best one that works, it sends from then on, without the pause that "
		 "follows\n"
		 "a failure. One that is not there is "
		 "used as soon\n"
		 "as it is.\n",
	.options = options,
	.examples = "  sluice undrain uplink eth1\n",
	.run = undrain_run,
};
