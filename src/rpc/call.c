// One call at the server, from its headers to its handler.

#include <stdio.h>

#include "model/memory.h"
#include "rpc/server_private.h"

struct rpc_call *call_new(struct connection *connection, int32_t id)
{
	struct rpc_call *call = memory_new(sizeof(*call));

	call->connection = connection;
	call->id = id;
	TAILQ_INSERT_TAIL(&connection->calls, call, entry);
	return call;
}

static void call_free(struct rpc_call *call)
{
	answer_close_stream(call);
	rpc_status_clear(&call->status);
	frame_clear(&call->request);
	free(call->held);
	free(call->out);
	free(call);
}

void call_detach(struct rpc_call *call)
{
	struct connection *connection = call->connection;

	TAILQ_REMOVE(&connection->calls, call, entry);
	limit_unbuffer(call, call->buffered);
	connection->server->answers -= call->out_counted;
	call->out_counted = 0;
	if (connection->session)
		nghttp2_session_set_stream_user_data(connection->session, call->id, NULL);
	if (call->deadline)
		event_free(call->deadline);
	call->deadline = NULL;
	call->connection = NULL;
	// The handler has a pointer to it, and still owes its answer.
	if (call->state != CALL_HANDLING)
		call_free(call);
}

// Hours, minutes, seconds, milli-, micro-, nanoseconds.
static bool timeout_parse(const char *text, uint64_t *microseconds)
{
	size_t digits = strspn(text, "0123456789");
	unsigned long long number;

	if (digits == 0 || digits > 8 || !text[digits] || text[digits + 1])
		return false;
	number = strtoull(text, NULL, 10);
	switch (text[digits]) {
	case 'H':
		*microseconds = number * 3600000000u;
		break;
	case 'M':
		*microseconds = number * 60000000u;
		break;
	case 'S':
		*microseconds = number * 1000000u;
		break;
	case 'm':
		*microseconds = number * 1000u;
		break;
	case 'u':
		*microseconds = number;
		break;
	case 'n':
		*microseconds = number / 1000;
		break;
	default:
		return false;
	}
	if (*microseconds == 0)
		*microseconds = 1;
	return true;
}

void call_header(struct rpc_call *call, const char *name, const uint8_t *value, size_t size)
{
	static const char grpc[] = "application/grpc";
	const char *text = (const char *)value;

	call->header_size += strlen(name) + size + 32;
	if (strcmp(name, ":method") == 0)
		call->is_post = strcmp(text, "POST") == 0;
	else if (strcmp(name, ":path") == 0)
		snprintf(call->path, sizeof(call->path), "%s", text);
	else if (strcmp(name, "content-type") == 0)
		call->is_grpc = strncmp(text, grpc, sizeof(grpc) - 1) == 0 &&
				(strcmp(text + sizeof(grpc) - 1, "+proto") == 0 ||
				 !text[sizeof(grpc) - 1] || text[sizeof(grpc) - 1] == ';');
	else if (strcmp(name, "grpc-encoding") == 0)
		call->is_compressed = strcmp(text, "identity") != 0;
	else if (strcmp(name, "grpc-timeout") == 0)
		call->bad_timeout = !timeout_parse(text, &call->timeout_us);
}

// Finds the method that "/package.Service/Method" names.
static bool call_route(struct rpc_call *call)
{
	const struct rpc_server *server = call->connection->server;
	const char *slash = *call->path == '/' ? strchr(call->path + 1, '/') : NULL;

	if (!slash)
		return false;
	size_t length = (size_t)(slash - call->path) - 1;
	for (size_t i = 0; i < server->service_count; i++) {
		const struct service *service = &server->services[i];

		if (strlen(service->descriptor->name) != length ||
		    memcmp(service->descriptor->name, call->path + 1, length) != 0)
			continue;
		for (const struct rpc_method *method = service->methods; method->name; method++) {
			if (strcmp(method->name, slash + 1) != 0)
				continue;
			call->service = service;
			call->method = method;
			call->input = protobuf_c_service_descriptor_get_method_by_name(
					      service->descriptor, method->name)
					      ->input;
			return true;
		}
	}
	return false;
}

// Is there such a method, and may the caller call it? Answers where not. Somebody without a role
// learns nothing, not even which methods there are.
static bool call_admit(struct rpc_call *call)
{
	const struct rpc_peer *peer = &call->connection->peer;
	bool known = call_route(call);
	enum rpc_role needed = known ? call->method->role : RPC_ROLE_READ;
	bool allowed = peer->role != RPC_ROLE_NONE && peer->role <= needed;
	char text[sizeof(peer->name) + sizeof(call->path) + 200];

	if (allowed && known)
		return true;
	if (allowed) {
		snprintf(text, sizeof(text), "no method %s", call->path);
		answer_fail(call, RPC_UNIMPLEMENTED, NULL, text);
		return false;
	}
	if (peer->role == RPC_ROLE_NONE)
		snprintf(text, sizeof(text), "%s has no role here (roles in sluiced's --config)",
			 peer->name);
	else
		snprintf(text, sizeof(text), "%s needs the role %s, and %s has %s",
			 call->method->name, rpc_role_name(needed), peer->name,
			 rpc_role_name(peer->role));
	answer_fail(call, RPC_PERMISSION_DENIED, NULL, text);
	return false;
}

static void on_deadline(evutil_socket_t fd, short what, void *context)
{
	struct rpc_call *call = context;
	struct connection *connection = call->connection;

	switch (call->state) {
	case CALL_RECEIVING:
	case CALL_CONVERSING:
	case CALL_STREAMING:
		// What was begun ends behind its last whole message. A reset would be CANCELLED to
		// a client whose own clock is a little late.
		answer_fail(call, RPC_DEADLINE_EXCEEDED, NULL, "the call's deadline has passed");
		break;
	case CALL_HANDLING:
		answer_fail(call, RPC_DEADLINE_EXCEEDED, NULL, "the call's deadline has passed");
		// The handler still owes its answer, which goes nowhere.
		call->state = CALL_HANDLING;
		call_detach(call);
		break;
	case CALL_ANSWERED:
		// It is on its way, and the client sees whether it comes in time.
		break;
	}
	connection_send(connection);
}

static void deadline_start(struct rpc_call *call)
{
	struct timeval timeout = {
		.tv_sec = (time_t)(call->timeout_us / 1000000),
		.tv_usec = (suseconds_t)(call->timeout_us % 1000000),
	};

	call->deadline = evtimer_new(call->connection->server->base, on_deadline, call);
	if (call->deadline)
		evtimer_add(call->deadline, &timeout);
}

void call_headers_end(struct rpc_call *call)
{
	char text[100];

	if (!call->is_post) {
		answer_http(call, "405");
	} else if (!call->is_grpc) {
		answer_http(call, "415");
	} else if (call->header_size > call->connection->server->limits.header_size) {
		snprintf(text, sizeof(text), "the headers have more than %zu bytes",
			 call->connection->server->limits.header_size);
		answer_fail(call, RPC_RESOURCE_EXHAUSTED, NULL, text);
	} else if (call->bad_timeout) {
		answer_fail(call, RPC_INVALID_ARGUMENT, NULL, "grpc-timeout is malformed");
	} else if (!call_admit(call)) {
		return;
	} else if (call->is_compressed) {
		answer_fail(call, RPC_UNIMPLEMENTED, NULL, "compression is not supported");
	} else {
		if (call->timeout_us)
			deadline_start(call);
		if (call->method->conversation) {
			call->state = CALL_CONVERSING;
			answer_begin(call);
		}
	}
}

void call_data(struct rpc_call *call, const uint8_t *data, size_t size)
{
	struct rpc_server *server = call->connection->server;
	char text[100];
	size_t taken;

	if (call->state == CALL_CONVERSING) {
		conversation_data(call, data, size);
		return;
	}
	// It goes on even where the rest is of no interest: it is on its way already.
	nghttp2_session_consume_stream(call->connection->session, call->id, size);
	if (call->state != CALL_RECEIVING || size == 0)
		return;
	if (frame_begun(&call->request) && call->request.header_used == FRAME_HEADER_SIZE &&
	    call->request.used == call->request.size) {
		answer_fail(call, RPC_INVALID_ARGUMENT, NULL, "more than one request message");
		return;
	}
	call->received += size;
	if (!limit_buffer(call, size)) {
		answer_fail(call, RPC_RESOURCE_EXHAUSTED, NULL,
			    "too many requests at the same time");
		return;
	}
	switch (frame_feed(&call->request, data, size, server->limits.message_size, &taken)) {
	case FRAME_COMPRESSED:
		answer_fail(call, RPC_INTERNAL, NULL,
			    "the message is compressed, and grpc-encoding does not say how");
		break;
	case FRAME_TOO_LARGE:
		snprintf(text, sizeof(text), "the request has %zu bytes, at most %zu are accepted",
			 call->request.size, server->limits.message_size);
		answer_fail(call, RPC_RESOURCE_EXHAUSTED, NULL, text);
		break;
	case FRAME_COMPLETE:
		if (taken < size)
			answer_fail(call, RPC_INVALID_ARGUMENT, NULL,
				    "more than one request message");
		break;
	case FRAME_MORE:
		break;
	}
}

void call_request_end(struct rpc_call *call)
{
	const struct frame_reader *request = &call->request;
	ProtobufCMessage *message;
	bool exhausted;

	if (call->state == CALL_CONVERSING)
		conversation_end(call);
	if (call->state != CALL_RECEIVING)
		return;
	if (request->header_used < FRAME_HEADER_SIZE || request->used < request->size) {
		answer_fail(call, RPC_INVALID_ARGUMENT, NULL,
			    "the request ends inside its message");
		return;
	}
	message = frame_unpack(call->input, request->data, request->size, &exhausted);
	frame_clear(&call->request);
	limit_unbuffer(call, call->buffered);
	if (!message) {
		if (exhausted)
			answer_fail(call, RPC_RESOURCE_EXHAUSTED, NULL,
				    "the request needs too much memory");
		else
			answer_fail(call, RPC_INVALID_ARGUMENT, NULL, "the request is malformed");
		return;
	}
	call->state = CALL_HANDLING;
	call->method->handler(call->service->context, call, message);
	protobuf_c_message_free_unpacked(message, NULL);
}

// Frees a call that nobody waits for; returns whether it was one.
static bool call_abandoned(struct rpc_call *call)
{
	if (call->connection)
		return false;
	call->state = CALL_ANSWERED;
	call_free(call);
	return true;
}

void rpc_call_reply(struct rpc_call *call, const ProtobufCMessage *message)
{
	struct connection *connection = call->connection;

	if (call_abandoned(call))
		return;
	call->out = frame_pack(message, &call->out_size);
	if (!call->out) {
		answer_fail(call, RPC_RESOURCE_EXHAUSTED, NULL, "the answer is too large");
	} else if (!limit_answer(call)) {
		answer_fail(call, RPC_RESOURCE_EXHAUSTED, NULL,
			    "too many answers wait to be taken");
	} else {
		call->state = CALL_ANSWERED;
		answer_begin(call);
	}
	connection_send(connection);
}

void rpc_call_fail(struct rpc_call *call, enum rpc_code code, const ProtobufCMessage *detail,
		   const char *format, ...)
{
	char text[sizeof(call->status.message)];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	rpc_call_fail_with(call, code, &detail, detail ? 1 : 0, text);
}

void rpc_call_fail_with(struct rpc_call *call, enum rpc_code code,
			const ProtobufCMessage *const details[], size_t count, const char *text)
{
	struct connection *connection = call->connection;

	if (call_abandoned(call))
		return;
	answer_fail_with(call, code, details, count, text);
	connection_send(connection);
}

void rpc_call_stream(struct rpc_call *call, const struct rpc_stream *stream, void *state)
{
	struct connection *connection = call->connection;

	call->stream = stream;
	call->stream_state = state;
	if (call_abandoned(call))
		return;
	call->state = CALL_STREAMING;
	answer_begin(call);
	connection_send(connection);
}

void rpc_call_wake(struct rpc_call *call)
{
	if (!call->connection || !call->waiting)
		return;
	answer_resume(call);
	connection_send(call->connection);
}

const struct rpc_peer *rpc_call_peer(const struct rpc_call *call)
{
	return &call->connection->peer;
}

bool rpc_call_live(const struct rpc_call *call)
{
	return call->connection != NULL;
}
