// A port of several devices in the hands of another process: of each device by which it is known,
// what it is used for, and its parts. A device that only one process can have is closed, and the
// other one opens it when it looks.

#include <string.h>

#include "port/failover/private.h"
#include "port/parts.h"

struct member_part {
	char name[256]; // of the device
	uint32_t bits;
	uint16_t has_parts;
	struct mac_address mac; // of the whole port
};

static bool member_give(const struct failover_port *port, struct failover_member *member,
			struct port_parts *parts)
{
	struct port *device = atomic_load(&member->port);
	bool given = device && device->driver->hand_over;
	struct member_part data = {
		.bits = atomic_load(&member->bits),
		.has_parts = given,
		.mac = port->port.mac,
	};

	memcpy(data.name, member->device.name, sizeof(data.name));
	return port_parts_add(parts, PORT_PART_MEMBER, &data, sizeof(data), NULL, 0) &&
	       (!given || device->driver->hand_over(device, parts));
}

bool failover_hand_over(struct port *base, struct port_parts *parts)
{
	struct failover_port *port = (struct failover_port *)base;

	for (uint16_t i = 0; i < port->count; i++) {
		const struct port *device = atomic_load(&port->members[i].port);

		if (atomic_load(&port->members[i].place) == MEMBER_UNWANTED)
			continue;
		if (device && !device->driver->hand_over)
			failover_member_close(port, &port->members[i], "another process opens it");
		if (!member_give(port, &port->members[i], parts))
			return false;
	}
	return true;
}

void failover_hand_over_undo(struct port *base)
{
	struct failover_port *port = (struct failover_port *)base;

	for (uint16_t i = 0; i < port->count; i++) {
		struct port *device = atomic_load(&port->members[i].port);

		if (device && device->driver->hand_over_undo)
			device->driver->hand_over_undo(device);
	}
}

bool failover_settle(struct port *base)
{
	struct failover_port *port = (struct failover_port *)base;

	for (uint16_t i = 0; i < port->count; i++) {
		struct port *device = atomic_load(&port->members[i].port);

		if (device && device->driver->settle && port->members[i].given)
			device->driver->settle(device);
		port->members[i].given = false;
	}
	// Connections through it are not left to the kernel.
	return false;
}

static struct failover_member *member_named(struct failover_port *port, const char *name)
{
	for (uint16_t i = 0; i < port->count; i++)
		if (strcmp(port->members[i].device.name, name) == 0)
			return &port->members[i];
	return NULL;
}

int failover_take_over(struct failover_port *port, struct port_parts *parts, struct error *err)
{
	struct port_part *part;

	while ((part = port_parts_take(parts, PORT_PART_MEMBER)) != NULL) {
		struct failover_member *member;
		struct member_part data;
		struct port *device;

		if (part->size < sizeof(data))
			return error_set(err, "a device of %u bytes", part->size);
		memcpy(&data, part->data, sizeof(data));
		data.name[sizeof(data.name) - 1] = 0;
		member = member_named(port, data.name);
		if (!member)
			return error_set(err, "a device that nobody wants: %s", data.name);
		port->port.mac = data.mac;
		atomic_store(&member->bits, data.bits & (MEMBER_LINK | MEMBER_DRAINED));
		if (!data.has_parts)
			continue;
		member->device.mac = data.mac;
		if (port_take_over(port->port.name, &member->device, port->environment, parts,
				   &device, err) < 0)
			return -1;
		member->given = true;
		failover_member_opened(port, member, device);
	}
	return 0;
}
