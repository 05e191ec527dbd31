// The gRPC service sluice.v1.Sluice.

#include <stdlib.h>

#include "base/log.h"
#include "control/control.h"
#include "model/kind.h"
#include "model/transaction.h"
#include "telemetry/telemetry.h"

static void fail_with_problems(struct rpc_call *call, enum rpc_code code,
			       const struct problems *problems)
{
	Sluice__V1__Problems message = problems_message(problems);
	char summary[900];

	rpc_call_fail(call, code, &message.base, "%s",
		      problems_summary(problems, summary, sizeof(summary)));
}

// Compiles and stores the transaction. False: the call was answered, and nothing has changed.
// `*tables` is NULL where there is nothing to put in force.
static bool commit(struct control *control, struct rpc_call *call, struct transaction *transaction,
		   bool dry_run, struct tables **result)
{
	struct tables *tables;
	struct error err;

	*result = NULL;
	if (transaction->effective == 0)
		return true;
	if (control_compile(control, transaction->next, &tables, &err) < 0) {
		compile_numbers_abandon(&control->numbers);
		rpc_call_fail(call, RPC_RESOURCE_EXHAUSTED, NULL, "%s", err.text);
		return false;
	}
	if (dry_run) {
		tables_free(tables);
		compile_numbers_abandon(&control->numbers);
		return true;
	}
	if (store_commit(control->store, transaction->changes, transaction->change_count,
			 control->revision + 1, &err) < 0) {
		tables_free(tables);
		compile_numbers_abandon(&control->numbers);
		rpc_call_fail(call, RPC_UNAVAILABLE, NULL, "nothing was changed: %s", err.text);
		return false;
	}
	control->revision++;
	for (size_t i = 0; i < transaction->change_count; i++) {
		static const char *const words[] = {
			[SLUICE__V1__ACTION__ACTION_CREATED] = "created",
			[SLUICE__V1__ACTION__ACTION_CHANGED] = "changed",
			[SLUICE__V1__ACTION__ACTION_DELETED] = "deleted",
		};
		const struct change *change = &transaction->changes[i];

		if (change->action != SLUICE__V1__ACTION__ACTION_UNCHANGED)
			log_info("revision %llu: %s/%s %s", (unsigned long long)control->revision,
				 kind_name(change->kind), change->name, words[change->action]);
	}
	*result = tables;
	return true;
}

// After the answer was made from both sets.
static void put_in_force(struct control *control, struct transaction *transaction,
			 struct tables *tables)
{
	struct object_set *old = control->objects;

	if (!tables)
		return;
	control->objects = transaction->next;
	transaction->next = NULL;
	control_reconcile(control, tables);
	object_set_free(old);
}

static void handle_apply(void *context, struct rpc_call *call, ProtobufCMessage *message)
{
	Sluice__V1__ApplyRequest *request = (Sluice__V1__ApplyRequest *)message;
	struct control *control = context;
	bool dry_run = request->dry_run;
	struct problems problems = {0};
	struct transaction transaction;
	struct tables *tables;

	if (transaction_apply(control->objects, request, &transaction, &problems) !=
	    TRANSACTION_OK) {
		fail_with_problems(call, RPC_INVALID_ARGUMENT, &problems);
	} else if (commit(control, call, &transaction, dry_run, &tables)) {
		Sluice__V1__ApplyResponse *response =
			transaction_response(&transaction, control->revision);

		// The answer says that it is in force, so it comes after.
		put_in_force(control, &transaction, tables);
		rpc_call_reply(call, &response->base);
		sluice__v1__apply_response__free_unpacked(response, NULL);
	}
	transaction_clear(&transaction);
	problems_clear(&problems);
}

static void handle_delete(void *context, struct rpc_call *call, ProtobufCMessage *message)
{
	const Sluice__V1__DeleteRequest *request = (const Sluice__V1__DeleteRequest *)message;
	struct control *control = context;
	struct problems problems = {0};
	struct transaction transaction;
	struct tables *tables;

	switch (transaction_delete(control->objects, request->kind, request->name, &transaction,
				   &problems)) {
	case TRANSACTION_NOT_FOUND:
		fail_with_problems(call, RPC_NOT_FOUND, &problems);
		break;
	case TRANSACTION_INVALID:
		fail_with_problems(call,
				   kind_find(request->kind) == SLUICE__V1__OBJECT__KIND__NOT_SET
					   ? RPC_INVALID_ARGUMENT
					   : RPC_FAILED_PRECONDITION,
				   &problems);
		break;
	case TRANSACTION_OK:
		if (commit(control, call, &transaction, false, &tables)) {
			Sluice__V1__DeleteResponse response;

			sluice__v1__delete_response__init(&response);
			put_in_force(control, &transaction, tables);
			response.revision = control->revision;
			rpc_call_reply(call, &response.base);
		}
		break;
	}
	transaction_clear(&transaction);
	problems_clear(&problems);
}

static void handle_get(void *context, struct rpc_call *call, ProtobufCMessage *message)
{
	const Sluice__V1__GetRequest *request = (const Sluice__V1__GetRequest *)message;
	struct control *control = context;
	Sluice__V1__GetResponse *response;
	bool not_found = false;
	struct error err;

	response = transaction_get(control->objects, request->kind, request->name,
				   control->revision, &not_found, &err);
	if (!response) {
		rpc_call_fail(call, not_found ? RPC_NOT_FOUND : RPC_INVALID_ARGUMENT, NULL, "%s",
			      err.text);
		return;
	}
	statuses_add(control, response);
	rpc_call_reply(call, &response->base);
	statuses_free(response);
	transaction_get_free(response);
}

static void handle_flows(void *context, struct rpc_call *call, ProtobufCMessage *message)
{
	flows_answer(context, call, (const Sluice__V1__FlowsRequest *)message);
}

static void handle_trace(void *context, struct rpc_call *call, ProtobufCMessage *message)
{
	const Sluice__V1__TraceRequest *request = (const Sluice__V1__TraceRequest *)message;
	Sluice__V1__TraceResponse *response;
	bool not_found = false;
	struct error err;

	response = trace_run(context, request, &not_found, &err);
	if (!response) {
		rpc_call_fail(call, not_found ? RPC_NOT_FOUND : RPC_INVALID_ARGUMENT, NULL, "%s",
			      err.text);
		return;
	}
	rpc_call_reply(call, &response->base);
	sluice__v1__trace_response__free_unpacked(response, NULL);
}

static void handle_capture(void *context, struct rpc_call *call, ProtobufCMessage *message)
{
	enum rpc_code code = RPC_INVALID_ARGUMENT;
	struct error err;
	void *state = packets_open(context, call, (const Sluice__V1__CaptureRequest *)message,
				   &code, &err);

	if (!state)
		rpc_call_fail(call, code, NULL, "%s", err.text);
	else
		rpc_call_stream(call, &packets_stream, state);
}

static void handle_stats(void *context, struct rpc_call *call, ProtobufCMessage *message)
{
	Sluice__V1__StatsResponse *response = stats_collect(context);

	if (!response) {
		rpc_call_fail(call, RPC_RESOURCE_EXHAUSTED, NULL, "no memory");
		return;
	}
	rpc_call_reply(call, &response->base);
	sluice__v1__stats_response__free_unpacked(response, NULL);
}

static void handle_version(void *context, struct rpc_call *call, ProtobufCMessage *message)
{
	Sluice__V1__VersionResponse response;
	const struct control *control = context;

	sluice__v1__version_response__init(&response);
	response.version = (char *)(uintptr_t)SLUICE_VERSION;
	response.node = (char *)(uintptr_t)control->node;
	rpc_call_reply(call, &response.base);
}

static const struct rpc_method methods[] = {
	{"Apply", handle_apply, RPC_ROLE_WRITE},
	{"Delete", handle_delete, RPC_ROLE_WRITE},
	{"Capture", handle_capture, RPC_ROLE_OPERATE},
	{"Get", handle_get, RPC_ROLE_READ},
	{"Flows", handle_flows, RPC_ROLE_READ},
	{"Trace", handle_trace, RPC_ROLE_READ},
	{"Stats", handle_stats, RPC_ROLE_READ},
	{"Version", handle_version, RPC_ROLE_READ},
	{NULL},
};

int control_serve(struct control *control, const char *api, struct error *err)
{
	control->server = rpc_server_new(control->base, NULL);
	if (!control->server)
		return error_set(err, "no memory for the API");
	if (rpc_server_add(control->server, &sluice__v1__sluice__descriptor, methods, control,
			   err) < 0)
		return -1;
	return rpc_server_listen(control->server, api, err);
}
