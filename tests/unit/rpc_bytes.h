// HTTP/2 and gRPC by hand, for tests of what no honest client sends.

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rpc_service.h"

#define END_STREAM   1
#define VERSION_PATH "/sluice.v1.Sluice/Version"

struct bytes {
	uint8_t data[65536];
	size_t size;
};

void bytes_add(struct bytes *bytes, const void *data, size_t size);

// An HTTP/2 frame.
void frame_add(struct bytes *bytes, uint8_t type, uint8_t flags, uint32_t stream,
	       const void *payload, size_t size);

// What a connection begins with.
void preface_add(struct bytes *bytes);

// A request's headers; one more if `extra` is not NULL.
void headers_add(struct bytes *bytes, uint32_t stream, const char *path, const char *extra,
		 const char *value, uint8_t flags);

bool contains(const uint8_t *data, size_t size, const char *text);

// Sends the bytes, and returns all that comes back until the server has nothing more to do.
size_t exchange(struct service *service, int fd, const struct bytes *bytes, uint8_t *answer,
		size_t size);
