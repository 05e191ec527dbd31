// sluice delete: removes objects.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/changes.h"
#include "model/kind.h"
#include "model/memory.h"
#include "model/object.h"

// KIND NAME [NAME ...], or what the files have. Texts are the command line's or the document's.
static void references_make(Sluice__V1__DeleteRequest *request, const struct invocation *invocation,
			    const struct document *document)
{
	size_t count = document ? document->count : (size_t)invocation->argument_count - 1;

	request->objects = memory_new(count * sizeof(*request->objects));
	for (size_t i = 0; i < count; i++) {
		Sluice__V1__ObjectReference *reference = memory_new(sizeof(*reference));

		sluice__v1__object_reference__init(reference);
		if (document) {
			const Sluice__V1__Object *object = document->objects[i].object;

			reference->kind = (char *)(uintptr_t)object_kind_name(object);
			reference->name = (char *)(uintptr_t)object_name(object);
		} else {
			reference->kind = invocation->arguments[0];
			reference->name = invocation->arguments[i + 1];
		}
		request->objects[request->n_objects++] = reference;
	}
}

static int delete_fail(const Sluice__V1__DeleteRequest *request, const struct rpc_status *status)
{
	if (status->code == RPC_FAILED_PRECONDITION && status->details && request->n_objects == 1) {
		const char *kind = kind_name(kind_find(request->objects[0]->kind));

		failure("%s/%s is in use and stays; without it there would be:",
			kind ? kind : request->objects[0]->kind, request->objects[0]->name);
	} else if (status->code == RPC_FAILED_PRECONDITION && status->details) {
		failure("they are in use and all stay; without them there would be:");
	}
	return status_failure(status, NULL);
}

static int delete_run(const struct command *command, const struct invocation *invocation)
{
	bool files = option_count(&invocation->options, "file"), only_if;
	struct document *document = NULL;
	Sluice__V1__DeleteRequest request;
	Sluice__V1__DeleteResponse *response;
	struct rpc_status status;
	int result = EXIT_OK;

	if (files && invocation->argument_count)
		return usage_error(command, "unexpected '%s' beside -f", invocation->arguments[0]);
	if (!files && invocation->argument_count < 2)
		return usage_error(command, "delete takes KIND and NAME, or -f FILE");
	sluice__v1__delete_request__init(&request);
	if (!revision_option(command, invocation, &request.revision, &only_if) ||
	    !time_option(command, invocation, "confirm", &request.confirm_seconds))
		return EXIT_USAGE;
	if (only_if)
		request.has_revision_case = SLUICE__V1__DELETE_REQUEST__HAS_REVISION_REVISION;
	request.dry_run = option_get(&invocation->options, "dry-run") != NULL;
	if (option_get(&invocation->options, "comment"))
		request.comment = (char *)(uintptr_t)option_get(&invocation->options, "comment");
	if (files && !(document = files_read(invocation)))
		return EXIT_FAILED;
	references_make(&request, invocation, document);
	response = (Sluice__V1__DeleteResponse *)call(invocation, "Delete", &request.base, &status);
	if (response) {
		changes_print(invocation, &response->base, response->changes, response->n_changes,
			      response->impact, request.dry_run);
		if (request.confirm_seconds && !request.dry_run &&
		    invocation->output == OUTPUT_TABLE)
			confirm_print(response->revision, request.confirm_seconds);
		sluice__v1__delete_response__free_unpacked(response, NULL);
	} else {
		result = delete_fail(&request, &status);
		rpc_status_clear(&status);
	}
	for (size_t i = 0; i < request.n_objects; i++)
		free(request.objects[i]);
	free(request.objects);
	if (document)
		document_free(document);
	return result;
}

static const struct option_spec options[] = {
	OPTION_FILE, OPTION_DRY_RUN, OPTION_CONFIRM, OPTION_REVISION, OPTION_COMMENT, OPTION_OUTPUT,
	{0},
};

const struct command delete_command = {
	.name = "delete",
	.arguments = "KIND NAME [NAME ...] | -f FILE [--dry-run] [--confirm TIME] ...",
	.summary = "Removes objects that no others refer to",
	.words = "KIND NAME...",
	.about = "KIND may be written in any case, singular or plural. Several objects go together "
		 "or not at all. Of the files' objects only kind and name count.\n",
	.options = options,
	.examples = "  sluice delete port web-1 web-2\n"
		    "  sluice delete security-group web --dry-run\n"
		    "  sluice delete -f ports.yaml --comment 'tenant has left'\n",
	.run = delete_run,
};
