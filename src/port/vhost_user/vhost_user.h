// A vhost-user port's state, and what its parts offer each other.
//
// Threads: the library's own thread for events and the control thread (which connects to sockets
// of workloads) call back on connections (connection.c); the control thread opens and closes;
// workers only load `active` and what hangs on it. Callbacks for one path never run at the same
// time, and rte_vhost_driver_unregister waits for them.

#pragma once

#include <sys/queue.h>

#include <rte_vhost.h>

#include "port/driver.h"
#include "port/vhost_user/allowance.h"

// Connections to one socket at a time. More than one comes up when the other end starts anew before
// its old connection is seen to be closed; the newest one that is ready carries the traffic.
#define GUESTS_MAX 4
#define RING_NONE  UINT16_MAX
// Of a guest's memory: what the library takes.
#define REGIONS_MAX 8

// The other end of one connection.
struct guest {
	int vid; // -1: free
	bool running;
	uint64_t serial;   // order in which they became ready
	uint32_t offloads; // PORT_OFFLOAD_ bits
	// Of each queue pair, is the guest's tx (rx) ring enabled? Read by workers.
	bool tx_enabled[PORT_QUEUES_MAX];
	bool rx_enabled[PORT_QUEUES_MAX];
	// Virtqueue that a worker's queue sends to, or RING_NONE: a guest that uses fewer queues
	// than the port has gets everything on those that it uses.
	uint16_t send_ring[PORT_QUEUES_MAX];
	// Our duplicates of the tx rings' kick descriptors: the library closes its own at any time.
	int kick_fds[PORT_QUEUES_MAX];
	// Where its memory is mapped, as long as it runs.
	uint32_t region_count;
	struct {
		const void *start;
		size_t size;
	} regions[REGIONS_MAX];
};

struct vhost_queue {
	// Collects the kicks, edge-triggered: the eventfds in it are never read, so they can go at
	// any time.
	int epoll_fd;
	// Packets that arm found on the ring.
	uint16_t stashed;
	struct rte_mbuf *stash;
	// Whose notifications are on, since arm; -1: nobody's.
	int armed_vid;
	struct allowance allowance;
};

struct vhost_port {
	struct port port;
	char path[108];
	bool server;
	bool registered; // at the library; control thread
	uint64_t serials;
	struct guest *active;
	struct guest guests[GUESTS_MAX];
	struct vhost_queue queues[PORT_QUEUES_MAX];
	const struct port_environment *environment;
	LIST_ENTRY(vhost_port) entry;
};

// connection.c

extern const struct rte_vhost_device_ops vhost_connections;

// Makes the port known to the callbacks, and unknown again.
void vhost_connections_begin(struct vhost_port *port);
void vhost_connections_end(struct vhost_port *port);

// Is there a port with this socket?
bool vhost_connections_known(const char *path);

// Is somebody connected, ready or not?
bool vhost_connections_any(const struct vhost_port *port);

// Has a guest's memory gone?
bool vhost_connections_broken(const struct vhost_port *port);

void vhost_kicks_close(struct vhost_port *port);

// socket.c

// Makes sure that a server can have the path: removes a socket that nobody listens on, and says
// what is wrong where the library would not.
int vhost_socket_prepare(const char *path, struct error *err);

// Lets the library make a server's socket, and gives it the permissions and the user and group that
// the device has. Nobody can connect before all of them hold.
int vhost_socket_start(const char *path, const struct port_device *device, struct error *err);
