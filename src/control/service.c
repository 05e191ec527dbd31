// The gRPC service sluice.v1.Sluice.

#include <stdlib.h>

#include "control/control.h"
#include "control/upgrade/upgrade.h"
#include "model/transaction.h"
#include "rpc/health.h"
#include "rpc/reflection.h"
#include "telemetry/telemetry.h"

// protoc's description of all services (api/meson.build).
extern const uint8_t services_descriptor[];
extern const size_t services_descriptor_size;

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

static void handle_watch(void *context, struct rpc_call *call, ProtobufCMessage *message)
{
	watch_answer(context, call, (const Sluice__V1__WatchRequest *)message);
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

static void handle_audit(void *context, struct rpc_call *call, ProtobufCMessage *message)
{
	audit_answer(context, call);
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
	{"Apply", change_apply, RPC_ROLE_WRITE},
	{"Delete", change_delete, RPC_ROLE_WRITE},
	{"Rollback", change_rollback, RPC_ROLE_WRITE},
	{"Confirm", change_confirm, RPC_ROLE_WRITE},
	{"History", change_history, RPC_ROLE_READ},
	{"Capture", handle_capture, RPC_ROLE_OPERATE},
	{"Get", handle_get, RPC_ROLE_READ},
	{"Watch", handle_watch, RPC_ROLE_READ},
	{"Audit", handle_audit, RPC_ROLE_OPERATE},
	{"Drain", drain_answer, RPC_ROLE_OPERATE},
	{"Undrain", undrain_answer, RPC_ROLE_OPERATE},
	{"Flows", handle_flows, RPC_ROLE_READ},
	{"Trace", handle_trace, RPC_ROLE_READ},
	{"Stats", handle_stats, RPC_ROLE_READ},
	{"Version", handle_version, RPC_ROLE_READ},
	{"Upgrade", upgrade_answer, RPC_ROLE_WRITE},
	{NULL},
};

int control_serve(struct control *control, const struct control_options *options, int listeners[],
		  struct error *err)
{
	control->server = rpc_server_new(control->base, NULL);
	if (!control->server)
		return error_set(err, "no memory for the API");
	if (rpc_server_add(control->server, &sluice__v1__sluice__descriptor, methods, control,
			   err) < 0 ||
	    health_open(control->server, &control->health, err) < 0 ||
	    reflection_open(control->server, services_descriptor, services_descriptor_size,
			    &control->reflection, err) < 0)
		return -1;
	health_set(control->health, control->in_force == control->objects);
	if (rpc_server_listen(control->server, options->api, &listeners[UPGRADE_API], err) < 0)
		return -1;
	if (options->listen &&
	    rpc_server_listen_tls(control->server, options->listen, &listeners[UPGRADE_LISTEN],
				  &options->tls, options->roles, err) < 0)
		return error_prefix(err, "listen");
	return 0;
}
