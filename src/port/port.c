// Opening and closing of ports, and waking their workers.

#include "port/port.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "port/driver.h"

void port_init(struct port *port, const struct port_driver *driver, const char *name,
	       uint16_t queues)
{
	int i;

	port->driver = driver;
	snprintf(port->name, sizeof(port->name), "%s", name);
	port->queues = queues;
	atomic_store(&port->sender, port);
	port->send_queues = UINT32_MAX;
	for (i = 0; i < PORT_QUEUES_MAX; i++)
		port->wake_fds[i] = -1;
}

static int device_open(const char *name, const struct port_device *device,
		       const struct port_environment *environment, struct port_parts *parts,
		       struct port **port, struct error *err)
{
	if (memchr(device->name, 0, sizeof(device->name)) == NULL ||
	    memchr(device->netns, 0, sizeof(device->netns)) == NULL)
		return error_set(err, "device: name is too long");
	if (device->name[0] == 0)
		return error_set(err, "device: name is missing");
	if (device->queues < 1 || device->queues > PORT_QUEUES_MAX)
		return error_set(err, "%s: %u queues: must be 1 to %d", device->name,
				 device->queues, PORT_QUEUES_MAX);
	switch (device->kind) {
	case PORT_DEVICE_VHOST_USER:
		return vhost_user_port_open(name, device, environment, parts, port, err);
	case PORT_DEVICE_TAP:
		return tap_port_open(name, device, environment, parts, port, err);
	case PORT_DEVICE_NETDEV:
		return netdev_port_open(name, device, environment, parts, port, err);
	case PORT_DEVICE_PCI:
	case PORT_DEVICE_DEVARGS:
		return ethdev_port_open(name, device, environment, port, err);
	case PORT_DEVICE_FAILOVER:
		return failover_port_open(name, device, environment, parts, port, err);
	}
	return error_set(err, "device: unknown kind %d", (int)device->kind);
}

int port_take_over(const char *name, const struct port_device *device,
		   const struct port_environment *environment, struct port_parts *parts,
		   struct port **port, struct error *err)
{
	if (device_open(name, device, environment, parts, port, err) < 0) {
		*port = NULL;
		return error_prefix(err, "port %s", name);
	}
	if (!(*port)->mtu)
		(*port)->mtu = device->mtu;
	return 0;
}

int port_open(const char *name, const struct port_device *device,
	      const struct port_environment *environment, struct port **port, struct error *err)
{
	return port_take_over(name, device, environment, NULL, port, err);
}

bool kernel_has_uso(void)
{
	struct utsname kernel;
	int major, minor;

	return uname(&kernel) == 0 && sscanf(kernel.release, "%d.%d", &major, &minor) == 2 &&
	       (major > 6 || (major == 6 && minor >= 2));
}

bool port_device_same(const struct port_device *a, const struct port_device *b)
{
	struct port_device left = *a, right = *b;

	left.members = right.members = NULL;
	return memcmp(&left, &right, sizeof(left)) == 0 &&
	       (!a->member_count ||
		memcmp(a->members, b->members, a->member_count * sizeof(*a->members)) == 0);
}

struct port_errors port_errors(const struct port *port)
{
	struct port_errors errors = {
		.send = __atomic_load_n(&port->send_errors, __ATOMIC_RELAXED),
		.receive = __atomic_load_n(&port->receive_errors, __ATOMIC_RELAXED),
		.offload = __atomic_load_n(&port->offload_errors, __ATOMIC_RELAXED),
	};

	if (port->driver->errors_add)
		port->driver->errors_add(port, &errors);
	return errors;
}

void port_changed(const struct port_environment *environment)
{
	uint64_t one = 1;

	// A counter that is full is readable already.
	if (environment->changed_fd > 0 && write(environment->changed_fd, &one, sizeof(one)) < 0 &&
	    errno != EAGAIN)
		return;
}

void port_close(struct port *port)
{
	if (port)
		port->driver->close(port);
}

void port_wake(struct port *port)
{
	uint64_t one = 1;
	int i, fd;

	for (i = 0; i < PORT_QUEUES_MAX; i++) {
		fd = __atomic_load_n(&port->wake_fds[i], __ATOMIC_ACQUIRE);
		// An eventfd whose counter is full is readable already.
		if (fd >= 0 && write(fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
			return;
	}
}
