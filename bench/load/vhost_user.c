// The messages of vhost_user.h.

#include "vhost_user.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/vhost_types.h>

#define VERSION	   1u
#define REPLY	   (1u << 2)
#define NEED_REPLY (1u << 3)

#define FEATURE_PROTOCOL_FEATURES  30
#define PROTOCOL_FEATURE_REPLY_ACK 3
// For an answer.
#define PATIENCE_SECONDS 10

enum request {
	GET_FEATURES = 1,
	SET_FEATURES = 2,
	SET_OWNER = 3,
	SET_MEM_TABLE = 5,
	SET_VRING_NUM = 8,
	SET_VRING_ADDR = 9,
	SET_VRING_BASE = 10,
	SET_VRING_KICK = 12,
	SET_VRING_CALL = 13,
	GET_PROTOCOL_FEATURES = 15,
	SET_PROTOCOL_FEATURES = 16,
	SET_VRING_ENABLE = 18,
};

struct memory_table {
	uint32_t regions;
	uint32_t padding;
	uint64_t guest_address;
	uint64_t size;
	uint64_t user_address;
	uint64_t offset;
};

struct message {
	uint32_t request;
	uint32_t flags;
	uint32_t size;
	union {
		uint64_t number;
		struct vhost_vring_state state;
		struct vhost_vring_addr address;
		struct memory_table memory;
	} payload;
} __attribute__((packed, aligned(4)));

#define HEADER_SIZE offsetof(struct message, payload)

static bool failed(const char *what)
{
	fprintf(stderr, "load: vhost-user: %s: %s\n", what,
		errno ? strerror(errno) : "the device has closed the connection");
	return false;
}

int vhost_user_connect(const char *path, bool server)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), accepted, err;

	if (strlen(path) >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		failed(path);
		close(fd);
		return -1;
	}
	strcpy(address.sun_path, path);
	if (server) {
		unlink(path);
		err = bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 1);
		accepted = err ? -1 : accept4(fd, NULL, NULL, SOCK_CLOEXEC);
		err = errno;
		close(fd);
		unlink(path);
		errno = err;
		fd = accepted;
	} else if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
		err = errno;
		close(fd);
		errno = err;
		fd = -1;
	}
	if (fd < 0)
		failed(path);
	return fd;
}

// `passed` is a descriptor to go along, or -1.
static bool message_send(int fd, struct message *message, enum request request, uint32_t size,
			 int passed)
{
	char control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec bytes = {message, HEADER_SIZE + size};
	struct msghdr header = {.msg_iov = &bytes, .msg_iovlen = 1};
	struct cmsghdr *rights;

	message->request = request;
	message->flags |= VERSION;
	message->size = size;
	if (passed >= 0) {
		header.msg_control = control;
		header.msg_controllen = sizeof(control);
		rights = CMSG_FIRSTHDR(&header);
		rights->cmsg_level = SOL_SOCKET;
		rights->cmsg_type = SCM_RIGHTS;
		rights->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(rights), &passed, sizeof(int));
	}
	return sendmsg(fd, &header, MSG_NOSIGNAL) == (ssize_t)bytes.iov_len || failed("send");
}

// The number that the device answers with.
static bool number_receive(int fd, enum request request, uint64_t *number)
{
	struct message message;
	size_t size = HEADER_SIZE + sizeof(*number);

	errno = 0;
	if (recv(fd, &message, size, MSG_WAITALL) != (ssize_t)size)
		return failed("no answer");
	errno = EPROTO;
	if (message.request != request || !(message.flags & REPLY) ||
	    message.size != sizeof(*number))
		return failed("answer");
	*number = message.payload.number;
	return true;
}

static bool number_get(int fd, enum request request, uint64_t *number)
{
	struct message message = {0};

	return message_send(fd, &message, request, 0, -1) && number_receive(fd, request, number);
}

static bool number_set(int fd, enum request request, uint64_t number, int passed)
{
	struct message message = {.payload.number = number};

	return message_send(fd, &message, request, sizeof(number), passed);
}

static bool state_set(int fd, enum request request, unsigned int ring, unsigned int number)
{
	struct message message = {.payload.state = {ring, number}};

	return message_send(fd, &message, request, sizeof(message.payload.state), -1);
}

// Success of a message that was sent with NEED_REPLY.
static bool status_receive(int fd, enum request request, const char *what)
{
	uint64_t status = 0;

	if (!number_receive(fd, request, &status))
		return false;
	errno = EIO;
	return status == 0 || failed(what);
}

static bool memory_set(int fd, bool acknowledged, int memory_fd, void *memory, size_t size)
{
	struct message message = {
		.flags = acknowledged ? NEED_REPLY : 0,
		.payload.memory = {.regions = 1,
				   .guest_address = (uintptr_t)memory,
				   .size = size,
				   .user_address = (uintptr_t)memory},
	};

	return message_send(fd, &message, SET_MEM_TABLE, sizeof(message.payload.memory),
			    memory_fd) &&
	       (!acknowledged || status_receive(fd, SET_MEM_TABLE, "memory is refused"));
}

// With an acknowledgement the device uses the ring when this returns.
static bool ring_enable(int fd, bool acknowledged, unsigned int index)
{
	struct message message = {.flags = acknowledged ? NEED_REPLY : 0,
				  .payload.state = {index, 1}};

	return message_send(fd, &message, SET_VRING_ENABLE, sizeof(message.payload.state), -1) &&
	       (!acknowledged || status_receive(fd, SET_VRING_ENABLE, "ring is refused"));
}

static bool ring_set(int fd, unsigned int index, const struct vhost_user_ring *ring)
{
	struct message address = {.payload.address = {
					  .index = index,
					  .desc_user_addr = (uintptr_t)ring->descriptors,
					  .used_user_addr = (uintptr_t)ring->used,
					  .avail_user_addr = (uintptr_t)ring->available,
				  }};

	return state_set(fd, SET_VRING_NUM, index, ring->size) &&
	       state_set(fd, SET_VRING_BASE, index, 0) &&
	       message_send(fd, &address, SET_VRING_ADDR, sizeof(address.payload.address), -1) &&
	       number_set(fd, SET_VRING_KICK, index, ring->kick);
}

bool vhost_user_start(int fd, uint64_t wanted, uint64_t *features, int memory_fd, void *memory,
		      size_t memory_size, const struct vhost_user_ring rings[2])
{
	struct message owner = {0};
	struct timeval patience = {.tv_sec = PATIENCE_SECONDS};
	uint64_t protocol = 0;
	bool negotiates;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (!message_send(fd, &owner, SET_OWNER, 0, -1) || !number_get(fd, GET_FEATURES, features))
		return false;
	negotiates = *features >> FEATURE_PROTOCOL_FEATURES & 1;
	*features &= wanted | 1ull << FEATURE_PROTOCOL_FEATURES;
	if (negotiates && !number_get(fd, GET_PROTOCOL_FEATURES, &protocol))
		return false;
	protocol &= 1ull << PROTOCOL_FEATURE_REPLY_ACK;
	if (negotiates && !number_set(fd, SET_PROTOCOL_FEATURES, protocol, -1))
		return false;
	if (!number_set(fd, SET_FEATURES, *features, -1) ||
	    !memory_set(fd, protocol != 0, memory_fd, memory, memory_size))
		return false;
	// The device learns how many rings there are before the first one is complete.
	for (unsigned int i = 0; i < 2; i++) {
		if (!number_set(fd, SET_VRING_CALL, i, rings[i].call))
			return false;
	}
	for (unsigned int i = 0; i < 2; i++) {
		if (!ring_set(fd, i, &rings[i]))
			return false;
	}
	for (unsigned int i = 0; negotiates && i < 2; i++) {
		if (!ring_enable(fd, protocol != 0, i))
			return false;
	}
	return true;
}
