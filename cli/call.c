// Calls of the commands, and what is said when they fail.

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/command.h"
#include "model/memory.h"

int failure(const char *format, ...)
{
	va_list args;

	// What was printed already comes first.
	fflush(stdout);
	fputs("sluice: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return EXIT_FAILED;
}

ProtobufCMessage *call(const struct invocation *invocation, const char *method,
		       const ProtobufCMessage *request, struct rpc_status *status)
{
	ProtobufCMessage *response = NULL;
	struct rpc_client *client;
	struct error err;

	memset(status, 0, sizeof(*status));
	if (rpc_client_open(invocation->api, &client, &err) < 0) {
		rpc_status_set(status, RPC_UNAVAILABLE, "%s", err.text);
		return NULL;
	}
	rpc_client_call(client, &sluice__v1__sluice__descriptor, method, request, &response,
			status);
	rpc_client_close(client);
	return response;
}

int status_failure(const struct rpc_status *status, const struct document *document)
{
	Sluice__V1__Problems *problems = (Sluice__V1__Problems *)rpc_status_detail(
		status, &sluice__v1__problems__descriptor);
	struct document *none = document ? NULL : document_new();

	if (!problems || problems->n_problems == 0) {
		failure("%s", *status->message ? status->message : rpc_code_name(status->code));
	} else {
		fflush(stdout);
		for (size_t i = 0; i < problems->n_problems; i++) {
			const Sluice__V1__Problem *problem = problems->problems[i];
			char *line = document_problem(document ? document : none, problem);

			// One that is about no object is about the call.
			fprintf(stderr, "%s%s\n",
				*problem->kind || *problem->name || *problem->field ? ""
										    : "sluice: ",
				line);
			free(line);
		}
		if (problems->total > problems->n_problems)
			failure("and %zu more problems", problems->total - problems->n_problems);
	}
	if (problems)
		sluice__v1__problems__free_unpacked(problems, NULL);
	document_free(none);
	return EXIT_FAILED;
}

Sluice__V1__ApplyResponse *files_apply(const struct invocation *invocation, bool dry_run,
				       struct document **document)
{
	Sluice__V1__ApplyRequest request = SLUICE__V1__APPLY_REQUEST__INIT;
	Sluice__V1__ApplyResponse *response;
	struct rpc_status status;

	*document = document_new();
	for (size_t i = 0; i < option_count(&invocation->options, "file"); i++)
		document_read(*document, option_at(&invocation->options, "file", i));
	if ((*document)->error_count) {
		for (size_t i = 0; i < (*document)->error_count; i++)
			fprintf(stderr, "%s\n", (*document)->errors[i]);
		return NULL;
	}
	if ((*document)->count == 0) {
		const char *first = option_at(&invocation->options, "file", 0);

		failure("no objects in %s", strcmp(first, "-") == 0 ? "<stdin>" : first);
		return NULL;
	}
	request.dry_run = dry_run;
	request.n_objects = (*document)->count;
	request.objects = memory_new(request.n_objects * sizeof(*request.objects));
	for (size_t i = 0; i < request.n_objects; i++)
		request.objects[i] = (*document)->objects[i].object;
	response = (Sluice__V1__ApplyResponse *)call(invocation, "Apply", &request.base, &status);
	free(request.objects);
	if (!response)
		status_failure(&status, *document);
	rpc_status_clear(&status);
	return response;
}
