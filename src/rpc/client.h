// A blocking gRPC client, for the command line and tests.

#pragma once

#include <protobuf-c/protobuf-c.h>

#include "base/error.h"
#include "rpc/status.h"
#include "rpc/tls_files.h"

struct rpc_client;

// Connects to "unix:PATH", or to "tls:HOST:PORT" with `files` (else NULL will do). The error is a
// whole line for the user.
int rpc_client_open(const char *address, const struct rpc_tls_files *files,
		    struct rpc_client **client, struct error *err);

// The same over a connected socket, which it takes over.
struct rpc_client *rpc_client_new(int fd);

void rpc_client_close(struct rpc_client *client);

// Ends the connection, and the call that runs with what has come already: it is RPC_UNAVAILABLE
// then. For signal handlers.
void rpc_client_interrupt(struct rpc_client *client);

// Calls a unary method. Returns 0 with `*response` (freed with protobuf_c_message_free_unpacked),
// or -1 with a status other than RPC_OK. A broken connection is RPC_UNAVAILABLE. Clear the status
// in either case.
int rpc_client_call(struct rpc_client *client, const ProtobufCServiceDescriptor *service,
		    const char *method, const ProtobufCMessage *request,
		    ProtobufCMessage **response, struct rpc_status *status);

// Called for each message of a stream, which is freed afterwards. Other than 0 cancels the call.
typedef int rpc_receiver(void *context, const ProtobufCMessage *message);

// Calls a server-streaming method. Returns 0 after the stream's good end or when the receiver
// stopped it.
int rpc_client_stream(struct rpc_client *client, const ProtobufCServiceDescriptor *service,
		      const char *method, const ProtobufCMessage *request, rpc_receiver *receiver,
		      void *context, struct rpc_status *status);
