// What the kernel of this machine can do, and its clock.

#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "cli/doctor/doctor.h"

static void release_check(struct doctor *doctor)
{
	union bpf_attr attributes;
	struct utsname name;
	int major = 0, minor = 0;
	long fd;

	memset(&attributes, 0, sizeof(attributes));
	attributes.map_type = BPF_MAP_TYPE_ARRAY;
	attributes.key_size = 4;
	attributes.value_size = 4;
	attributes.max_entries = 1;
	fd = syscall(SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof(attributes));
	if (fd < 0 && errno == ENOSYS)
		finding_add(
			doctor, "kernel: BPF", FINDING_WARNING,
			"use a kernel with CONFIG_BPF_SYSCALL",
			"none: connections between kernel interfaces do not go on in the kernel, "
			"and there is no AF_XDP");
	else
		finding_add(doctor, "kernel: BPF", FINDING_OK, "", "there");
	if (fd >= 0)
		close((int)fd);
	if (uname(&name) < 0 || sscanf(name.release, "%d.%d", &major, &minor) != 2)
		return;
	if (major > 6 || (major == 6 && minor >= 6))
		finding_add(doctor, "kernel: tcx", FINDING_OK, "", "Linux %s has it", name.release);
	else
		finding_add(doctor, "kernel: tcx", FINDING_WARNING,
			    "use Linux 6.6 or later, if bulk traffic between containers matters",
			    "Linux %s has none: connections between kernel interfaces do not go on "
			    "in the kernel",
			    name.release);
}

static void sockets_check(struct doctor *doctor)
{
	int fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (fd < 0 && errno == EAFNOSUPPORT)
		finding_add(
			doctor, "kernel: AF_XDP", FINDING_WARNING,
			"use a kernel with CONFIG_XDP_SOCKETS, if an uplink by netdev has to be "
			"fast",
			"none: uplinks by netdev use AF_PACKET, which is slower");
	else
		finding_add(doctor, "kernel: AF_XDP", FINDING_OK, "", "there");
	if (fd >= 0)
		close(fd);
}

static bool uplink_has_pci(const struct doctor *doctor)
{
	const Sluice__V1__Uplink *uplink = doctor->node ? doctor->node->uplink : NULL;

	for (size_t i = 0; uplink && i < uplink->n_devices; i++)
		if (uplink->devices[i]->device_case == SLUICE__V1__UPLINK_DEVICE__DEVICE_PCI)
			return true;
	return uplink && uplink->device_case == SLUICE__V1__UPLINK__DEVICE_PCI;
}

// Does this node have a device of this form?
static bool device_used(const struct doctor *doctor, Sluice__V1__Device__DeviceCase wanted)
{
	const Sluice__V1__GetResponse *ports = doctor->ports;

	if (wanted == SLUICE__V1__DEVICE__DEVICE_PCI && uplink_has_pci(doctor))
		return true;
	for (size_t i = 0; doctor->version && ports && i < ports->n_objects; i++) {
		const Sluice__V1__Port *port = ports->objects[i]->port;

		if (ports->objects[i]->kind_case == SLUICE__V1__OBJECT__KIND_PORT && port->device &&
		    strcmp(port->node, doctor->version->node) == 0 &&
		    port->device->device_case == wanted)
			return true;
	}
	return false;
}

static void devices_check(struct doctor *doctor)
{
	const bool vfio = access("/dev/vfio/vfio", F_OK) == 0;
	const bool uio = access("/sys/module/uio", F_OK) == 0;
	const bool tun = access("/dev/net/tun", F_OK) == 0;
	const bool vhost = access("/dev/vhost-net", F_OK) == 0;

	if (vfio)
		finding_add(doctor, "kernel: vfio", FINDING_OK, "", "/dev/vfio/vfio is there");
	else if (uio)
		finding_add(doctor, "kernel: vfio", FINDING_OK, "",
			    "none; UIO is there instead, which keeps no device from the memory of "
			    "others");
	else if (device_used(doctor, SLUICE__V1__DEVICE__DEVICE_PCI))
		finding_add(doctor, "kernel: vfio", FINDING_PROBLEM,
			    "modprobe vfio-pci, switch the IOMMU on, and bind the device to it "
			    "(driverctl set-override ADDRESS vfio-pci)",
			    "none, and this node has a device by its PCI address");
	else
		finding_add(doctor, "kernel: vfio", FINDING_OK, "",
			    "none; only devices by PCI address need it");
	if (tun)
		finding_add(doctor, "kernel: tun", FINDING_OK, "", "/dev/net/tun is there");
	else if (device_used(doctor, SLUICE__V1__DEVICE__DEVICE_TAP))
		finding_add(doctor, "kernel: tun", FINDING_PROBLEM, "modprobe tun",
			    "none, and this node has ports with a tap");
	else
		finding_add(doctor, "kernel: tun", FINDING_OK, "", "none; only taps need it");
	finding_add(doctor, "kernel: vhost", FINDING_OK, "",
		    vhost ? "/dev/vhost-net is there; vhost-user ports do not need it"
			  : "no /dev/vhost-net; vhost-user ports do not need it");
}

void doctor_kernel(struct doctor *doctor)
{
	// Of another machine's kernel nothing is known here.
	if (strncmp(doctor->invocation->api, "unix:", 5) != 0)
		return;
	release_check(doctor);
	sockets_check(doctor);
	devices_check(doctor);
}

void doctor_clock(struct doctor *doctor)
{
	struct timex clock = {.modes = 0};
	int state = adjtimex(&clock);

	if (state == TIME_ERROR || (state >= 0 && clock.status & STA_UNSYNC))
		finding_add(doctor, "clock", FINDING_WARNING,
			    "run a time service (chrony, systemd-timesyncd): certificates and the "
			    "times in logs and history depend on it",
			    "is not synchronised");
	else if (state >= 0)
		finding_add(doctor, "clock", FINDING_OK, "", "synchronised, within %ld ms",
			    clock.maxerror / 1000);
}
