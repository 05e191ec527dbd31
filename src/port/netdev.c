// Chooses how an existing kernel interface is taken: by AF_XDP where that carries everything, else
// by AF_PACKET.

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "port/driver.h"
#include "port/interface.h"
#include "port/parts.h"

static int method_open(const char *name, const struct port_device *device,
		       const struct interface *interface,
		       const struct port_environment *environment, struct port_parts *parts,
		       struct port **port, struct error *err)
{
	struct error why;

	// Of another process there are packet sockets only.
	if (parts && parts->count)
		return packet_port_open(name, device, interface, environment, parts, port, err);
	if (device->method == PORT_NETDEV_AF_PACKET)
		return packet_port_open(name, device, interface, environment, NULL, port, err);
	if (device->method == PORT_NETDEV_AF_XDP)
		return xdp_port_open(name, device, interface, environment, port, err);
	// What a veth's peer or a virtual machine behind a tap sends comes with unfinished
	// checksums, of tunnels too (the kernel's own VXLAN), and AF_XDP does not say so.
	if (strcmp(interface->driver, "veth") == 0)
		error_set(&why, "a veth hands over unfinished checksums");
	else if (strcmp(interface->driver, "tun") == 0)
		error_set(&why, "a tap hands over unfinished checksums");
	else if (xdp_port_open(name, device, interface, environment, port, &why) == 0)
		return 0;
	log_info("port uses AF_PACKET", log_text("port", name), log_text("device", interface->name),
		 log_text("reason", why.text));
	return packet_port_open(name, device, interface, environment, NULL, port, err);
}

int netdev_port_open(const char *name, const struct port_device *device,
		     const struct port_environment *environment, struct port_parts *parts,
		     struct port **port, struct error *err)
{
	struct interface interface;

	if (interface_get(device->name, &interface, err) < 0)
		return -1;
	if (!interface.up) {
		if (interface_set_up(&interface, err) < 0)
			return -1;
		log_info("interface was down, set up", log_text("port", name),
			 log_text("device", interface.name));
	}
	if (method_open(name, device, &interface, environment, parts, port, err) < 0)
		return -1;
	(*port)->interface_index = interface.index;
	(*port)->mtu = interface.mtu < UINT16_MAX ? (uint16_t)interface.mtu : UINT16_MAX;
	if (device->mtu && device->mtu < (*port)->mtu)
		(*port)->mtu = device->mtu;
	return 0;
}
