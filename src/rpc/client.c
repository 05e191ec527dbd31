// A blocking gRPC client: one call at a time over an HTTP/2 session.

#include "rpc/client.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <nghttp2/nghttp2.h>

#include "model/memory.h"
#include "rpc/address.h"
#include "rpc/client_tls.h"
#include "rpc/frame.h"

#define MESSAGE_MAX	  ((size_t)512 << 20)
#define STREAM_WINDOW	  (1 << 20)
#define CONNECTION_WINDOW (4 << 20)
#define HEADER_LIST_MAX	  60000

#define HEADER(name_, value_)                                                       \
	(nghttp2_nv)                                                                \
	{                                                                           \
		.name = (uint8_t *)(uintptr_t)(name_), .namelen = strlen(name_),    \
		.value = (uint8_t *)(uintptr_t)(value_), .valuelen = strlen(value_) \
	}

// The call that runs.
struct call {
	int32_t id;
	const uint8_t *request;
	size_t request_size;
	size_t request_sent;
	const ProtobufCMessageDescriptor *output;
	struct frame_reader response;
	rpc_receiver *receiver;
	void *context;
	struct rpc_status *status;
	bool has_status; // grpc-status came
	bool is_grpc;	 // so says content-type
	bool stopped;	 // by the receiver
	bool failed;	 // here: *status says why
	bool closed;
	char http_status[8];
};

struct rpc_client {
	int fd;
	struct client_tls *tls; // NULL: the bytes go as they are
	char *authority;	// NULL: localhost
	nghttp2_session *session;
	struct call *call;
	bool broken;
};

static void header_take(struct call *call, const char *name, const char *value, size_t size)
{
	struct rpc_status *status = call->status;

	if (strcmp(name, ":status") == 0) {
		snprintf(call->http_status, sizeof(call->http_status), "%s", value);
	} else if (strcmp(name, "content-type") == 0) {
		call->is_grpc = strncmp(value, "application/grpc", 16) == 0;
	} else if (call->failed || call->stopped) {
		return;
	} else if (strcmp(name, "grpc-status") == 0) {
		status->code = (enum rpc_code)strtoul(value, NULL, 10);
		call->has_status = true;
	} else if (strcmp(name, "grpc-message") == 0) {
		percent_decode(value, size, status->message, sizeof(status->message));
	} else if (strcmp(name, "grpc-status-details-bin") == 0) {
		free(status->details);
		status->details = base64_decode(value, size, &status->details_size);
	}
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
		     size_t name_size, const uint8_t *value, size_t size, uint8_t flags,
		     void *context)
{
	struct rpc_client *client = context;

	if (client->call && frame->hd.stream_id == client->call->id)
		header_take(client->call, (const char *)name, (const char *)value, size);
	return 0;
}

// Ends the call from this side.
static void call_cancel(struct rpc_client *client)
{
	nghttp2_submit_rst_stream(client->session, NGHTTP2_FLAG_NONE, client->call->id,
				  NGHTTP2_CANCEL);
}

static void call_fail(struct rpc_client *client, enum rpc_code code, const char *text)
{
	client->call->failed = true;
	rpc_status_set(client->call->status, code, "%s", text);
	call_cancel(client);
}

static void message_take(struct rpc_client *client)
{
	struct call *call = client->call;
	bool exhausted;
	ProtobufCMessage *message =
		frame_unpack(call->output, call->response.data, call->response.size, &exhausted);

	frame_clear(&call->response);
	if (!message) {
		call_fail(client, exhausted ? RPC_RESOURCE_EXHAUSTED : RPC_INTERNAL,
			  exhausted ? "the answer needs too much memory"
				    : "the answer is malformed");
		return;
	}
	if (call->receiver(call->context, message) != 0) {
		call->stopped = true;
		call_cancel(client);
	}
	protobuf_c_message_free_unpacked(message, NULL);
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
		   size_t size, void *context)
{
	struct rpc_client *client = context;
	struct call *call = client->call;

	while (call && id == call->id && size > 0 && !call->failed && !call->stopped) {
		size_t taken;

		switch (frame_feed(&call->response, data, size, MESSAGE_MAX, &taken)) {
		case FRAME_COMPLETE:
			message_take(client);
			break;
		case FRAME_COMPRESSED:
			call_fail(client, RPC_INTERNAL, "the answer is compressed");
			break;
		case FRAME_TOO_LARGE:
			call_fail(client, RPC_RESOURCE_EXHAUSTED, "the answer is too large");
			break;
		case FRAME_MORE:
			break;
		}
		data += taken;
		size -= taken;
	}
	return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *context)
{
	struct rpc_client *client = context;

	if (client->call && id == client->call->id)
		client->call->closed = true;
	return 0;
}

static ssize_t request_read(nghttp2_session *session, int32_t id, uint8_t *buffer, size_t size,
			    uint32_t *flags, nghttp2_data_source *source, void *context)
{
	struct call *call = source->ptr;
	size_t part = call->request_size - call->request_sent;

	if (part > size)
		part = size;
	memcpy(buffer, call->request + call->request_sent, part);
	call->request_sent += part;
	if (call->request_sent == call->request_size)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)part;
}

static int session_make(struct rpc_client *client)
{
	nghttp2_session_callbacks *callbacks;
	nghttp2_settings_entry settings[] = {
		{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
		{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW},
		{NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HEADER_LIST_MAX},
	};
	int result;

	if (nghttp2_session_callbacks_new(&callbacks) != 0)
		return -1;
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
	result = nghttp2_session_client_new(&client->session, callbacks, client);
	nghttp2_session_callbacks_del(callbacks);
	if (result != 0)
		return -1;
	nghttp2_submit_settings(client->session, NGHTTP2_FLAG_NONE, settings,
				sizeof(settings) / sizeof(*settings));
	nghttp2_session_set_local_window_size(client->session, NGHTTP2_FLAG_NONE, 0,
					      CONNECTION_WINDOW);
	return 0;
}

static int unix_connect(const char *address, struct error *err)
{
	struct sockaddr_un socket_address;
	int fd;

	if (rpc_address_parse(address, &socket_address, err) < 0)
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return error_errno(err, "cannot make a socket");
	if (connect(fd, (struct sockaddr *)&socket_address, sizeof(socket_address)) < 0) {
		int failure = errno;

		close(fd);
		return error_set(
			err, "cannot reach sluiced at %s: %s%s", address, strerror(failure),
			failure == ENOENT || failure == ECONNREFUSED ? " (is it running?)" : "");
	}
	return fd;
}

int rpc_client_open(const char *address, const struct rpc_tls_files *files,
		    struct rpc_client **client, struct error *err)
{
	const char *place = rpc_address_tls(address);
	struct client_tls *tls = NULL;
	int fd;

	if (!place) {
		fd = unix_connect(address, err);
		if (fd < 0)
			return -1;
	} else if (!files || !files->certificate || !files->key || !files->ca) {
		return error_set(err, "%s needs a certificate, its key and a CA", address);
	} else if (client_tls_open(place, files, &fd, &tls, err) < 0) {
		return -1;
	}
	*client = rpc_client_new(fd);
	(*client)->tls = tls;
	(*client)->authority = place ? memory_text(place) : NULL;
	return 0;
}

struct rpc_client *rpc_client_new(int fd)
{
	struct rpc_client *client = memory_new(sizeof(*client));

	client->fd = fd;
	if (session_make(client) < 0)
		memory_required(NULL);
	return client;
}

void rpc_client_close(struct rpc_client *client)
{
	if (!client)
		return;
	nghttp2_session_del(client->session);
	client_tls_close(client->tls);
	close(client->fd);
	free(client->authority);
	free(client);
}

void rpc_client_interrupt(struct rpc_client *client)
{
	if (client)
		shutdown(client->fd, SHUT_RD);
}

static int send_all(struct rpc_client *client, const uint8_t *data, size_t size)
{
	if (client->tls)
		return client_tls_send(client->tls, data, size);
	while (size > 0) {
		ssize_t sent = send(client->fd, data, size, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return -1;
		data += sent;
		size -= (size_t)sent;
	}
	return 0;
}

static ssize_t receive(struct rpc_client *client, void *data, size_t size)
{
	ssize_t received;

	if (client->tls)
		return client_tls_receive(client->tls, data, size);
	do {
		received = recv(client->fd, data, size, 0);
	} while (received < 0 && errno == EINTR);
	return received;
}

// Everything that waits goes out. While the socket is full, what comes in is left to the kernel:
// the server reads while it writes no more than its buffers hold.
static int client_write(struct rpc_client *client)
{
	const uint8_t *data;
	ssize_t size;

	while ((size = nghttp2_session_mem_send(client->session, &data)) > 0)
		if (send_all(client, data, (size_t)size) < 0)
			return -1;
	return size < 0 ? -1 : 0;
}

static int client_read(struct rpc_client *client)
{
	uint8_t buffer[65536];
	ssize_t size = receive(client, buffer, sizeof(buffer));

	if (size <= 0)
		return -1;
	return nghttp2_session_mem_recv(client->session, buffer, (size_t)size) < 0 ? -1 : 0;
}

// What the end of the call means. Returns 0 or -1.
static int call_result(struct rpc_client *client, struct call *call)
{
	if (call->failed)
		return -1;
	if (call->stopped) {
		rpc_status_set(call->status, RPC_OK, "%s", "");
		return 0;
	}
	if (call->has_status)
		return call->status->code == RPC_OK ? 0 : -1;
	if (client->broken && !call->closed)
		return rpc_status_set(call->status, RPC_UNAVAILABLE,
				      "sluiced closed the connection");
	if (!call->is_grpc)
		return rpc_status_set(call->status, RPC_UNKNOWN,
				      "no gRPC service answers (HTTP status %s)",
				      *call->http_status ? call->http_status : "missing");
	return rpc_status_set(call->status, RPC_UNAVAILABLE, "sluiced ended the call");
}

int rpc_client_stream(struct rpc_client *client, const ProtobufCServiceDescriptor *service,
		      const char *method, const ProtobufCMessage *request, rpc_receiver *receiver,
		      void *context, struct rpc_status *status)
{
	const ProtobufCMethodDescriptor *descriptor =
		protobuf_c_service_descriptor_get_method_by_name(service, method);
	struct call call = {.receiver = receiver, .context = context, .status = status};
	nghttp2_data_provider provider = {.source = {.ptr = &call}, .read_callback = request_read};
	char path[256];
	uint8_t *frame;
	int result;

	memset(status, 0, sizeof(*status));
	if (!descriptor)
		return rpc_status_set(status, RPC_UNIMPLEMENTED, "no method %s", method);
	if (client->broken)
		return rpc_status_set(status, RPC_UNAVAILABLE, "the connection is closed");
	frame = frame_pack(request, &call.request_size);
	if (!frame)
		return rpc_status_set(status, RPC_RESOURCE_EXHAUSTED, "the request is too large");
	call.request = frame;
	call.output = descriptor->output;
	snprintf(path, sizeof(path), "/%s/%s", service->name, method);
	nghttp2_nv headers[] = {
		HEADER(":method", "POST"),
		HEADER(":scheme", client->tls ? "https" : "http"),
		HEADER(":path", path),
		HEADER(":authority", client->authority ? client->authority : "localhost"),
		HEADER("te", "trailers"),
		HEADER("content-type", "application/grpc"),
		HEADER("user-agent", "sluice/" SLUICE_VERSION),
	};
	call.id = nghttp2_submit_request(client->session, NULL, headers,
					 sizeof(headers) / sizeof(*headers), &provider, NULL);
	if (call.id < 0) {
		free(frame);
		return rpc_status_set(status, RPC_UNAVAILABLE,
				      "the connection takes no more calls");
	}
	client->call = &call;
	while (!call.closed && !client->broken) {
		// Who takes nothing any more may have said why. What is sent may close the call.
		client_write(client);
		if (!call.closed && client_read(client) < 0)
			client->broken = true;
	}
	client->call = NULL;
	result = call_result(client, &call);
	frame_clear(&call.response);
	free(frame);
	return result;
}

static int unary_receive(void *context, const ProtobufCMessage *message)
{
	ProtobufCMessage **result = context;
	size_t size;
	uint8_t *data;

	if (*result)
		return 0;
	// The message is freed after this; a copy is kept.
	size = protobuf_c_message_get_packed_size(message);
	data = memory_new(size);
	protobuf_c_message_pack(message, data);
	*result = protobuf_c_message_unpack(message->descriptor, NULL, size, data);
	free(data);
	return 0;
}

int rpc_client_call(struct rpc_client *client, const ProtobufCServiceDescriptor *service,
		    const char *method, const ProtobufCMessage *request,
		    ProtobufCMessage **response, struct rpc_status *status)
{
	*response = NULL;
	if (rpc_client_stream(client, service, method, request, unary_receive, response, status) ==
		    0 &&
	    *response)
		return 0;
	if (*response)
		protobuf_c_message_free_unpacked(*response, NULL);
	*response = NULL;
	if (status->code == RPC_OK)
		rpc_status_set(status, RPC_INTERNAL, "sluiced gave no answer");
	return -1;
}
