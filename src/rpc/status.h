// How a call ended: gRPC's status codes, and their form in trailers.

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

enum rpc_code {
	RPC_OK = 0,
	RPC_CANCELLED = 1,
	RPC_UNKNOWN = 2,
	RPC_INVALID_ARGUMENT = 3,
	RPC_DEADLINE_EXCEEDED = 4,
	RPC_NOT_FOUND = 5,
	RPC_ALREADY_EXISTS = 6,
	RPC_PERMISSION_DENIED = 7,
	RPC_RESOURCE_EXHAUSTED = 8,
	RPC_FAILED_PRECONDITION = 9,
	RPC_ABORTED = 10,
	RPC_OUT_OF_RANGE = 11,
	RPC_UNIMPLEMENTED = 12,
	RPC_INTERNAL = 13,
	RPC_UNAVAILABLE = 14,
	RPC_DATA_LOSS = 15,
	RPC_UNAUTHENTICATED = 16,
};

struct rpc_status {
	enum rpc_code code;
	char message[1024];
	// Packed google.rpc.Status, or NULL.
	uint8_t *details;
	size_t details_size;
};

// "NOT_FOUND"
const char *rpc_code_name(enum rpc_code code);

// Fills code and message, drops the details. Returns -1.
int rpc_status_set(struct rpc_status *status, enum rpc_code code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

// Makes the details of these messages, each in an Any. Their types are named by their descriptors.
void rpc_status_set_details(struct rpc_status *status, const ProtobufCMessage *const details[],
			    size_t count);

// The detail of the given type, or NULL. Freed by the caller with protobuf_c_message_free_unpacked.
ProtobufCMessage *rpc_status_detail(const struct rpc_status *status,
				    const ProtobufCMessageDescriptor *type);

// Frees the details.
void rpc_status_clear(struct rpc_status *status);

// grpc-message is percent-encoded, grpc-status-details-bin base64. Results end with a zero byte and
// are freed by the caller. Decoding is lenient, as gRPC wants it; base64_decode returns NULL for
// what is no base64.
char *percent_encode(const char *text);
void percent_decode(const char *text, size_t length, char *result, size_t size);
char *base64_encode(const uint8_t *data, size_t size);
uint8_t *base64_decode(const char *text, size_t length, size_t *size);
