// What a client may cost: memory, places, and patience.

#include <sys/socket.h>
#include <time.h>

#include <event2/buffer.h>

#include "base/log.h"
#include "rpc/server_private.h"

// Less than this in a request_stall is no progress.
#define STALL_BYTES 4096

// Frames that only floods have many of: so many at once, and so many a second.
#define FLOOD_BURST 1000
#define FLOOD_RATE  100

// Milliseconds between two lines in the log.
#define SAY_INTERVAL 1000

// Pings too soon that are let pass, as gRPC has it.
#define STRIKES_MAX 2

void limit_defaults(struct rpc_limits *limits)
{
	static const struct rpc_limits defaults = {
		.connections = 128,
		.tls_connections = 96,
		.strangers = 32,
		.streams = 64,
		.header_size = (size_t)16 << 10,
		.message_size = (size_t)64 << 20,
		.connection_buffered = (size_t)96 << 20,
		.buffered = (size_t)192 << 20,
		.answers = (size_t)256 << 20,
		.preface_timeout = 10000,
		.request_stall = 30000,
		.answer_stall = 300000,
		.keepalive = 60000,
		.keepalive_timeout = 20000,
		.ping_interval = 5000,
		.tick = 1000,
	};

#define DEFAULT(field)      \
	if (!limits->field) \
	limits->field = defaults.field
	DEFAULT(connections);
	DEFAULT(tls_connections);
	DEFAULT(strangers);
	DEFAULT(streams);
	DEFAULT(header_size);
	DEFAULT(message_size);
	DEFAULT(connection_buffered);
	DEFAULT(buffered);
	DEFAULT(answers);
	DEFAULT(preface_timeout);
	DEFAULT(request_stall);
	DEFAULT(answer_stall);
	DEFAULT(keepalive);
	DEFAULT(keepalive_timeout);
	DEFAULT(ping_interval);
	DEFAULT(tick);
#undef DEFAULT
}

uint64_t limit_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000 + 1;
}

// Returns whether the call goes on as it should.
static bool call_paced(struct rpc_call *call, uint64_t now)
{
	const struct rpc_limits *limits = &call->connection->server->limits;
	bool sends = call->state == CALL_ANSWERED && call->out_sent < call->out_size;
	bool receives = call->state == CALL_RECEIVING ||
			(call->state == CALL_CONVERSING && frame_begun(&call->request) &&
			 call->out_sent == call->out_size);
	size_t bytes = sends ? call->out_sent : call->received;

	// Who may be silent (a conversation, a stream that is read when somebody looks at it) holds
	// no more than a piece of it.
	if ((!sends && !receives) || call->pace_at == 0 || bytes < call->pace_bytes ||
	    bytes - call->pace_bytes >= (sends ? 1 : STALL_BYTES)) {
		call->pace_bytes = bytes;
		call->pace_at = now;
		return true;
	}
	return now - call->pace_at < (sends ? limits->answer_stall : limits->request_stall);
}

static void call_look(struct rpc_call *call, uint64_t now)
{
	if (call_paced(call, now))
		return;
	call->pace_at = 0;
	if (call->state == CALL_ANSWERED)
		nghttp2_submit_rst_stream(call->connection->session, NGHTTP2_FLAG_NONE, call->id,
					  NGHTTP2_CANCEL);
	else
		answer_fail(call, RPC_DEADLINE_EXCEEDED, NULL, "the request does not go on");
}

// Returns false where nobody is at the other end, or who is takes nothing.
static bool connection_alive(struct connection *connection, uint64_t now)
{
	const struct rpc_limits *limits = &connection->server->limits;
	bool waits = evbuffer_get_length(bufferevent_get_output(connection->stream)) > 0;

	if (connection->leaving)
		return waits && now - connection->taken_at < limits->keepalive_timeout;
	if (!waits)
		connection->taken_at = now;
	if (now - connection->taken_at >= limits->answer_stall)
		return false;
	if (!connection->remote)
		return true;
	if (connection->pinged)
		return now - connection->pinged < limits->keepalive_timeout;
	if (now - connection->heard >= limits->keepalive) {
		connection->pinged = now;
		nghttp2_submit_ping(connection->session, NGHTTP2_FLAG_NONE, NULL);
	}
	return true;
}

static void on_tick(evutil_socket_t fd, short what, void *context)
{
	struct rpc_server *server = context;
	struct connection *connection, *next;
	struct rpc_call *call;
	uint64_t now = limit_now();

	for (connection = TAILQ_FIRST(&server->connections); connection; connection = next) {
		next = TAILQ_NEXT(connection, entry);
		// The timer for its first frame looks after one that is not that far.
		if (!connection->session)
			continue;
		if (!connection_alive(connection, now)) {
			connection_free(connection);
			continue;
		}
		TAILQ_FOREACH(call, &connection->calls, entry)
		call_look(call, now);
		connection_send(connection);
	}
}

// What the client has taken of the output.
static void on_output(struct evbuffer *output, const struct evbuffer_cb_info *info, void *context)
{
	struct connection *connection = context;

	if (info->n_deleted)
		connection->taken_at = limit_now();
}

void limit_connection(struct connection *connection)
{
	struct rpc_server *server = connection->server;
	struct timeval interval = {.tv_sec = server->limits.tick / 1000,
				   .tv_usec = server->limits.tick % 1000 * 1000};
	struct sockaddr_storage address;
	socklen_t size = sizeof(address);

	connection->heard = limit_now();
	connection->taken_at = connection->heard;
	connection->remote = getsockname(bufferevent_getfd(connection->stream),
					 (struct sockaddr *)&address, &size) == 0 &&
			     address.ss_family != AF_UNIX;
	evbuffer_add_cb(bufferevent_get_output(connection->stream), on_output, connection);
	if (!server->tick)
		server->tick = event_new(server->base, -1, EV_PERSIST, on_tick, server);
	if (server->tick && !evtimer_pending(server->tick, NULL))
		evtimer_add(server->tick, &interval);
}

void limit_connection_end(struct connection *connection)
{
	evbuffer_remove_cb(bufferevent_get_output(connection->stream), on_output, connection);
	if (connection->server->tick && connection->server->connection_count == 0)
		evtimer_del(connection->server->tick);
}

void limit_stop(struct rpc_server *server)
{
	if (server->tick)
		event_free(server->tick);
}

void limit_say(struct rpc_server *server, const struct rpc_peer *peer, const char *reason)
{
	uint64_t now = limit_now();

	if (server->said && now - server->said < SAY_INTERVAL)
		return;
	server->said = now;
	log_warning("a client of the API was sent away", log_text("reason", reason),
		    log_text("user", peer ? peer->name : ""),
		    log_text("from", peer ? peer->from : ""));
}

bool limit_reached(struct rpc_server *server)
{
	if (server->connection_count < server->limits.connections)
		return false;
	limit_say(server, NULL, "too_many_connections");
	return true;
}

// A frame of a kind of which there are few.
static void flood_count(struct connection *connection)
{
	uint64_t now = limit_now();
	uint64_t gone = (now - connection->flood_at) * FLOOD_RATE / 1000;

	if (gone) {
		connection->flood -= gone > connection->flood ? connection->flood : (unsigned)gone;
		connection->flood_at = now;
	}
	if (++connection->flood > FLOOD_BURST)
		connection_leave(connection, NGHTTP2_ENHANCE_YOUR_CALM, "too_many_frames");
}

// Pings are for connections on which nothing else says that the other end is there
// (https://github.com/grpc/proposal/blob/master/A8-client-side-keepalive.md).
static void ping_count(struct connection *connection)
{
	uint64_t now = limit_now();
	bool soon = connection->last_ping &&
		    now - connection->last_ping < connection->server->limits.ping_interval;

	connection->last_ping = now;
	if (soon && ++connection->strikes > STRIKES_MAX)
		connection_leave(connection, NGHTTP2_ENHANCE_YOUR_CALM, "too_many_pings");
}

void limit_frame(struct connection *connection, const nghttp2_frame *frame)
{
	switch (frame->hd.type) {
	case NGHTTP2_PING:
		if (!(frame->hd.flags & NGHTTP2_FLAG_ACK))
			ping_count(connection);
		flood_count(connection);
		break;
	case NGHTTP2_DATA:
		if (frame->hd.length == 0 && !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
			flood_count(connection);
		break;
	case NGHTTP2_RST_STREAM:
	case NGHTTP2_SETTINGS:
	case NGHTTP2_PRIORITY:
		flood_count(connection);
		break;
	default:
		break;
	}
}

void limit_frame_sent(struct connection *connection, const nghttp2_frame *frame)
{
	switch (frame->hd.type) {
	case NGHTTP2_HEADERS:
	case NGHTTP2_DATA:
		connection->strikes = 0;
		connection->last_ping = 0;
		break;
	case NGHTTP2_RST_STREAM:
		// Who sends what is wrong can have calls reset as well as by resetting them.
		if (frame->rst_stream.error_code != NGHTTP2_NO_ERROR)
			flood_count(connection);
		break;
	default:
		break;
	}
}

void limit_input(struct connection *connection)
{
	connection->heard = limit_now();
	connection->pinged = 0;
}

bool limit_buffer(struct rpc_call *call, size_t size)
{
	struct connection *connection = call->connection;
	struct rpc_server *server = connection->server;

	if (server->buffered + size > server->limits.buffered ||
	    connection->buffered + size > server->limits.connection_buffered)
		return false;
	server->buffered += size;
	connection->buffered += size;
	call->buffered += size;
	return true;
}

void limit_unbuffer(struct rpc_call *call, size_t size)
{
	call->connection->server->buffered -= size;
	call->connection->buffered -= size;
	call->buffered -= size;
}

bool limit_answer(struct rpc_call *call)
{
	struct rpc_server *server = call->connection->server;

	// One that is alone may be as large as it is.
	if (server->answers && server->answers + call->out_size > server->limits.answers)
		return false;
	call->out_counted = call->out_size;
	server->answers += call->out_size;
	return true;
}
