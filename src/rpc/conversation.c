// Calls in which messages go both ways: each that comes is answered before the next is looked at.

#include "model/memory.h"
#include "rpc/server_private.h"

// Nobody has a longer question.
#define MESSAGE_MAX ((size_t)64 << 10)

void conversation_data(struct rpc_call *call, const uint8_t *data, size_t size)
{
	call->received += size;
	if (!limit_buffer(call, size)) {
		answer_fail(call, RPC_RESOURCE_EXHAUSTED, NULL,
			    "too many requests at the same time");
		return;
	}
	call->held_size -= call->held_used;
	if (call->held_size)
		memmove(call->held, call->held + call->held_used, call->held_size);
	call->held_used = 0;
	call->held = memory_resize(call->held, call->held_size + size, 1);
	memcpy(call->held + call->held_size, data, size);
	call->held_size += size;
	conversation_go_on(call);
}

static void message_handle(struct rpc_call *call)
{
	bool exhausted;
	ProtobufCMessage *message =
		frame_unpack(call->input, call->request.data, call->request.size, &exhausted);
	size_t size = FRAME_HEADER_SIZE + call->request.size;

	frame_clear(&call->request);
	limit_unbuffer(call, size);
	if (!message) {
		answer_fail(call, RPC_INVALID_ARGUMENT, NULL, "the request is malformed");
		return;
	}
	call->method->handler(call->service->context, call, message);
	protobuf_c_message_free_unpacked(message, NULL);
}

void conversation_go_on(struct rpc_call *call)
{
	size_t limit = call->connection->server->limits.message_size;

	if (limit > MESSAGE_MAX)
		limit = MESSAGE_MAX;
	while (call->state == CALL_CONVERSING && call->out_sent == call->out_size &&
	       call->held_used < call->held_size) {
		size_t taken;
		enum frame_result result =
			frame_feed(&call->request, call->held + call->held_used,
				   call->held_size - call->held_used, limit, &taken);

		call->held_used += taken;
		nghttp2_session_consume_stream(call->connection->session, call->id, taken);
		if (result == FRAME_COMPLETE)
			message_handle(call);
		else if (result == FRAME_COMPRESSED)
			answer_fail(
				call, RPC_INTERNAL, NULL,
				"the message is compressed, and grpc-encoding does not say how");
		else if (result == FRAME_TOO_LARGE)
			answer_fail(call, RPC_RESOURCE_EXHAUSTED, NULL, "a message is too large");
	}
	if (call->state != CALL_CONVERSING || !call->half_closed ||
	    call->held_used < call->held_size || call->out_sent < call->out_size)
		return;
	if (frame_begun(&call->request))
		answer_fail(call, RPC_INVALID_ARGUMENT, NULL,
			    "the request ends inside its message");
	else
		call->state = CALL_ANSWERED;
	answer_resume(call);
}

void conversation_end(struct rpc_call *call)
{
	call->half_closed = true;
	conversation_go_on(call);
}

void rpc_call_say(struct rpc_call *call, const ProtobufCMessage *message)
{
	free(call->out);
	call->out_sent = 0;
	call->out_size = 0;
	call->out = frame_pack(message, &call->out_size);
	if (!call->out)
		answer_fail(call, RPC_RESOURCE_EXHAUSTED, NULL, "the answer is too large");
	answer_resume(call);
}
