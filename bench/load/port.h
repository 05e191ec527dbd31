// A port of the load, seen from its end: bursts of frames in buffers that the port owns. Two kinds:
// the driver's side of a vhost-user device, spoken by the load itself, and any port of DPDK's.

#pragma once

#include <stdbool.h>
#include <stdint.h>

// Frames at a time.
#define PORT_BURST 64
// Longest frame that fits a buffer.
#define PORT_FRAME_MAX 1792

struct port {
	const struct port_operations *operations;
	// Handed over, and not yet taken by the ring.
	unsigned int pending;
};

struct port_operations {
	// Buffers that may be written now, at most `wanted` (up to PORT_BURST); then send() comes,
	// for the first `count` of them. A buffer keeps what was written before, also its mark
	// (port_frame_mark).
	unsigned int (*take)(struct port *port, uint8_t **frames, unsigned int wanted);
	void (*send)(struct port *port, const uint16_t *lengths, unsigned int count);
	// What has come, at most PORT_BURST; valid until release(). With `look` the first bytes are
	// on their way into the cache.
	unsigned int (*receive)(struct port *port, uint8_t **frames, uint16_t *lengths, bool look);
	void (*release)(struct port *port);
	// Is the device still there?
	bool (*is_alive)(struct port *port);
	void (*close)(struct port *port);
};

// A word in front of each frame's buffer (and of the virtio header between them) for the sender:
// which headers are in it. 0 in the beginning.
#define PORT_MARK_OFFSET 16

static inline uint32_t *port_frame_mark(uint8_t *frame)
{
	return (uint32_t *)(void *)(frame - PORT_MARK_OFFSET);
}

// A vhost-user device.
struct vhost_user_device {
	char path[108];
	// The load makes the socket and waits for the device to connect.
	bool server;
	// A power of two.
	uint16_t queue_size;
};

#define VHOST_USER_QUEUE_SIZE_MIN     PORT_BURST
#define VHOST_USER_QUEUE_SIZE_MAX     4096
#define VHOST_USER_QUEUE_SIZE_DEFAULT 1024

// Both report why they fail, and return NULL.
struct port *vhost_user_port_open(const struct vhost_user_device *device);
struct port *ethdev_port_open(uint16_t id);
