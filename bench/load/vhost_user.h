// The driver's side of the vhost-user protocol: how a virtual machine monitor introduces two rings
// of a virtio network device, in memory that both share, to the device. Source: QEMU's
// docs/interop/vhost-user.

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// One ring, by addresses in this process.
struct vhost_user_ring {
	uint16_t size;
	void *descriptors;
	void *available;
	void *used;
	// Events: to the device that something is available, and from it.
	int kick;
	int call;
};

// A socket to the device, or -1 (reported). With `server` it waits for the device to connect.
int vhost_user_connect(const char *path, bool server);
// Of `wanted` the features that the device has go to `*features`. The rings' indices are those of
// the protocol: 0 receives, 1 sends. False: reported.
bool vhost_user_start(int fd, uint64_t wanted, uint64_t *features, int memory_fd, void *memory,
		      size_t memory_size, const struct vhost_user_ring rings[2]);
