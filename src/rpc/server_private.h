// What the parts of the server share: the server has connections, a connection has calls.

#pragma once

#include <sys/queue.h>

#include <event2/bufferevent.h>
#include <event2/event.h>
#include <nghttp2/nghttp2.h>

#include "rpc/frame.h"
#include "rpc/server.h"

struct listener;
struct listener_tls;

struct service {
	const ProtobufCServiceDescriptor *descriptor;
	const struct rpc_method *methods;
	void *context;
};

struct rpc_server {
	struct event_base *base;
	struct rpc_limits limits;
	struct service *services;
	size_t service_count;
	size_t buffered; // bytes of unfinished requests
	size_t answers;	 // bytes of answers that wait for their clients
	size_t connection_count;
	struct event *tick; // while there are connections
	uint64_t said;	    // when the log was told last that a client was sent away
	size_t tls_count;   // of them, those over TLS
	uint64_t refused;   // over TLS, since the start
	TAILQ_HEAD(, connection) connections;
	TAILQ_HEAD(, listener) listeners;
};

struct connection {
	TAILQ_ENTRY(connection) entry;
	struct rpc_server *server;
	struct bufferevent *stream;
	struct rpc_peer peer;
	struct listener_tls *tls;    // by which it came; NULL: a Unix socket
	time_t certificate_end;	     // of the caller's; 0: has none
	nghttp2_session *session;    // NULL until TLS is agreed upon
	struct event *preface_timer; // until the first frame
	bool in_session; // a callback of the session runs: it may not be driven or freed
	bool broken;	 // to be closed as soon as no callback runs
	bool leaving;	 // GOAWAY was submitted: closed when it was sent
	bool remote;	 // over a network: the other end may vanish without a word
	size_t buffered; // its part of the server's
	// Milliseconds of the monotonic clock.
	uint64_t heard;	    // when the last byte came
	uint64_t pinged;    // since when a ping waits for its answer; 0: none does
	uint64_t last_ping; // of the client, since it was sent something; 0: none
	uint64_t taken_at;  // when the client last took something, or had taken all
	unsigned strikes;   // pings too soon
	unsigned flood;	    // frames that are rare where clients are honest
	uint64_t flood_at;  // when they were counted last
	TAILQ_HEAD(, rpc_call) calls;
};

enum call_state {
	CALL_RECEIVING,	 // the request is not complete
	CALL_CONVERSING, // messages come and are answered
	CALL_HANDLING,	 // the handler has it
	CALL_STREAMING,	 // messages are pulled from the stream
	CALL_ANSWERED,	 // all that goes to the client is there
};

struct rpc_call {
	TAILQ_ENTRY(rpc_call) entry;
	struct connection *connection; // NULL: the client gave up
	int32_t id;
	enum call_state state;

	// The request.
	bool is_post;
	bool is_grpc;
	bool is_compressed; // by grpc-encoding
	size_t header_size;
	bool bad_timeout;
	uint64_t timeout_us; // 0: none
	char path[256];
	const struct service *service;
	const struct rpc_method *method;
	const ProtobufCMessageDescriptor *input;
	struct frame_reader request;
	size_t buffered;
	size_t received; // bytes of messages
	struct event *deadline;
	// The pace of the request or the answer: bytes at the last time that there were enough
	// more.
	size_t pace_bytes;
	uint64_t pace_at;

	// Of a conversation: what waits until the answer before was taken. The client's window
	// opens as it is used, so it is no more than that.
	uint8_t *held;
	size_t held_size;
	size_t held_used;
	bool half_closed; // the client has no more

	// The answer.
	const struct rpc_stream *stream;
	void *stream_state;
	bool begun;   // headers were submitted, so that an error goes into trailers
	bool waiting; // the transport waits for rpc_call_wake
	uint8_t *out;
	size_t out_size;
	size_t out_sent;
	size_t out_counted; // in the server's `answers`
	struct rpc_status status;
};

// server.c

// A connection from a Unix socket, which it takes over.
void server_serve(struct rpc_server *server, evutil_socket_t fd);

// listener.c

void listener_free(struct listener *listener);

// Of the certificate that ends first; 0: there is none.
time_t listeners_certificate_end(const struct rpc_server *server);

// listener_tls.c

struct listener_tls *listener_tls_new(struct rpc_server *server, const struct rpc_tls_files *files,
				      const struct rpc_roles *roles, struct error *err);
void listener_tls_free(struct listener_tls *tls);

// Takes `fd` over.
void listener_tls_accept(struct listener_tls *tls, evutil_socket_t fd,
			 const struct sockaddr *address);

// The handshake is done: who is it? False: the connection is to be closed.
bool listener_tls_admit(struct listener_tls *tls, struct connection *connection);

// The handshake failed; `reason` NULL: as OpenSSL says.
void listener_tls_failed(struct listener_tls *tls, struct connection *connection,
			 const char *reason);

// When the certificate ends.
time_t listener_tls_end(const struct listener_tls *tls);

// connection.c

// Takes `stream` over. With `tls` the session begins after its handshake.
void connection_new(struct rpc_server *server, struct bufferevent *stream,
		    const struct rpc_peer *peer, struct listener_tls *tls);
void connection_free(struct connection *connection);

// Says why no more is done for it; it is closed when that is sent. `text` is for the client's log.
void connection_leave(struct connection *connection, uint32_t error, const char *text);

// Something was submitted to the session. May free the connection, unless one of its callbacks
// runs.
void connection_send(struct connection *connection);

// limit.c: what a client may cost.

void limit_defaults(struct rpc_limits *limits);

// The monotonic clock in milliseconds, never 0.
uint64_t limit_now(void);

// A connection begins, or goes.
void limit_connection(struct connection *connection);
void limit_connection_end(struct connection *connection);
void limit_stop(struct rpc_server *server);

// One more connection would be too many.
bool limit_reached(struct rpc_server *server);

// Tells the log that a client was sent away. `peer` NULL: nobody looked who it was.
void limit_say(struct rpc_server *server, const struct rpc_peer *peer, const char *reason);

// Frames that came, or were sent.
void limit_frame(struct connection *connection, const nghttp2_frame *frame);
void limit_frame_sent(struct connection *connection, const nghttp2_frame *frame);
void limit_input(struct connection *connection);

// Bytes of a request that is not complete; false: there are too many.
bool limit_buffer(struct rpc_call *call, size_t size);
void limit_unbuffer(struct rpc_call *call, size_t size);

// The whole answer of a call (`out`); false: too many wait already.
bool limit_answer(struct rpc_call *call);

// call.c

struct rpc_call *call_new(struct connection *connection, int32_t id);

// The stream is closed, or the connection goes.
void call_detach(struct rpc_call *call);

void call_header(struct rpc_call *call, const char *name, const uint8_t *value, size_t size);
void call_headers_end(struct rpc_call *call);
void call_data(struct rpc_call *call, const uint8_t *data, size_t size);
void call_request_end(struct rpc_call *call);

// conversation.c: what comes for a call in CALL_CONVERSING; and what is to be sent next, if the
// transport has taken all that was there.
void conversation_data(struct rpc_call *call, const uint8_t *data, size_t size);
void conversation_go_on(struct rpc_call *call);
void conversation_end(struct rpc_call *call);

// answer.c

// Begins the answer: headers, then what call_read results in.
void answer_begin(struct rpc_call *call);

// There is something to send again, or the end.
void answer_resume(struct rpc_call *call);

// Answers with nothing but the status, or ends with it what was begun.
void answer_fail(struct rpc_call *call, enum rpc_code code, const ProtobufCMessage *detail,
		 const char *text);

void answer_fail_with(struct rpc_call *call, enum rpc_code code,
		      const ProtobufCMessage *const details[], size_t detail_count,
		      const char *text);

// Answers in plain HTTP, to who doesn't speak gRPC.
void answer_http(struct rpc_call *call, const char *status);

// The source of a stream is not used any more.
void answer_close_stream(struct rpc_call *call);
