// vhost-user: the workload's virtio-net rings, shared memory over a Unix socket, by DPDK's vhost
// library.
//
// vhost_user/connection.c   who is at the other end
// vhost_user/socket.c       the path of a socket that is made here
// vhost_user/bus_error.c    a guest that takes its memory away
// vhost_user/allowance.c    how many packet buffers a guest may take at a time

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <rte_log.h>
#include <rte_mbuf.h>

#include "base/log.h"
#include "port/landing.h"
#include "port/offload.h"
#include "port/vhost_user/bus_error.h"
#include "port/vhost_user/vhost_user.h"

static inline int receive_vid(struct vhost_port *port, uint16_t queue)
{
	const struct guest *guest = __atomic_load_n(&port->active, __ATOMIC_ACQUIRE);

	if (!guest || !__atomic_load_n(&guest->tx_enabled[queue], __ATOMIC_ACQUIRE))
		return -1;
	return guest->vid;
}

// Takes packets off the ring. A guest's memory is copied once; what it said of a packet is held
// against the copy.
static uint16_t ring_take(struct vhost_port *port, uint16_t queue, int vid,
			  struct rte_mbuf **packets, uint16_t count)
{
	struct allowance *allowance = &port->queues[queue].allowance;
	uint16_t received, taken = 0, i;

	allowance_set(allowance, (uint32_t)count * LANDING_FRAME);
	received = rte_vhost_dequeue_burst(vid, queue * 2 + 1, allowance->pool, packets, count);
	if (unlikely(allowance->lost))
		port_count_receive_error(&port->port, 1);
	for (i = 0; i < received; i++) {
		packets[taken] = packets[i];
		if (unlikely(packets[i]->ol_flags) &&
		    offload_from_vhost(packets[i]) != OFFLOAD_READY) {
			rte_pktmbuf_free(packets[i]);
			port_count_offload_error(&port->port, 1);
			continue;
		}
		taken++;
	}
	return taken;
}

static uint16_t vhost_receive(struct port *base, uint16_t queue, struct rte_mbuf **packets,
			      uint16_t count)
{
	struct vhost_port *port = (struct vhost_port *)base;
	struct vhost_queue *state = &port->queues[queue];
	uint16_t taken = 0;
	int vid;

	if (unlikely(state->stashed && count)) {
		packets[taken++] = state->stash;
		state->stashed = 0;
	}
	vid = receive_vid(port, queue);
	if (vid < 0 || taken == count)
		return taken;
	return taken + ring_take(port, queue, vid, packets + taken, count - taken);
}

static uint16_t vhost_send(struct port *base, uint16_t queue, struct rte_mbuf **packets,
			   uint16_t count)
{
	struct vhost_port *port = (struct vhost_port *)base;
	const struct guest *guest = __atomic_load_n(&port->active, __ATOMIC_ACQUIRE);
	uint16_t ring, sent;

	if (!guest)
		return 0;
	ring = __atomic_load_n(&guest->send_ring[queue], __ATOMIC_RELAXED);
	if (ring == RING_NONE)
		return 0;
	sent = rte_vhost_enqueue_burst(guest->vid, ring, packets, count);
	rte_pktmbuf_free_bulk(packets, sent);
	return sent;
}

static void vhost_disarm(struct port *base, uint16_t queue)
{
	struct vhost_port *port = (struct vhost_port *)base;
	struct vhost_queue *state = &port->queues[queue];
	struct epoll_event events[GUESTS_MAX];
	int vid = receive_vid(port, queue);

	if (state->armed_vid < 0)
		return;
	if (vid == state->armed_vid)
		rte_vhost_enable_guest_notification(vid, queue * 2 + 1, 0);
	state->armed_vid = -1;
	epoll_wait(state->epoll_fd, events, GUESTS_MAX, 0);
}

// Looks by taking a packet: that holds for split and packed rings, and under the ring's lock.
static bool ring_has_packet(struct vhost_port *port, uint16_t queue, int vid)
{
	struct vhost_queue *state = &port->queues[queue];

	if (!state->stashed)
		state->stashed = ring_take(port, queue, vid, &state->stash, 1);
	return state->stashed;
}

static bool vhost_arm(struct port *base, uint16_t queue, int *fd)
{
	struct vhost_port *port = (struct vhost_port *)base;
	struct vhost_queue *state = &port->queues[queue];
	int vid, attempt;

	*fd = -1;
	if (state->stashed)
		return false;
	vid = receive_vid(port, queue);
	if (vid < 0)
		return true;
	// Twice, because dequeue gives up at once where a vhost message is being handled; enabling
	// waits for that.
	for (attempt = 0; attempt < 2; attempt++) {
		state->armed_vid = vid;
		rte_vhost_enable_guest_notification(vid, queue * 2 + 1, 1);
		// The guest must see the flag before we look at the ring for the last time.
		rte_atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (ring_has_packet(port, queue, vid)) {
			vhost_disarm(base, queue);
			return false;
		}
	}
	*fd = state->epoll_fd;
	return true;
}

static bool vhost_up(const struct port *base)
{
	const struct vhost_port *port = (const struct vhost_port *)base;

	return __atomic_load_n(&port->active, __ATOMIC_ACQUIRE) != NULL;
}

static void vhost_free(struct vhost_port *port)
{
	vhost_kicks_close(port);
	for (int queue = 0; queue < PORT_QUEUES_MAX; queue++) {
		if (port->queues[queue].stashed)
			rte_pktmbuf_free(port->queues[queue].stash);
		if (port->queues[queue].epoll_fd >= 0)
			close(port->queues[queue].epoll_fd);
		allowance_close(&port->queues[queue].allowance);
	}
	free(port);
}

static void vhost_unregister(struct vhost_port *port)
{
	// Calls device_end for a guest that is running, and removes a server's socket.
	if (port->registered)
		rte_vhost_driver_unregister(port->path);
	port->registered = false;
}

static int vhost_register(struct vhost_port *port, struct error *err)
{
	uint64_t flags = RTE_VHOST_USER_NET_COMPLIANT_OL_FLAGS;

	if (!port->server)
		flags |= RTE_VHOST_USER_CLIENT | RTE_VHOST_USER_NO_RECONNECT;
	if (rte_vhost_driver_register(port->path, flags) < 0)
		return error_set(err, "%s: vhost-user socket cannot be registered", port->path);
	port->registered = true;
	if (rte_vhost_driver_callback_register(port->path, &vhost_connections) == 0)
		return 0;
	vhost_unregister(port);
	return error_set(err, "%s: vhost-user cannot be set up", port->path);
}

// Looks for a workload that makes the socket. Not left to the library: its thread for that goes on
// with a port that is unregistered in the moment when its connection ends (DPDK 22.11).
static void client_connect(struct vhost_port *port)
{
	struct error err;

	if (access(port->path, F_OK) < 0 || vhost_register(port, &err) < 0)
		return;
	if (rte_vhost_driver_start(port->path) < 0)
		vhost_unregister(port);
}

static void vhost_check(struct port *base)
{
	struct vhost_port *port = (struct vhost_port *)base;

	if (vhost_connections_broken(port)) {
		log_warning("the workload has taken its memory away", log_text("port", base->name),
			    log_text("device", port->path));
		port_set_gone(base);
		return;
	}
	if (port->server || vhost_connections_any(port))
		return;
	vhost_unregister(port);
	client_connect(port);
}

static void vhost_stop(struct vhost_port *port)
{
	vhost_unregister(port);
	vhost_connections_end(port);
}

static void vhost_close(struct port *base)
{
	struct vhost_port *port = (struct vhost_port *)base;

	vhost_stop(port);
	vhost_free(port);
}

static const struct port_driver vhost_driver = {
	.name = "vhost-user",
	.receive = vhost_receive,
	.send = vhost_send,
	.arm = vhost_arm,
	.disarm = vhost_disarm,
	.up = vhost_up,
	.check = vhost_check,
	.close = vhost_close,
};

static int vhost_start(struct vhost_port *port, const struct port_device *device, struct error *err)
{
	// Callbacks may come from now on.
	vhost_connections_begin(port);
	if (!port->server) {
		client_connect(port);
		return 0;
	}
	if (vhost_register(port, err) == 0 && vhost_socket_start(port->path, device, err) == 0)
		return 0;
	vhost_stop(port);
	return -1;
}

int vhost_user_port_open(const char *name, const struct port_device *device,
			 const struct port_environment *environment, struct port **result,
			 struct error *err)
{
	struct vhost_port *port;
	int i;

	if (strlen(device->name) >= sizeof(port->path))
		return error_set(err, "%s: path of a Unix socket is longer than %zu bytes",
				 device->name, sizeof(port->path) - 1);
	if (vhost_connections_known(device->name))
		return error_set(err, "%s: another port has this socket", device->name);
	if (device->server && vhost_socket_prepare(device->name, err) < 0)
		return -1;
	bus_error_guard();
	// The library tells of every message; what matters is logged here.
	rte_log_set_level_pattern("lib.vhost.*", RTE_LOG_CRIT);

	port = calloc(1, sizeof(*port));
	if (!port)
		return error_errno(err, "%s", device->name);
	port_init(&port->port, &vhost_driver, name, device->queues);
	memcpy(port->path, device->name, strlen(device->name) + 1);
	port->server = device->server;
	port->environment = environment;
	for (i = 0; i < GUESTS_MAX; i++)
		port->guests[i].vid = -1;
	for (i = 0; i < PORT_QUEUES_MAX; i++) {
		port->queues[i].armed_vid = -1;
		port->queues[i].epoll_fd = -1;
	}
	for (i = 0; i < device->queues; i++) {
		port->queues[i].epoll_fd = epoll_create1(EPOLL_CLOEXEC);
		if (port->queues[i].epoll_fd < 0) {
			error_errno(err, "%s: epoll", port->path);
			goto fail;
		}
		if (!allowance_open(&port->queues[i].allowance, environment->pool)) {
			error_set(err, "%s: no memory", port->path);
			goto fail;
		}
	}
	if (vhost_start(port, device, err) < 0)
		goto fail;
	*result = &port->port;
	return 0;
fail:
	vhost_free(port);
	return -1;
}
