// sluice delete: removes one object.

#include <stdio.h>

#include "cli/command.h"
#include "model/kind.h"

static int delete_run(const struct command *command, const struct invocation *invocation)
{
	Sluice__V1__DeleteRequest request;
	ProtobufCMessage *response;
	struct rpc_status status;
	const char *kind;

	if (invocation->argument_count != 2)
		return usage_error(command, "delete takes KIND and NAME");
	sluice__v1__delete_request__init(&request);
	request.kind = invocation->arguments[0];
	request.name = invocation->arguments[1];
	kind = kind_name(kind_find(request.kind));
	if (!kind)
		kind = request.kind;
	response = call(invocation, "Delete", &request.base, &status);
	if (response) {
		printf("%s/%s deleted\n", kind, request.name);
		protobuf_c_message_free_unpacked(response, NULL);
		return EXIT_OK;
	}
	if (status.code == RPC_FAILED_PRECONDITION)
		failure("%s/%s is in use and stays; without it there would be:", kind,
			request.name);
	status_failure(&status, NULL);
	rpc_status_clear(&status);
	return EXIT_FAILED;
}

const struct command delete_command = {
	.name = "delete",
	.arguments = "KIND NAME",
	.summary = "Removes an object that no other refers to",
	.words = "KIND NAME",
	.about = "KIND may be written in any case, singular or plural.\n",
	.examples = "  sluice delete port web-1\n"
		    "  sluice delete security-group web\n",
	.run = delete_run,
};
