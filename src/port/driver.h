// What port.c and the drivers share: the drivers' open functions, and small helpers.

#pragma once

#include <rte_mbuf.h>

#include "port/port.h"

// Each fills `*port` with a port of its own, or returns -1 and leaves nothing behind. `parts` are
// of another process (port_take_over) or NULL.
int vhost_user_port_open(const char *name, const struct port_device *device,
			 const struct port_environment *environment, struct port_parts *parts,
			 struct port **port, struct error *err);
int tap_port_open(const char *name, const struct port_device *device,
		  const struct port_environment *environment, struct port_parts *parts,
		  struct port **port, struct error *err);
int netdev_port_open(const char *name, const struct port_device *device,
		     const struct port_environment *environment, struct port_parts *parts,
		     struct port **port, struct error *err);
int ethdev_port_open(const char *name, const struct port_device *device,
		     const struct port_environment *environment, struct port **port,
		     struct error *err);
int failover_port_open(const char *name, const struct port_device *device,
		       const struct port_environment *environment, struct port_parts *parts,
		       struct port **port, struct error *err);

// The two ways to a netdev; the interface exists and is up.
struct interface;
int packet_port_open(const char *name, const struct port_device *device,
		     const struct interface *interface, const struct port_environment *environment,
		     struct port_parts *parts, struct port **port, struct error *err);
int xdp_port_open(const char *name, const struct port_device *device,
		  const struct interface *interface, const struct port_environment *environment,
		  struct port **port, struct error *err);

// What every port starts with.
void port_init(struct port *port, const struct port_driver *driver, const char *name,
	       uint16_t queues);

// May the kernel be given, and does it give, UDP segmentation (USO)? Since Linux 6.2.
bool kernel_has_uso(void);

// Bytes of a frame around its IP packet: Ethernet and one VLAN tag.
#define PORT_FRAME_OVERHEAD 18

static inline void port_count_send_error(struct port *port, uint64_t count)
{
	__atomic_fetch_add(&port->send_errors, count, __ATOMIC_RELAXED);
}

static inline void port_count_receive_error(struct port *port, uint64_t count)
{
	__atomic_fetch_add(&port->receive_errors, count, __ATOMIC_RELAXED);
}

static inline void port_count_offload_error(struct port *port, uint64_t count)
{
	__atomic_fetch_add(&port->offload_errors, count, __ATOMIC_RELAXED);
}

static inline void port_set_gone(struct port *port)
{
	__atomic_store_n(&port->gone, true, __ATOMIC_RELAXED);
}

static inline bool port_is_gone(const struct port *port)
{
	return __atomic_load_n(&port->gone, __ATOMIC_RELAXED);
}
