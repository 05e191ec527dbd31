// A gRPC server on libevent. Services are tables of handlers beside protobuf-c's descriptors.
//
// Threads: everything runs on the thread of the event loop; handlers are called there and
// rpc_call_… functions are called from there.

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <protobuf-c/protobuf-c.h>

#include "base/error.h"
#include "rpc/peer.h"
#include "rpc/roles.h"
#include "rpc/status.h"
#include "rpc/tls_files.h"

struct event_base;
struct rpc_call;
struct rpc_server;

// Called with a whole, unpacked request, which is freed when the handler returns (lists and strings
// that are taken out of it are the handler's). Must answer the call exactly once, now or later, by
// rpc_call_reply, rpc_call_fail or rpc_call_stream. `context` is the one given with the service.
typedef void rpc_handler(void *context, struct rpc_call *call, ProtobufCMessage *request);

struct rpc_method {
	const char *name; // as in the proto: "Apply"
	rpc_handler *handler;
	enum rpc_role role; // that the caller needs; who leaves it out asks for the most
	// Messages go both ways: the handler gets each one as it comes, and answers it before it
	// returns, by rpc_call_say or (which ends the call) rpc_call_fail. When the client has no
	// more, the call ends well.
	bool conversation;
};

enum rpc_next {
	RPC_NEXT_MESSAGE, // *message is to be sent; it stays the stream's, until the next call
	RPC_NEXT_END,	  // the end; *status (RPC_OK to begin with) goes to the client
	RPC_NEXT_WAIT,	  // nothing yet: asked again after rpc_call_wake
};

// The source of a stream of messages. It is asked for the next message when the transport has room
// for it, so that a stream of any length needs little memory.
struct rpc_stream {
	enum rpc_next (*next)(void *state, const ProtobufCMessage **message,
			      struct rpc_status *status);
	// Called once, at the end of the stream for whatever reason.
	void (*close)(void *state);
};

// What clients may cost. Sizes are bytes, times milliseconds; 0: the default.
struct rpc_limits {
	size_t connections;	    // 128; further ones are closed at once
	size_t tls_connections;	    // 96 of these over TLS; the others are for this machine
	size_t strangers;	    // 32 of those without a role, or still without a name
	size_t streams;		    // 64 calls at a time in a connection
	size_t header_size;	    // 16 KiB of a request, as SETTINGS_MAX_HEADER_LIST_SIZE counts
	size_t message_size;	    // 64 MiB of a request
	size_t connection_buffered; // 96 MiB of a connection's unfinished requests
	size_t buffered;	    // 192 MiB of all connections' unfinished requests
	size_t answers;		    // 256 MiB of answers that clients have not taken
	unsigned preface_timeout;   // 10 s until a new connection must have shown to speak HTTP/2
	unsigned request_stall;	    // 30 s in which a request must bring 4 KiB or its end
	unsigned answer_stall;	    // 300 s in which something of an answer must be taken
	unsigned keepalive;	    // 60 s without a byte over a network, then it is pinged
	unsigned keepalive_timeout; // 20 s for the answer to that
	unsigned ping_interval;	    // 5 s at least between two pings of a client that gets nothing
	unsigned tick;		    // 1 s between two looks at all this
};

// `limits` NULL: the defaults.
struct rpc_server *rpc_server_new(struct event_base *base, const struct rpc_limits *limits);

// Adds a service; methods that the table leaves out are UNIMPLEMENTED. `methods` ends with a NULL
// name and stays the caller's, valid as long as the server. A method that the descriptor doesn't
// have is an error.
int rpc_server_add(struct rpc_server *server, const ProtobufCServiceDescriptor *service,
		   const struct rpc_method *methods, void *context, struct error *err);

// Listens on "unix:PATH". A socket file that nobody answers on is replaced; the directory is made;
// mode 0660. `given`: such a socket that another process listened on, which is taken and set to -1;
// NULL or -1: none.
int rpc_server_listen(struct rpc_server *server, const char *address, int *given,
		      struct error *err);

// Listens on "HOST:PORT" (base/tcp.h) with TLS 1.3 and certificates on both sides. The files are
// read anew when they change. A caller has the role that `roles` gives to its certificate. Both are
// copied.
int rpc_server_listen_tls(struct rpc_server *server, const char *address, int *given,
			  const struct rpc_tls_files *files, const struct rpc_roles *roles,
			  struct error *err);

// Serves one connected socket (which it takes over); for tests, and for sockets that come from
// elsewhere.
int rpc_server_accept(struct rpc_server *server, int fd, struct error *err);

// The socket that it listens on, by TLS or a file; stays the server's. -1: none.
int rpc_server_listener(const struct rpc_server *server, bool tls);

// Once a second: a socket's file that somebody has removed is made again.
void rpc_server_check(struct rpc_server *server);

// Another process listens there now: no new connections, and files of sockets stay.
void rpc_server_leave(struct rpc_server *server);

// Has it callers that were let in and have asked nothing yet, or that wait for an answer? Streams
// do not count.
bool rpc_server_is_waited_for(const struct rpc_server *server);

// Connections that are open.
size_t rpc_server_connections(const struct rpc_server *server);

struct rpc_server_view {
	size_t connections;
	size_t tls_connections; // of them
	uint64_t tls_refused;	// since the start: no certificate, a wrong one, no TLS 1.3 ...
	time_t certificate_end; // of the server's certificate; 0: it has none
};

void rpc_server_look(const struct rpc_server *server, struct rpc_server_view *view);

// Ends all calls (streams are closed; answers to calls that are still open go nowhere), removes the
// socket files.
void rpc_server_free(struct rpc_server *server);

// The answer of a unary call; `message` is packed before the function returns. The call is gone
// afterwards.
void rpc_call_reply(struct rpc_call *call, const ProtobufCMessage *message);

// Ends the call with an error, with a detail message or NULL. The call is gone afterwards.
void rpc_call_fail(struct rpc_call *call, enum rpc_code code, const ProtobufCMessage *detail,
		   const char *format, ...) __attribute__((format(printf, 4, 5)));

// The same with several details, at most 4. Where they do not all fit into the headers that the
// client takes, lists are cut, from the last detail to the first.
void rpc_call_fail_with(struct rpc_call *call, enum rpc_code code,
			const ProtobufCMessage *const details[], size_t count, const char *text);

// The answer to one message of a conversation; packed before the function returns.
void rpc_call_say(struct rpc_call *call, const ProtobufCMessage *message);

// Answers with a stream. `stream` stays the caller's (static); `state` is the stream's until close.
void rpc_call_stream(struct rpc_call *call, const struct rpc_stream *stream, void *state);

// The stream has something after RPC_NEXT_WAIT. Only between rpc_call_stream and the stream's
// close.
void rpc_call_wake(struct rpc_call *call);

// Who calls. Only until the call is answered or the handler returns:
// what is needed later is copied.
const struct rpc_peer *rpc_call_peer(const struct rpc_call *call);

// Is the client still there? For handlers that answer later.
bool rpc_call_live(const struct rpc_call *call);
