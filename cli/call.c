// Calls of the commands, and what is said when they fail.

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>

#include "cli/command.h"
#include "model/memory.h"
#include "rpc/address.h"

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

int client_open(const struct invocation *invocation, struct rpc_client **client, struct error *err)
{
	const struct rpc_tls_files *tls = &invocation->tls;

	if (rpc_address_tls(invocation->api) && (!tls->certificate || !tls->key || !tls->ca))
		return error_set(
			err, "%.200s needs --%s FILE (or SLUICE_CERT, SLUICE_KEY and SLUICE_CA)",
			invocation->api,
			!tls->certificate ? "cert"
			: !tls->key	  ? "key"
					  : "ca");
	return rpc_client_open(invocation->api, tls, client, err);
}

ProtobufCMessage *call(const struct invocation *invocation, const char *method,
		       const ProtobufCMessage *request, struct rpc_status *status)
{
	ProtobufCMessage *response = NULL;
	struct rpc_client *client;
	struct error err;

	memset(status, 0, sizeof(*status));
	if (client_open(invocation, &client, &err) < 0) {
		rpc_status_set(status, RPC_UNAVAILABLE, "%s", err.text);
		return NULL;
	}
	rpc_client_call(client, &sluice__v1__sluice__descriptor, method, request, &response,
			status);
	rpc_client_close(client);
	return response;
}

// Everything that is wrong with the document, a line each.
static void errors_print(struct document *document, size_t more)
{
	fflush(stdout);
	document_sort_errors(document);
	for (size_t i = 0; i < document->error_count; i++)
		fprintf(stderr, "%s\n", document->errors[i].text);
	more += document->errors_left_out;
	if (more)
		failure("and %zu more problems", more);
}

// Adds the status's problems to the document, and returns how many of them it has no room for; -1
// where it has none.
static ssize_t problems_take(const struct rpc_status *status, struct document *document)
{
	Sluice__V1__Problems *problems = (Sluice__V1__Problems *)rpc_status_detail(
		status, &sluice__v1__problems__descriptor);
	ssize_t more = -1;

	if (problems && problems->n_problems) {
		for (size_t i = 0; i < problems->n_problems; i++)
			document_add_problem(document, problems->problems[i]);
		more = problems->total > problems->n_problems
			       ? (ssize_t)(problems->total - problems->n_problems)
			       : 0;
	}
	if (problems)
		sluice__v1__problems__free_unpacked(problems, NULL);
	return more;
}

void result_print(const struct invocation *invocation, const ProtobufCMessage *message)
{
	bool json = invocation->output == OUTPUT_JSON;

	message_print(stdout, message, json ? PRINT_JSON : PRINT_YAML, PRINT_EMPTY, 0);
	if (json)
		putchar('\n');
}

int status_failure(const struct rpc_status *status, struct document *document)
{
	struct document *none = document ? NULL : document_new();
	ssize_t more = problems_take(status, document ? document : none);

	if (more < 0)
		failure("%s", *status->message ? status->message : rpc_code_name(status->code));
	else
		errors_print(document ? document : none, (size_t)more);
	document_free(none);
	return EXIT_FAILED;
}

ProtobufCMessage *call_reported(const struct invocation *invocation, const char *method,
				const ProtobufCMessage *request)
{
	struct rpc_status status;
	ProtobufCMessage *response = call(invocation, method, request, &status);

	if (!response)
		status_failure(&status, NULL);
	rpc_status_clear(&status);
	return response;
}

// The objects are the document's.
static Sluice__V1__ApplyResponse *document_apply(const struct invocation *invocation,
						 const struct document *document,
						 const Sluice__V1__ApplyRequest *as,
						 struct rpc_status *status)
{
	Sluice__V1__ApplyRequest request = *as;
	Sluice__V1__ApplyResponse *response;

	request.n_objects = document->count;
	request.objects = memory_new(request.n_objects * sizeof(*request.objects));
	for (size_t i = 0; i < request.n_objects; i++)
		request.objects[i] = document->objects[i].object;
	response = (Sluice__V1__ApplyResponse *)call(invocation, "Apply", &request.base, status);
	free(request.objects);
	return response;
}

// The document can't be applied; what else is wrong with it is asked all the same.
static void document_failure(const struct invocation *invocation, struct document *document)
{
	Sluice__V1__ApplyResponse *response = NULL;
	Sluice__V1__ApplyRequest request;
	struct rpc_status status = {0};
	ssize_t more = -1;

	sluice__v1__apply_request__init(&request);
	request.dry_run = true;
	if (document->count) {
		response = document_apply(invocation, document, &request, &status);
		if (response)
			sluice__v1__apply_response__free_unpacked(response, NULL);
		else
			more = problems_take(&status, document);
		rpc_status_clear(&status);
	}
	errors_print(document, more > 0 ? (size_t)more : 0);
}

static struct document *document_new_of_files(const struct invocation *invocation)
{
	struct document *document = document_new();

	for (size_t i = 0; i < option_count(&invocation->options, "file"); i++)
		document_read(document, option_at(&invocation->options, "file", i));
	return document;
}

static bool document_has_objects(const struct invocation *invocation,
				 const struct document *document)
{
	const char *first = option_at(&invocation->options, "file", 0);

	if (document->count == 0)
		failure("no objects in %s", strcmp(first, "-") == 0 ? "<stdin>" : first);
	return document->count;
}

struct document *files_read(const struct invocation *invocation)
{
	struct document *document = document_new_of_files(invocation);

	if (document->error_count)
		errors_print(document, 0);
	else if (document_has_objects(invocation, document))
		return document;
	document_free(document);
	return NULL;
}

Sluice__V1__ApplyResponse *files_apply(const struct invocation *invocation,
				       const Sluice__V1__ApplyRequest *request,
				       struct document **document)
{
	Sluice__V1__ApplyResponse *response;
	struct rpc_status status;

	*document = document_new_of_files(invocation);
	if ((*document)->error_count) {
		document_failure(invocation, *document);
		return NULL;
	}
	if (!document_has_objects(invocation, *document))
		return NULL;
	response = document_apply(invocation, *document, request, &status);
	if (!response)
		status_failure(&status, *document);
	rpc_status_clear(&status);
	return response;
}
