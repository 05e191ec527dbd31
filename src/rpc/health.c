// gRPC's health service.

#include "rpc/health.h"

#include "health.pb-c.h"
#include "model/memory.h"
#include "rpc/server_private.h"

#define SERVING		GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING
#define NOT_SERVING	GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING
#define SERVICE_UNKNOWN GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN

// A call of Watch.
struct watcher {
	LIST_ENTRY(watcher) entry;
	struct health *health;
	struct rpc_call *call;
	bool known; // there is such a service
	bool told;
	Grpc__Health__V1__HealthCheckResponse response; // what was told last
};

struct health {
	const struct rpc_server *server;
	bool serving;
	LIST_HEAD(watchers, watcher) watchers;
};

// Services are added when the server starts, and stay.
static bool service_known(const struct health *health, const char *name)
{
	const struct rpc_server *server = health->server;

	for (size_t i = 0; i < server->service_count; i++)
		if (strcmp(server->services[i].descriptor->name, name) == 0)
			return true;
	return *name == 0;
}

static void handle_check(void *context, struct rpc_call *call, ProtobufCMessage *message)
{
	const Grpc__Health__V1__HealthCheckRequest *request =
		(const Grpc__Health__V1__HealthCheckRequest *)message;
	const struct health *health = context;
	Grpc__Health__V1__HealthCheckResponse response;

	if (!service_known(health, request->service)) {
		rpc_call_fail(call, RPC_NOT_FOUND, NULL, "no service %.200s", request->service);
		return;
	}
	grpc__health__v1__health_check_response__init(&response);
	response.status = health->serving ? SERVING : NOT_SERVING;
	rpc_call_reply(call, &response.base);
}

static void handle_list(void *context, struct rpc_call *call, ProtobufCMessage *message)
{
	const struct health *health = context;
	size_t count = health->server->service_count + 1; // the last one: the whole
	Grpc__Health__V1__HealthListResponse__StatusesEntry *entries, **list;
	Grpc__Health__V1__HealthListResponse response;
	Grpc__Health__V1__HealthCheckResponse state;

	grpc__health__v1__health_check_response__init(&state);
	state.status = health->serving ? SERVING : NOT_SERVING;
	entries = memory_new(count * sizeof(*entries));
	list = memory_new(count * sizeof(void *));
	for (size_t i = 0; i < count; i++) {
		grpc__health__v1__health_list_response__statuses_entry__init(&entries[i]);
		entries[i].key =
			(char *)(uintptr_t)(i + 1 < count
						    ? health->server->services[i].descriptor->name
						    : "");
		entries[i].value = &state;
		list[i] = &entries[i];
	}
	grpc__health__v1__health_list_response__init(&response);
	response.n_statuses = count;
	response.statuses = list;
	rpc_call_reply(call, &response.base);
	free(list);
	free(entries);
}

static enum rpc_next watch_next(void *state, const ProtobufCMessage **message,
				struct rpc_status *status)
{
	struct watcher *watcher = state;
	Grpc__Health__V1__HealthCheckResponse__ServingStatus now = !watcher->known ? SERVICE_UNKNOWN
								   : watcher->health->serving
									   ? SERVING
									   : NOT_SERVING;

	if (watcher->told && watcher->response.status == now)
		return RPC_NEXT_WAIT;
	watcher->told = true;
	watcher->response.status = now;
	*message = &watcher->response.base;
	return RPC_NEXT_MESSAGE;
}

static void watch_close(void *state)
{
	struct watcher *watcher = state;

	LIST_REMOVE(watcher, entry);
	free(watcher);
}

static const struct rpc_stream watch_stream = {watch_next, watch_close};

static void handle_watch(void *context, struct rpc_call *call, ProtobufCMessage *message)
{
	const Grpc__Health__V1__HealthCheckRequest *request =
		(const Grpc__Health__V1__HealthCheckRequest *)message;
	struct watcher *watcher = memory_new(sizeof(*watcher));

	watcher->health = context;
	watcher->call = call;
	watcher->known = service_known(context, request->service);
	grpc__health__v1__health_check_response__init(&watcher->response);
	LIST_INSERT_HEAD(&watcher->health->watchers, watcher, entry);
	rpc_call_stream(call, &watch_stream, watcher);
}

void health_set(struct health *health, bool serving)
{
	struct watchers waiting = LIST_HEAD_INITIALIZER(waiting);
	struct watcher *watcher;

	if (!health || health->serving == serving)
		return;
	health->serving = serving;
	// A connection that is found broken takes any of them along.
	while ((watcher = LIST_FIRST(&health->watchers))) {
		LIST_REMOVE(watcher, entry);
		LIST_INSERT_HEAD(&waiting, watcher, entry);
	}
	while ((watcher = LIST_FIRST(&waiting))) {
		LIST_REMOVE(watcher, entry);
		LIST_INSERT_HEAD(&health->watchers, watcher, entry);
		rpc_call_wake(watcher->call);
	}
}

static const struct rpc_method methods[] = {
	{"Check", handle_check, RPC_ROLE_READ},
	{"List", handle_list, RPC_ROLE_READ},
	{"Watch", handle_watch, RPC_ROLE_READ},
	{NULL},
};

int health_open(struct rpc_server *server, struct health **result, struct error *err)
{
	struct health *health = memory_new(sizeof(*health));

	*result = health;
	health->server = server;
	LIST_INIT(&health->watchers);
	return rpc_server_add(server, &grpc__health__v1__health__descriptor, methods, health, err);
}

void health_close(struct health *health)
{
	free(health);
}
