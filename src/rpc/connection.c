// One connection of the server: an HTTP/2 session between libevent's buffers.

#include <event2/buffer.h>

#include "model/memory.h"
#include "rpc/server_private.h"

// While more than this waits to be written, nothing more is made, and nothing is read from the
// client.
#define OUTPUT_HIGH ((size_t)128 * 1024)
#define OUTPUT_LOW  ((size_t)32 * 1024)

// Flow control windows for requests.
#define STREAM_WINDOW	  (1 << 20)
#define CONNECTION_WINDOW (4 << 20)

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
	if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
		nghttp2_session_set_stream_user_data(session, frame->hd.stream_id,
						     call_new(context, frame->hd.stream_id));
	return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
		     size_t name_size, const uint8_t *value, size_t size, uint8_t flags,
		     void *context)
{
	struct rpc_call *call = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);

	// nghttp2 ends names and values with a zero byte.
	if (call && frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
		call_header(call, (const char *)name, value, size);
	return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
		   size_t size, void *context)
{
	struct rpc_call *call = nghttp2_session_get_stream_user_data(session, id);

	// The stream's window is the call's to open.
	nghttp2_session_consume_connection(session, size);
	if (call)
		call_data(call, data, size);
	return 0;
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
	struct connection *connection = context;
	struct rpc_call *call;

	if (connection->preface_timer) {
		event_free(connection->preface_timer);
		connection->preface_timer = NULL;
	}
	limit_frame(connection, frame);
	if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
		return 0;
	call = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
	if (!call)
		return 0;
	if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
		call_headers_end(call);
	if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
		call_request_end(call);
	return 0;
}

// The answer may be complete before the request is: the rest of it is of no interest (RFC 9113
// section 8.1).
static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
	limit_frame_sent(context, frame);
	if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
	    (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) &&
	    nghttp2_session_get_stream_remote_close(session, frame->hd.stream_id) == 0)
		nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
					  NGHTTP2_NO_ERROR);
	return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *context)
{
	struct rpc_call *call = nghttp2_session_get_stream_user_data(session, id);

	if (call)
		call_detach(call);
	return 0;
}

static int session_make(struct connection *connection)
{
	nghttp2_session_callbacks *callbacks;
	nghttp2_option *option;
	nghttp2_settings_entry settings[] = {
		{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS,
		 (uint32_t)connection->server->limits.streams},
		{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW},
		{NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE,
		 (uint32_t)connection->server->limits.header_size},
	};
	int result;

	if (nghttp2_session_callbacks_new(&callbacks) != 0)
		return -1;
	nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
	nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
	if (nghttp2_option_new(&option) != 0) {
		nghttp2_session_callbacks_del(callbacks);
		return -1;
	}
	nghttp2_option_set_no_auto_window_update(option, 1);
	// limit.c counts them, and says so to the client.
	nghttp2_option_set_stream_reset_rate_limit(option, 10000, 10000);
	result = nghttp2_session_server_new2(&connection->session, callbacks, connection, option);
	nghttp2_option_del(option);
	nghttp2_session_callbacks_del(callbacks);
	if (result != 0)
		return -1;
	nghttp2_submit_settings(connection->session, NGHTTP2_FLAG_NONE, settings,
				sizeof(settings) / sizeof(*settings));
	nghttp2_session_set_local_window_size(connection->session, NGHTTP2_FLAG_NONE, 0,
					      CONNECTION_WINDOW);
	return 0;
}

void connection_send(struct connection *connection)
{
	struct evbuffer *output = bufferevent_get_output(connection->stream);
	const uint8_t *data;

	if (connection->in_session)
		return;
	connection->in_session = true;
	while (!connection->broken && evbuffer_get_length(output) < OUTPUT_HIGH) {
		ssize_t size = nghttp2_session_mem_send(connection->session, &data);

		if (size == 0)
			break;
		if (size < 0 || evbuffer_add(output, data, (size_t)size) < 0)
			connection->broken = true;
	}
	connection->in_session = false;
	if (!nghttp2_session_want_read(connection->session) &&
	    !nghttp2_session_want_write(connection->session) && evbuffer_get_length(output) == 0)
		connection->broken = true;
	if (connection->broken) {
		connection_free(connection);
		return;
	}
	// Only where it changes: with TLS this reads at once.
	bool reading = bufferevent_get_enabled(connection->stream) & EV_READ;
	bool wanted = !connection->leaving && evbuffer_get_length(output) < OUTPUT_HIGH;
	if (reading && !wanted)
		bufferevent_disable(connection->stream, EV_READ);
	else if (wanted && !reading)
		bufferevent_enable(connection->stream, EV_READ);
}

static void on_readable(struct bufferevent *stream, void *context)
{
	struct connection *connection = context;
	struct evbuffer *input = bufferevent_get_input(stream);

	if (!connection->session)
		return;
	limit_input(connection);
	connection->in_session = true;
	while (!connection->broken && !connection->leaving && evbuffer_get_length(input) > 0) {
		size_t size = evbuffer_get_contiguous_space(input);
		const uint8_t *data = evbuffer_pullup(input, (ev_ssize_t)size);

		if (nghttp2_session_mem_recv(connection->session, data, size) < 0)
			connection->broken = true;
		evbuffer_drain(input, size);
	}
	connection->in_session = false;
	connection_send(connection);
}

static void on_writable(struct bufferevent *stream, void *context)
{
	struct connection *connection = context;

	if (connection->session)
		connection_send(connection);
}

static void session_begin(struct connection *connection)
{
	if (session_make(connection) < 0)
		connection_free(connection);
	else
		connection_send(connection);
}

static void on_event(struct bufferevent *stream, short what, void *context)
{
	struct connection *connection = context;

	if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR | BEV_EVENT_TIMEOUT)) {
		if (!connection->session)
			listener_tls_failed(connection->tls, connection, NULL);
		connection_free(connection);
	} else if ((what & BEV_EVENT_CONNECTED) && !connection->session) {
		if (listener_tls_admit(connection->tls, connection))
			session_begin(connection);
		else
			connection_free(connection);
	}
}

static void on_preface_timeout(evutil_socket_t fd, short what, void *context)
{
	struct connection *connection = context;

	if (!connection->session)
		listener_tls_failed(connection->tls, connection, "it is too slow");
	connection_free(connection);
}

void connection_new(struct rpc_server *server, struct bufferevent *stream,
		    const struct rpc_peer *peer, struct listener_tls *tls)
{
	struct connection *connection = memory_new(sizeof(*connection));
	unsigned timeout_ms = server->limits.preface_timeout;
	struct timeval timeout = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000};

	connection->server = server;
	connection->stream = stream;
	connection->peer = *peer;
	connection->tls = tls;
	server->tls_count += tls != NULL;
	TAILQ_INIT(&connection->calls);
	TAILQ_INSERT_TAIL(&server->connections, connection, entry);
	server->connection_count++;
	limit_connection(connection);
	connection->preface_timer = evtimer_new(server->base, on_preface_timeout, connection);
	if (!connection->preface_timer) {
		connection_free(connection);
		return;
	}
	evtimer_add(connection->preface_timer, &timeout);
	bufferevent_setcb(stream, on_readable, on_writable, on_event, connection);
	bufferevent_setwatermark(stream, EV_WRITE, OUTPUT_LOW, 0);
	bufferevent_enable(stream, EV_READ | EV_WRITE);
	if (!tls)
		session_begin(connection);
}

void connection_leave(struct connection *connection, uint32_t error, const char *text)
{
	nghttp2_session *session = connection->session;

	if (connection->leaving)
		return;
	connection->leaving = true;
	if (error == NGHTTP2_ENHANCE_YOUR_CALM)
		limit_say(connection->server, &connection->peer, text);
	nghttp2_submit_goaway(session, NGHTTP2_FLAG_NONE,
			      nghttp2_session_get_last_proc_stream_id(session), error,
			      (const uint8_t *)text, strlen(text));
}

static bool is_waited_for(const struct connection *connection)
{
	const struct rpc_call *call;

	if (!connection->session ||
	    nghttp2_session_get_last_proc_stream_id(connection->session) == 0)
		return true;
	TAILQ_FOREACH(call, &connection->calls, entry)
	if (call->state != CALL_STREAMING)
		return true;
	return false;
}

bool rpc_server_is_waited_for(const struct rpc_server *server)
{
	const struct connection *connection;

	TAILQ_FOREACH(connection, &server->connections, entry)
	if (is_waited_for(connection))
		return true;
	return false;
}

void connection_free(struct connection *connection)
{
	struct rpc_call *call;

	TAILQ_REMOVE(&connection->server->connections, connection, entry);
	connection->server->connection_count--;
	limit_connection_end(connection);
	connection->server->tls_count -= connection->tls != NULL;
	if (connection->preface_timer)
		event_free(connection->preface_timer);
	while ((call = TAILQ_FIRST(&connection->calls)))
		call_detach(call);
	nghttp2_session_del(connection->session);
	bufferevent_free(connection->stream);
	free(connection);
}
