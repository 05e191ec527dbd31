// The server's answer to a call: headers, messages as the transport takes them, trailers.

#include <stdio.h>

#include "model/memory.h"
#include "rpc/server_private.h"

// Small messages of a stream are put together to pieces of about this size.
#define PIECE_SIZE 16384

// What trailers may have beside details and message, and what they may have at all where the client
// sets no limit.
#define TRAILERS_RESERVE 512
#define TRAILERS_MAX	 60000

// A call has at most so many details.
#define DETAILS_MAX 4

#define HEADER(name_, value_)                                                       \
	(nghttp2_nv)                                                                \
	{                                                                           \
		.name = (uint8_t *)(uintptr_t)(name_), .namelen = strlen(name_),    \
		.value = (uint8_t *)(uintptr_t)(value_), .valuelen = strlen(value_) \
	}

void answer_close_stream(struct rpc_call *call)
{
	const struct rpc_stream *stream = call->stream;

	call->stream = NULL;
	if (stream)
		stream->close(call->stream_state);
}

// Adds the call's status to headers or trailers. The caller frees the strings.
static size_t status_headers(const struct rpc_call *call, nghttp2_nv *headers, size_t count,
			     char *strings[3])
{
	char code[16];

	snprintf(code, sizeof(code), "%d", (int)call->status.code);
	strings[0] = memory_text(code);
	strings[1] = percent_encode(call->status.message);
	strings[2] = NULL;
	headers[count++] = HEADER("grpc-status", strings[0]);
	if (*strings[1])
		headers[count++] = HEADER("grpc-message", strings[1]);
	if (call->status.details) {
		strings[2] = base64_encode(call->status.details, call->status.details_size);
		headers[count++] = HEADER("grpc-status-details-bin", strings[2]);
	}
	return count;
}

static void trailers_submit(struct rpc_call *call)
{
	nghttp2_nv headers[3];
	char *strings[3];
	size_t count = status_headers(call, headers, 0, strings);

	nghttp2_submit_trailer(call->connection->session, call->id, headers, count);
	for (size_t i = 0; i < 3; i++)
		free(strings[i]);
}

// Asks the stream for messages until there is a piece worth sending. Returns whether there is
// something to send, or the end was reached.
static bool piece_pull(struct rpc_call *call)
{
	const ProtobufCMessage *message;

	call->out_size = 0;
	call->out_sent = 0;
	free(call->out);
	call->out = NULL;
	while (call->out_size < PIECE_SIZE) {
		enum rpc_next next =
			call->stream->next(call->stream_state, &message, &call->status);
		uint8_t *frame;
		size_t size;

		if (next == RPC_NEXT_WAIT)
			return call->out_size > 0;
		if (next == RPC_NEXT_END) {
			answer_close_stream(call);
			call->state = CALL_ANSWERED;
			return true;
		}
		frame = frame_pack(message, &size);
		if (!frame) {
			rpc_status_set(&call->status, RPC_RESOURCE_EXHAUSTED,
				       "a message of the answer is too large");
			answer_close_stream(call);
			call->state = CALL_ANSWERED;
			return true;
		}
		call->out = memory_resize(call->out, call->out_size + size, 1);
		memcpy(call->out + call->out_size, frame, size);
		call->out_size += size;
		free(frame);
	}
	return true;
}

static ssize_t answer_read(nghttp2_session *session, int32_t id, uint8_t *buffer, size_t size,
			   uint32_t *flags, nghttp2_data_source *source, void *context)
{
	struct rpc_call *call = source->ptr;
	size_t part;

	if (call->out_sent == call->out_size && call->state == CALL_CONVERSING)
		conversation_go_on(call);
	if (call->out_sent == call->out_size &&
	    (call->state == CALL_CONVERSING ||
	     (call->state == CALL_STREAMING && !piece_pull(call)))) {
		call->waiting = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	part = call->out_size - call->out_sent;
	if (part > size)
		part = size;
	if (part) {
		memcpy(buffer, call->out + call->out_sent, part);
		call->out_sent += part;
	}
	if (call->out_sent == call->out_size && call->state == CALL_ANSWERED) {
		*flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
		trailers_submit(call);
	}
	return (ssize_t)part;
}

void answer_begin(struct rpc_call *call)
{
	nghttp2_data_provider provider = {.source = {.ptr = call}, .read_callback = answer_read};
	nghttp2_nv headers[] = {
		HEADER(":status", "200"),
		HEADER("content-type", "application/grpc"),
		HEADER("grpc-accept-encoding", "identity"),
	};

	call->begun = true;
	nghttp2_submit_response(call->connection->session, call->id, headers, 3, &provider);
}

void answer_resume(struct rpc_call *call)
{
	if (!call->waiting)
		return;
	call->waiting = false;
	nghttp2_session_resume_data(call->connection->session, call->id);
}

// How many elements the list of a message has; NULL: it has no list.
static size_t *list_length(ProtobufCMessage *message)
{
	const ProtobufCMessageDescriptor *type = message->descriptor;

	for (unsigned i = 0; i < type->n_fields; i++)
		if (type->fields[i].label == PROTOBUF_C_LABEL_REPEATED)
			return (size_t *)((char *)message + type->fields[i].quantifier_offset);
	return NULL;
}

// Would the status fit into the headers that the client takes?
static bool trailers_fit(const struct rpc_call *call)
{
	size_t room = nghttp2_session_get_remote_settings(call->connection->session,
							  NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE);
	char *text = percent_encode(call->status.message);
	size_t used = strlen(text) + TRAILERS_RESERVE + (call->status.details_size + 2) / 3 * 4;

	free(text);
	return used <= (room < TRAILERS_MAX ? room : TRAILERS_MAX);
}

// Adds the details to the status, with as many elements of their lists as the client takes. The
// first one matters most.
static void details_add(struct rpc_call *call, const ProtobufCMessage *const details[],
			size_t count)
{
	ProtobufCMessage *copies[DETAILS_MAX];
	const ProtobufCMessage *list[DETAILS_MAX];

	if (count > DETAILS_MAX)
		count = DETAILS_MAX;
	for (size_t i = 0; i < count; i++) {
		size_t size = details[i]->descriptor->sizeof_message;

		copies[i] = memory_new(size);
		memcpy(copies[i], details[i], size);
		list[i] = copies[i];
	}
	for (size_t used = count; used > 0;) {
		size_t *length = list_length(copies[used - 1]);

		rpc_status_set_details(&call->status, list, used);
		if (trailers_fit(call))
			break;
		free(call->status.details);
		call->status.details = NULL;
		call->status.details_size = 0;
		if (length && *length > 1)
			*length = *length * 3 / 4;
		else
			used--;
	}
	for (size_t i = 0; i < count; i++)
		free(copies[i]);
}

void answer_fail(struct rpc_call *call, enum rpc_code code, const ProtobufCMessage *detail,
		 const char *text)
{
	answer_fail_with(call, code, &detail, detail ? 1 : 0, text);
}

void answer_fail_with(struct rpc_call *call, enum rpc_code code,
		      const ProtobufCMessage *const details[], size_t detail_count,
		      const char *text)
{
	nghttp2_nv headers[6] = {
		HEADER(":status", "200"),
		HEADER("content-type", "application/grpc"),
		HEADER("grpc-accept-encoding", "identity"),
	};
	char *strings[3];
	size_t count;

	rpc_status_set(&call->status, code, "%s", text);
	details_add(call, details, detail_count);
	call->state = CALL_ANSWERED;
	frame_clear(&call->request);
	limit_unbuffer(call, call->buffered);
	if (call->begun) {
		answer_close_stream(call);
		answer_resume(call);
		return;
	}
	count = status_headers(call, headers, 3, strings);
	nghttp2_submit_response(call->connection->session, call->id, headers, count, NULL);
	for (size_t i = 0; i < 3; i++)
		free(strings[i]);
}

void answer_http(struct rpc_call *call, const char *status)
{
	nghttp2_nv headers[] = {HEADER(":status", status)};

	call->state = CALL_ANSWERED;
	nghttp2_submit_response(call->connection->session, call->id, headers, 1, NULL);
}
