// DPDK's devices: brought in, and let go. Control thread.

#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct port_device;

#define DPDK_DEVICE_NAME_SIZE 256

struct dpdk_device {
	char name[DPDK_DEVICE_NAME_SIZE]; // as its bus calls it
	uint16_t id;			  // of its Ethernet port
	struct rte_device *device;
	uint64_t pci_identity; // 0: it is no PCI device
	bool started;
};

// Brings the device into DPDK and finds its port.
int dpdk_device_open(const struct port_device *device, struct dpdk_device *opened,
		     struct error *err);

// Is it no more where it was? Only VFIO asks for a device before it goes.
bool dpdk_device_is_torn_out(const struct dpdk_device *device);

// The driver may wait for what has been torn out, for a minute in all: nobody waits for that. Until
// then no other one can be opened in its place.
void dpdk_device_close(const struct dpdk_device *device);

// None is still being closed: DPDK's own memory may be freed.
bool dpdk_devices_are_closed(void);
