// From a Port's or Node's device to what a port driver opens.

#include <stdio.h>
#include <stdlib.h>

#include "control/control.h"

// Of devices that are taken from the kernel; the MTU of an interface of the kernel's is left as it
// is.
#define UPLINK_MTU 1500

static void set_name(struct port_device *device, enum port_device_kind kind, const char *name)
{
	device->kind = kind;
	snprintf(device->name, sizeof(device->name), "%s", name);
}

static void set_vhost_user(struct port_device *device, const Sluice__V1__VhostUser *from)
{
	set_name(device, PORT_DEVICE_VHOST_USER, from->path);
	device->server = from->mode == SLUICE__V1__VHOST_USER_MODE__VHOST_USER_MODE_SERVER;
	if (from->has_queues_case)
		device->queues = (uint16_t)from->queues;
	device->mode =
		*from->permissions ? (uint32_t)strtoul(from->permissions, NULL, 8) : PORT_MODE_NONE;
	snprintf(device->owner, sizeof(device->owner), "%s", from->owner);
	snprintf(device->group, sizeof(device->group), "%s", from->group);
}

// What they are called together, as far as there is room.
static void set_names(struct port_device *device)
{
	size_t used = 0;

	for (uint16_t i = 0; i < device->member_count && used < sizeof(device->name); i++)
		used += (size_t)snprintf(device->name + used, sizeof(device->name) - used, "%s%s",
					 i ? " " : "", device->members[i].name);
}

static void set_port_member(const Sluice__V1__PortDevice *from, struct port_device *device)
{
	switch (from->device_case) {
	case SLUICE__V1__PORT_DEVICE__DEVICE_NETDEV:
		set_name(device, PORT_DEVICE_NETDEV, from->netdev);
		break;
	case SLUICE__V1__PORT_DEVICE__DEVICE_PCI:
		set_name(device, PORT_DEVICE_PCI, from->pci);
		break;
	case SLUICE__V1__PORT_DEVICE__DEVICE_DEVARGS:
	default:
		set_name(device, PORT_DEVICE_DEVARGS, from->devargs);
		break;
	}
}

// What they have in common is there already.
static void set_port_members(const Sluice__V1__Device *from, struct port_device *members,
			     struct port_device *device)
{
	uint16_t count = (uint16_t)RTE_MIN(from->n_devices, (size_t)PORT_MEMBERS_MAX);

	for (uint16_t i = 0; i < count; i++) {
		members[i] = *device;
		set_port_member(from->devices[i], &members[i]);
	}
	device->kind = PORT_DEVICE_FAILOVER;
	device->members = members;
	device->member_count = count;
	set_names(device);
}

void device_of_port(const Sluice__V1__Port *object, uint16_t mtu, struct port_device *members,
		    struct port_device *device)
{
	const Sluice__V1__Device *from = object->device;

	memset(device, 0, sizeof(*device));
	device->queues = 1;
	device->mtu = mtu;
	mac_parse(object->mac, &device->mac);
	if (from->n_devices) {
		set_port_members(from, members, device);
		return;
	}
	switch (from->device_case) {
	case SLUICE__V1__DEVICE__DEVICE_VHOST_USER:
		set_vhost_user(device, from->vhost_user);
		break;
	case SLUICE__V1__DEVICE__DEVICE_TAP:
		set_name(device, PORT_DEVICE_TAP, from->tap->name);
		snprintf(device->netns, sizeof(device->netns), "%s", from->tap->netns);
		break;
	case SLUICE__V1__DEVICE__DEVICE_NETDEV:
		set_name(device, PORT_DEVICE_NETDEV, from->netdev->name);
		break;
	case SLUICE__V1__DEVICE__DEVICE_PCI:
		set_name(device, PORT_DEVICE_PCI, from->pci);
		break;
	case SLUICE__V1__DEVICE__DEVICE_VLAN: // has none of its own
		memset(device, 0, sizeof(*device));
		break;
	case SLUICE__V1__DEVICE__DEVICE_DEVARGS:
	default:
		set_name(device, PORT_DEVICE_DEVARGS, from->devargs);
		break;
	}
}

static void set_uplink(const Sluice__V1__Node *object, bool netdev, struct port_device *device)
{
	struct ip_prefix vtep;

	memset(device, 0, sizeof(*device));
	device->queues = 1;
	// 0: what the interface has.
	if (object->uplink->has_mtu_case)
		device->mtu = (uint16_t)object->uplink->mtu;
	else if (!netdev)
		device->mtu = UPLINK_MTU;
	device->uplink = true;
	if (prefix_parse(object->vtep, &vtep))
		device->vtep = vtep.address;
}

static void set_member(const Sluice__V1__Node *object, const Sluice__V1__UplinkDevice *from,
		       struct port_device *device)
{
	bool netdev = from->device_case == SLUICE__V1__UPLINK_DEVICE__DEVICE_NETDEV;

	set_uplink(object, netdev, device);
	switch (from->device_case) {
	case SLUICE__V1__UPLINK_DEVICE__DEVICE_NETDEV:
		set_name(device, PORT_DEVICE_NETDEV, from->netdev);
		break;
	case SLUICE__V1__UPLINK_DEVICE__DEVICE_PCI:
		set_name(device, PORT_DEVICE_PCI, from->pci);
		break;
	case SLUICE__V1__UPLINK_DEVICE__DEVICE_VHOST_USER:
		set_vhost_user(device, from->vhost_user);
		break;
	case SLUICE__V1__UPLINK_DEVICE__DEVICE_DEVARGS:
	default:
		set_name(device, PORT_DEVICE_DEVARGS, from->devargs);
		break;
	}
}

void device_of_uplink(const Sluice__V1__Node *object, struct port_device *members,
		      struct port_device *device)
{
	const Sluice__V1__Uplink *from = object->uplink;

	if (from->n_devices == 1) {
		set_member(object, from->devices[0], device);
		return;
	}
	set_uplink(object, from->device_case == SLUICE__V1__UPLINK__DEVICE_NETDEV, device);
	if (from->n_devices) {
		device->kind = PORT_DEVICE_FAILOVER;
		device->mtu = from->has_mtu_case ? (uint16_t)from->mtu : 0;
		device->members = members;
		device->member_count = (uint16_t)RTE_MIN(from->n_devices, (size_t)PORT_MEMBERS_MAX);
		for (uint16_t i = 0; i < device->member_count; i++)
			set_member(object, from->devices[i], &members[i]);
		set_names(device);
		return;
	}
	switch (from->device_case) {
	case SLUICE__V1__UPLINK__DEVICE_NETDEV:
		set_name(device, PORT_DEVICE_NETDEV, from->netdev);
		break;
	case SLUICE__V1__UPLINK__DEVICE_PCI:
		set_name(device, PORT_DEVICE_PCI, from->pci);
		break;
	case SLUICE__V1__UPLINK__DEVICE_VHOST_USER:
		set_vhost_user(device, from->vhost_user);
		break;
	case SLUICE__V1__UPLINK__DEVICE_DEVARGS:
	default:
		set_name(device, PORT_DEVICE_DEVARGS, from->devargs);
		break;
	}
}

void device_of_host(const Sluice__V1__Node *object, const struct mac_address *mac,
		    struct port_device *device)
{
	memset(device, 0, sizeof(*device));
	device->queues = 1;
	device->mtu = object->uplink->has_mtu_case ? (uint16_t)object->uplink->mtu : UPLINK_MTU;
	device->mac = *mac;
	set_name(device, PORT_DEVICE_TAP, object->uplink->host_interface);
}
