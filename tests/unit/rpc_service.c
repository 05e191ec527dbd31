// A service for tests of the server: one call of each manner.

#include "rpc_service.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sluice.pb-c.h"

static void version(void *context, struct rpc_call *call, ProtobufCMessage *request)
{
	Sluice__V1__VersionResponse response;

	sluice__v1__version_response__init(&response);
	response.version = (char *)(uintptr_t) "1";
	response.node = (char *)(uintptr_t)rpc_call_peer(call)->name;
	rpc_call_reply(call, &response.base);
}

// Answers with the name; "large" with 200 KB; "problems" is an error with details, "hold" is
// answered later.
static void get(void *context, struct rpc_call *call, ProtobufCMessage *message)
{
	Sluice__V1__GetRequest *request = (Sluice__V1__GetRequest *)message;
	struct service *service = context;

	if (strcmp(request->kind, "problems") == 0) {
		Sluice__V1__Problem problem, *list[300];
		Sluice__V1__Problems problems;

		sluice__v1__problem__init(&problem);
		sluice__v1__problems__init(&problems);
		problem.text = (char *)(uintptr_t) "something that is wrong, and that takes many "
						   "words to be explained at "
						   "all, so that not every one of these fits into "
						   "the trailers of an answer, which "
						   "have a bound that each side says";
		for (size_t i = 0; i < 300; i++)
			list[i] = &problem;
		problems.problems = list;
		problems.n_problems = strtoul(request->name, NULL, 10);
		problems.total = 300;
		rpc_call_fail(call, RPC_INVALID_ARGUMENT, &problems.base, "100%% w\xc3\xbcrong\n%s",
			      request->name);
	} else if (strcmp(request->kind, "large") == 0) {
		Sluice__V1__ObjectStatus status, *list[] = {&status};
		Sluice__V1__GetResponse response;
		static char reason[200001];

		memset(reason, 'x', sizeof(reason) - 1);
		sluice__v1__object_status__init(&status);
		sluice__v1__get_response__init(&response);
		status.reason = reason;
		response.statuses = list;
		response.n_statuses = 1;
		rpc_call_reply(call, &response.base);
	} else if (strcmp(request->kind, "hold") == 0) {
		service->held[service->held_count++] = call;
	} else if (strcmp(request->kind, "release") == 0) {
		size_t count = service->held_count;
		Sluice__V1__GetResponse response;

		sluice__v1__get_response__init(&response);
		service->held_count = 0;
		for (size_t i = 0; i < count; i++) {
			response.revision += rpc_call_live(service->held[i]);
			rpc_call_fail(service->held[i], RPC_ABORTED, NULL, "released");
		}
		rpc_call_reply(call, &response.base);
	} else {
		Sluice__V1__GetResponse response;

		sluice__v1__get_response__init(&response);
		response.revision = strlen(request->name);
		rpc_call_reply(call, &response.base);
	}
}

struct stream {
	struct service *service;
	size_t left;
	Sluice__V1__Flow flow;
};

static enum rpc_next stream_next(void *state, const ProtobufCMessage **message,
				 struct rpc_status *status)
{
	struct stream *stream = state;

	if (stream->left == 0) {
		rpc_status_set(status, RPC_OUT_OF_RANGE, "end");
		return RPC_NEXT_END;
	}
	stream->flow.packets = --stream->left;
	stream->service->pulled++;
	*message = &stream->flow.base;
	return RPC_NEXT_MESSAGE;
}

static void stream_close(void *state)
{
	struct stream *stream = state;

	stream->service->streams--;
	free(stream);
}

static const struct rpc_stream stream_source = {stream_next, stream_close};

static void flows(void *context, struct rpc_call *call, ProtobufCMessage *message)
{
	struct stream *stream = calloc(1, sizeof(*stream));

	sluice__v1__flow__init(&stream->flow);
	stream->service = context;
	stream->service->streams++;
	stream->left = strtoul(((Sluice__V1__FlowsRequest *)message)->port, NULL, 10);
	rpc_call_stream(call, &stream_source, stream);
}

// Answers each message with 10 KB.
static void converse(void *context, struct rpc_call *call, ProtobufCMessage *message)
{
	struct service *service = context;
	Sluice__V1__CapturedPacket response;
	static char text[10001];

	memset(text, 'y', sizeof(text) - 1);
	sluice__v1__captured_packet__init(&response);
	response.port = text;
	service->pulled++;
	rpc_call_say(call, &response.base);
}

static const struct rpc_method methods[] = {
	{.name = "Capture", .handler = converse, .conversation = true},
	{"Version", version},
	{"Get", get},
	{"Flows", flows},
	{NULL, NULL}};

struct service *service_new(const struct rpc_limits *limits)
{
	struct service *service = calloc(1, sizeof(*service));
	struct error err;

	service->base = event_base_new();
	service->server = rpc_server_new(service->base, limits);
	assert_int_equal(rpc_server_add(service->server, &sluice__v1__sluice__descriptor, methods,
					service, &err),
			 0);
	return service;
}

void service_free(struct service *service)
{
	rpc_server_free(service->server);
	// What was held got no answer; it is still owed one.
	for (size_t i = 0; i < service->held_count; i++)
		rpc_call_fail(service->held[i], RPC_ABORTED, NULL, "%s", "");
	assert_int_equal(service->streams, 0);
	event_base_free(service->base);
	free(service);
}

static void on_stop(evutil_socket_t fd, short what, void *context)
{
	event_base_loopbreak(context);
}

static void *service_run(void *context)
{
	struct service *service = context;
	struct event *stop =
		event_new(service->base, service->stop[0], EV_READ, on_stop, service->base);

	event_add(stop, NULL);
	event_base_dispatch(service->base);
	event_free(stop);
	return NULL;
}

void service_start(struct service *service)
{
	assert_int_equal(pipe(service->stop), 0);
	assert_int_equal(pthread_create(&service->thread, NULL, service_run, service), 0);
}

void service_stop(struct service *service)
{
	close(service->stop[1]);
	pthread_join(service->thread, NULL);
	close(service->stop[0]);
	service_free(service);
}

int service_connect(struct service *service)
{
	struct error err;
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_int_equal(rpc_server_accept(service->server, fds[1], &err), 0);
	return fds[0];
}

void service_turn(struct service *service)
{
	for (int i = 0; i < 20; i++)
		event_base_loop(service->base, EVLOOP_NONBLOCK);
}
