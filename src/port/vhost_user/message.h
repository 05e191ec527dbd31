// The messages of the vhost-user protocol, as they are on the wire (QEMU, docs/interop/
// vhost-user.rst): in the byte order of the machine, descriptors of files beside them.

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "port/vhost_user/memory.h"

enum vhost_request {
	VHOST_GET_FEATURES = 1,
	VHOST_SET_FEATURES,
	VHOST_SET_OWNER,
	VHOST_RESET_OWNER,
	VHOST_SET_MEM_TABLE,
	VHOST_SET_LOG_BASE,
	VHOST_SET_LOG_FD,
	VHOST_SET_VRING_NUM,
	VHOST_SET_VRING_ADDR,
	VHOST_SET_VRING_BASE,
	VHOST_GET_VRING_BASE,
	VHOST_SET_VRING_KICK,
	VHOST_SET_VRING_CALL,
	VHOST_SET_VRING_ERR,
	VHOST_GET_PROTOCOL_FEATURES,
	VHOST_SET_PROTOCOL_FEATURES,
	VHOST_GET_QUEUE_NUM,
	VHOST_SET_VRING_ENABLE,
	VHOST_SEND_RARP,
	VHOST_NET_SET_MTU,
	VHOST_RESET_DEVICE = 34,
	VHOST_GET_MAX_MEM_SLOTS = 36,
	VHOST_ADD_MEM_REG,
	VHOST_REM_MEM_REG,
	VHOST_SET_STATUS,
	VHOST_GET_STATUS,
	VHOST_REQUESTS,
};

#define VHOST_FLAG_VERSION	1
#define VHOST_FLAG_VERSION_MASK 3
#define VHOST_FLAG_REPLY	4
#define VHOST_FLAG_NEED_REPLY	8

// Of SET_VRING_KICK, _CALL and _ERR: the ring, and that there is no descriptor.
#define VHOST_VRING_MASK  0xff
#define VHOST_VRING_NO_FD 0x100

struct vhost_message_region {
	uint64_t guest;
	uint64_t size;
	uint64_t user;
	uint64_t offset; // in the file
};

struct vhost_message_header {
	uint32_t request;
	uint32_t flags;
	uint32_t size; // of the payload in bytes
};

union vhost_payload {
	uint64_t number;
	struct {
		uint32_t index;
		uint32_t number;
	} ring;
	struct {
		uint32_t index;
		uint32_t flags;
		uint64_t descriptors; // these are the front-end's own addresses
		uint64_t used;
		uint64_t available;
		uint64_t log; // guest address
	} address;
	struct {
		uint32_t count;
		uint32_t padding;
		struct vhost_message_region regions[VHOST_REGIONS_MAX];
	} memory;
	struct {
		uint64_t padding;
		struct vhost_message_region region;
	} slot;
	struct {
		uint64_t size;
		uint64_t offset; // in the file
	} log;
};

// One message, and how much of it has come. All zero before the first byte.
struct vhost_message {
	struct vhost_message_header header;
	union vhost_payload payload;
	uint32_t filled; // bytes of header and payload
	uint32_t fd_count;
	int fds[VHOST_REGIONS_MAX];
};

enum vhost_reading {
	VHOST_READ_MESSAGE, // one is whole
	VHOST_READ_PART,    // the rest is still to come
	VHOST_READ_END,	    // the other end has closed
	VHOST_READ_WRONG,   // there is no telling where the next message begins
};

// Takes what there is of one message from a socket, without waiting, and nothing of the next one.
// `err` says what was wrong.
enum vhost_reading vhost_message_read(int socket, struct vhost_message *message, struct error *err);

// Has it the size and the number of descriptors that the request wants? Also where the request is
// none that is known.
int vhost_message_check(const struct vhost_message *message, struct error *err);

// Takes a descriptor out of it, or -1 where there is none (any more).
int vhost_message_fd(struct vhost_message *message);

// Closes what descriptors are left in it, and makes room for the next one.
void vhost_message_clear(struct vhost_message *message);

// Of a request, for people; "unknown" if it is not known.
const char *vhost_request_name(uint32_t request);
