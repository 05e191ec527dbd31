// Any bytes as what a client sends to the gRPC server. The first byte: bit 0, the connection begins
// as HTTP/2 does (preface and settings); the other bits, how the rest is cut into pieces.

#include <sys/socket.h>

#include <event2/event.h>

#include "fuzz.h"
#include "rpc/health.h"
#include "rpc/reflection.h"
#include "rpc/server.h"
#include "sluice.pb-c.h"

static struct event_base *base;

static void reply_version(void *context, struct rpc_call *call, ProtobufCMessage *request)
{
	Sluice__V1__VersionResponse response;

	sluice__v1__version_response__init(&response);
	rpc_call_reply(call, &response.base);
}

static void fail(void *context, struct rpc_call *call, ProtobufCMessage *request)
{
	rpc_call_fail(call, RPC_NOT_FOUND, NULL, "nothing %d", 1);
}

static enum rpc_next next_flow(void *state, const ProtobufCMessage **message,
			       struct rpc_status *status)
{
	static Sluice__V1__Flow flow;
	unsigned int *left = state;

	if (!*left)
		return RPC_NEXT_END;
	(*left)--;
	sluice__v1__flow__init(&flow);
	*message = &flow.base;
	return RPC_NEXT_MESSAGE;
}

static void close_flows(void *state)
{
	free(state);
}

static const struct rpc_stream flows_stream = {.next = next_flow, .close = close_flows};

static void stream_flows(void *context, struct rpc_call *call, ProtobufCMessage *request)
{
	unsigned int *left = malloc(sizeof(*left));

	*left = 100;
	rpc_call_stream(call, &flows_stream, left);
}

// Longer than the windows that clients begin with.
static void reply_large(void *context, struct rpc_call *call, ProtobufCMessage *request)
{
	Sluice__V1__VersionResponse response;
	static char text[100001];

	memset(text, 'x', sizeof(text) - 1);
	sluice__v1__version_response__init(&response);
	response.version = text;
	rpc_call_reply(call, &response.base);
}

static void fail_with_details(void *context, struct rpc_call *call, ProtobufCMessage *request)
{
	Sluice__V1__Problem problem, *list[100];
	Sluice__V1__Problems problems;
	const ProtobufCMessage *details[] = {&problems.base, &problems.base};

	sluice__v1__problem__init(&problem);
	sluice__v1__problems__init(&problems);
	problem.text = (char *)(uintptr_t) "something that is wrong";
	for (size_t i = 0; i < 100; i++)
		list[i] = &problem;
	problems.problems = list;
	problems.n_problems = 100;
	rpc_call_fail_with(call, RPC_INVALID_ARGUMENT, details, 2, "w\xc3\xbcrong");
}

// Calls that are answered when the next one comes, or the input ends.
static struct rpc_call *held;

static void release(void)
{
	struct rpc_call *call = held;

	held = NULL;
	if (call)
		rpc_call_fail(call, RPC_ABORTED, NULL, "%s", rpc_call_live(call) ? "late" : "gone");
}

static void hold(void *context, struct rpc_call *call, ProtobufCMessage *request)
{
	release();
	held = call;
}

static const struct rpc_method methods[] = {
	{"Version", reply_version},
	{"Apply", fail},
	{"Get", fail},
	{"Delete", fail_with_details},
	{"Flows", stream_flows},
	{"Stats", reply_large},
	{"Trace", hold},
	{"History", reply_version, RPC_ROLE_READ},
	{NULL},
};

// protoc's description of all services (api/meson.build).
extern const uint8_t services_descriptor[];
extern const size_t services_descriptor_size;

static struct rpc_server *server;
static struct reflection *reflection;
static struct health *health;

// One for all inputs: what a connection leaves behind is there for the next.
static void server_start(void)
{
	static const struct rpc_limits limits = {.connections = 4,
						 .streams = 8,
						 .header_size = 1000,
						 .message_size = 1 << 16,
						 .connection_buffered = 1 << 16,
						 .buffered = 1 << 17,
						 .answers = 1 << 18,
						 .tick = 1};
	struct error err;

	base = event_base_new();
	server = rpc_server_new(base, &limits);
	if (rpc_server_add(server, &sluice__v1__sluice__descriptor, methods, NULL, &err) < 0 ||
	    reflection_open(server, services_descriptor, services_descriptor_size, &reflection,
			    &err) < 0 ||
	    health_open(server, &health, &err) < 0)
		abort();
}

static void turn(int client)
{
	char drain[4096];

	for (unsigned int i = 0; i < 4; i++) {
		event_base_loop(base, EVLOOP_NONBLOCK);
		while (recv(client, drain, sizeof(drain), MSG_DONTWAIT) > 0)
			;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char start[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";
	struct error err;
	size_t piece;
	int fds[2];

	if (size < 1)
		return 0;
	if (!server)
		server_start();
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0 ||
	    rpc_server_accept(server, fds[1], &err) < 0)
		abort();
	if (data[0] & 1)
		send(fds[0], start, sizeof(start), MSG_NOSIGNAL);
	piece = data[0] >> 1 ? data[0] >> 1 : size;
	for (size_t at = 1; at < size; at += piece) {
		size_t rest = size - at;

		if (send(fds[0], data + at, rest < piece ? rest : piece, MSG_NOSIGNAL) < 0)
			break;
		turn(fds[0]);
	}
	turn(fds[0]);
	health_set(health, size & 1);
	release();
	turn(fds[0]);
	close(fds[0]);
	// Until the server has seen it: nothing of it stays.
	for (unsigned int i = 0; i < 1000 && rpc_server_connections(server); i++)
		event_base_loop(base, EVLOOP_ONCE);
	release();
	if (rpc_server_connections(server))
		abort();
	return 0;
}
