#include "port/vhost_user/message.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEADER	sizeof(struct vhost_message_header)
#define PAYLOAD sizeof(union vhost_payload)

static const struct {
	const char *name;
	uint16_t size; // of the payload at least
	uint8_t fds;   // at most
} requests[VHOST_REQUESTS] = {
	[VHOST_GET_FEATURES] = {"GET_FEATURES"},
	[VHOST_SET_FEATURES] = {"SET_FEATURES", 8},
	[VHOST_SET_OWNER] = {"SET_OWNER"},
	[VHOST_RESET_OWNER] = {"RESET_OWNER"},
	[VHOST_SET_MEM_TABLE] = {"SET_MEM_TABLE", 8, VHOST_REGIONS_MAX},
	[VHOST_SET_LOG_BASE] = {"SET_LOG_BASE", 8, 1},
	[VHOST_SET_LOG_FD] = {"SET_LOG_FD", 0, 1},
	[VHOST_SET_VRING_NUM] = {"SET_VRING_NUM", 8},
	[VHOST_SET_VRING_ADDR] = {"SET_VRING_ADDR", 40},
	[VHOST_SET_VRING_BASE] = {"SET_VRING_BASE", 8},
	[VHOST_GET_VRING_BASE] = {"GET_VRING_BASE", 8},
	[VHOST_SET_VRING_KICK] = {"SET_VRING_KICK", 8, 1},
	[VHOST_SET_VRING_CALL] = {"SET_VRING_CALL", 8, 1},
	[VHOST_SET_VRING_ERR] = {"SET_VRING_ERR", 8, 1},
	[VHOST_GET_PROTOCOL_FEATURES] = {"GET_PROTOCOL_FEATURES"},
	[VHOST_SET_PROTOCOL_FEATURES] = {"SET_PROTOCOL_FEATURES", 8},
	[VHOST_GET_QUEUE_NUM] = {"GET_QUEUE_NUM"},
	[VHOST_SET_VRING_ENABLE] = {"SET_VRING_ENABLE", 8},
	[VHOST_SEND_RARP] = {"SEND_RARP", 8},
	[VHOST_NET_SET_MTU] = {"NET_SET_MTU", 8},
	[VHOST_RESET_DEVICE] = {"RESET_DEVICE"},
	[VHOST_GET_MAX_MEM_SLOTS] = {"GET_MAX_MEM_SLOTS"},
	[VHOST_ADD_MEM_REG] = {"ADD_MEM_REG", 40, 1},
	[VHOST_REM_MEM_REG] = {"REM_MEM_REG", 40, 1},
	[VHOST_SET_STATUS] = {"SET_STATUS", 8},
	[VHOST_GET_STATUS] = {"GET_STATUS"},
};

const char *vhost_request_name(uint32_t request)
{
	return request < VHOST_REQUESTS && requests[request].name ? requests[request].name
								  : "unknown";
}

int vhost_message_check(const struct vhost_message *message, struct error *err)
{
	uint32_t request = message->header.request;

	if (request >= VHOST_REQUESTS || !requests[request].name)
		return error_set(err, "no such request: %u", request);
	if (message->header.size < requests[request].size)
		return error_set(err, "%u bytes of %u", message->header.size,
				 requests[request].size);
	if (message->fd_count > requests[request].fds)
		return error_set(err, "%u file descriptors, %u at most", message->fd_count,
				 requests[request].fds);
	return 0;
}

int vhost_message_fd(struct vhost_message *message)
{
	int fd;

	if (!message->fd_count)
		return -1;
	fd = message->fds[0];
	message->fd_count--;
	memmove(message->fds, message->fds + 1, message->fd_count * sizeof(int));
	return fd;
}

void vhost_message_clear(struct vhost_message *message)
{
	for (uint32_t i = 0; i < message->fd_count; i++)
		close(message->fds[i]);
	memset(&message->header, 0, sizeof(message->header));
	memset(&message->payload, 0, sizeof(message->payload));
	message->filled = 0;
	message->fd_count = 0;
}

// False: more came than there may be.
static bool take_fds(struct vhost_message *message, struct msghdr *from)
{
	bool fits = !(from->msg_flags & MSG_CTRUNC);

	for (struct cmsghdr *part = CMSG_FIRSTHDR(from); part; part = CMSG_NXTHDR(from, part)) {
		const uint8_t *data = CMSG_DATA(part);

		if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t size = part->cmsg_len - CMSG_LEN(0); size >= sizeof(int);
		     size -= sizeof(int), data += sizeof(int)) {
			int fd;

			memcpy(&fd, data, sizeof(fd));
			if (message->fd_count < VHOST_REGIONS_MAX) {
				message->fds[message->fd_count++] = fd;
			} else {
				close(fd);
				fits = false;
			}
		}
	}
	return fits;
}

static int header_check(const struct vhost_message_header *header, struct error *err)
{
	if ((header->flags & VHOST_FLAG_VERSION_MASK) != VHOST_FLAG_VERSION)
		return error_set(err, "version %u of the protocol",
				 header->flags & VHOST_FLAG_VERSION_MASK);
	if (header->flags & VHOST_FLAG_REPLY)
		return error_set(err, "a reply that was not asked for");
	if (header->size > PAYLOAD)
		return error_set(err, "a payload of %u bytes, %zu at most", header->size, PAYLOAD);
	return 0;
}

enum vhost_reading vhost_message_read(int socket, struct vhost_message *message, struct error *err)
{
	union {
		struct cmsghdr header;
		uint8_t bytes[CMSG_SPACE(VHOST_REGIONS_MAX * sizeof(int))];
	} control;

	for (;;) {
		bool in_header = message->filled < HEADER;
		uint32_t whole = in_header ? HEADER : HEADER + message->header.size;
		uint8_t *place = in_header
					 ? (uint8_t *)&message->header + message->filled
					 : (uint8_t *)&message->payload + message->filled - HEADER;
		// Never more than to the end of this message: descriptors come with the bytes that
		// they were sent with, and so can't belong to the next one.
		struct iovec part = {place, whole - message->filled};
		struct msghdr request = {.msg_iov = &part,
					 .msg_iovlen = 1,
					 .msg_control = &control,
					 .msg_controllen = sizeof(control)};
		ssize_t size;

		if (!part.iov_len)
			return VHOST_READ_MESSAGE;
		size = recvmsg(socket, &request, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		if (size < 0 && errno == EINTR)
			continue;
		if (size < 0 && errno == EAGAIN)
			return VHOST_READ_PART;
		if (size < 0) {
			error_errno(err, "the connection");
			return errno == ECONNRESET ? VHOST_READ_END : VHOST_READ_WRONG;
		}
		if (!take_fds(message, &request)) {
			error_set(err, "more than %d file descriptors", VHOST_REGIONS_MAX);
			return VHOST_READ_WRONG;
		}
		if (size == 0)
			return VHOST_READ_END;
		message->filled += (uint32_t)size;
		if (in_header && message->filled == HEADER &&
		    header_check(&message->header, err) < 0)
			return VHOST_READ_WRONG;
	}
}
