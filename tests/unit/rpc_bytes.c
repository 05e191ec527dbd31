// HTTP/2 and gRPC by hand.

#include "rpc_bytes.h"

#include <string.h>
#include <sys/socket.h>

void bytes_add(struct bytes *bytes, const void *data, size_t size)
{
	assert_true(bytes->size + size <= sizeof(bytes->data));
	memcpy(bytes->data + bytes->size, data, size);
	bytes->size += size;
}

void frame_add(struct bytes *bytes, uint8_t type, uint8_t flags, uint32_t stream,
	       const void *payload, size_t size)
{
	uint8_t header[9] = {(uint8_t)(size >> 16),
			     (uint8_t)(size >> 8),
			     (uint8_t)size,
			     type,
			     flags,
			     (uint8_t)(stream >> 24),
			     (uint8_t)(stream >> 16),
			     (uint8_t)(stream >> 8),
			     (uint8_t)stream};

	bytes_add(bytes, header, sizeof(header));
	bytes_add(bytes, payload, size);
}

void preface_add(struct bytes *bytes)
{
	bytes_add(bytes, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
	frame_add(bytes, 4, 0, 0, "", 0);
}

// A literal header without indexing (RFC 7541 section 6.2.2); name and value are short.
static void header_add(struct bytes *block, const char *name, const char *value)
{
	uint8_t length[2] = {0, (uint8_t)strlen(name)};

	bytes_add(block, length, 2);
	bytes_add(block, name, strlen(name));
	length[0] = (uint8_t)strlen(value);
	bytes_add(block, length, 1);
	bytes_add(block, value, strlen(value));
}

void headers_add(struct bytes *bytes, uint32_t stream, const char *path, const char *extra,
		 const char *value, uint8_t flags)
{
	static struct bytes block;

	block.size = 0;
	header_add(&block, ":method", "POST");
	header_add(&block, ":scheme", "http");
	header_add(&block, ":authority", "a");
	header_add(&block, ":path", path);
	header_add(&block, "content-type", "application/grpc");
	if (extra)
		header_add(&block, extra, value);
	frame_add(bytes, 1, (uint8_t)(4 | flags), stream, block.data, block.size);
}

bool contains(const uint8_t *data, size_t size, const char *text)
{
	return memmem(data, size, text, strlen(text)) != NULL;
}

size_t exchange(struct service *service, int fd, const struct bytes *bytes, uint8_t *answer,
		size_t size)
{
	size_t used = 0;

	if (send(fd, bytes->data, bytes->size, MSG_NOSIGNAL) < 0)
		return 0;
	service_turn(service);
	for (;;) {
		ssize_t length = recv(fd, answer + used, size - used, MSG_DONTWAIT);

		if (length <= 0)
			return used;
		used += (size_t)length;
		service_turn(service);
	}
}
