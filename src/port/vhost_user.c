// vhost-user: the workload's virtio-net rings, shared memory over a Unix socket.
//
// vhost_user/client.c      looks for a workload's socket
// vhost_user/socket.c      the socket that is made here
// vhost_user/connection.c  who is at the other end: messages and answers (message.c)
// vhost_user/request.c     what each message does
// vhost_user/guest.c       from what messages said of rings to what workers use
// vhost_user/mapping.c     a guest's memory, as files (memory.c: addresses in it)
// vhost_user/ring.h        a ring's frames
// bus_error.c   a guest that takes its memory away
// vhost_user/hand_over.c   another process goes on

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <rte_arp.h>
#include <rte_mbuf.h>

#include "base/log.h"
#include "port/bus_error.h"
#include "port/offload.h"
#include "port/vhost_user/vhost_user.h"

// The front-end asked for it after a migration: the guest is here now.
static uint16_t announcement_take(struct vhost_port *port, struct rte_mbuf **packets)
{
	uint64_t wanted = __atomic_exchange_n(&port->announcement, 0, __ATOMIC_ACQUIRE);
	struct rte_ether_addr mac;

	memcpy(&mac, &wanted, sizeof(mac));
	packets[0] = wanted ? rte_net_make_rarp_packet(port->environment->pool, &mac) : NULL;
	return packets[0] != NULL;
}

static bool announcement_waits(const struct vhost_port *port, uint16_t queue)
{
	return queue == 0 && __atomic_load_n(&port->announcement, __ATOMIC_RELAXED);
}

// What the ring could not do, into the port's counters.
static void errors_count(struct port *port, struct vhost_ring_errors *errors)
{
	if (errors->receive)
		port_count_receive_error(port, errors->receive);
	if (errors->offload)
		port_count_offload_error(port, errors->offload);
	if (errors->send)
		port_count_send_error(port, errors->send);
}

// From an uplink nothing may come that is to be cut, and it was not offered.
static uint16_t whole_keep(struct rte_mbuf **packets, uint16_t count,
			   struct vhost_ring_errors *errors)
{
	uint16_t kept = 0;

	for (uint16_t i = 0; i < count; i++) {
		if (likely(!(packets[i]->ol_flags & PACKET_SEGMENTATION))) {
			packets[kept++] = packets[i];
			continue;
		}
		rte_pktmbuf_free(packets[i]);
		errors->offload++;
	}
	return kept;
}

static uint16_t vhost_receive(struct port *base, uint16_t queue, struct rte_mbuf **packets,
			      uint16_t count)
{
	struct vhost_port *port = (struct vhost_port *)base;
	struct vhost_ring *ring = __atomic_load_n(&port->queues[queue].receive, __ATOMIC_ACQUIRE);
	struct vhost_ring_errors errors = {0};
	uint16_t taken = 0;

	if (unlikely(announcement_waits(port, queue)) && count)
		taken = announcement_take(port, packets);
	if (unlikely(!ring) || taken == count)
		return taken;
	taken += vhost_ring_receive(ring, port->environment->pool, packets + taken, count - taken,
				    &errors);
	if (unlikely(port->uplink))
		taken = whole_keep(packets, taken, &errors);
	if (unlikely(errors.receive | errors.offload))
		errors_count(base, &errors);
	return taken;
}

static uint16_t vhost_send(struct port *base, uint16_t queue, struct rte_mbuf **packets,
			   uint16_t count)
{
	struct vhost_port *port = (struct vhost_port *)base;
	struct vhost_ring *ring = __atomic_load_n(&port->queues[queue].send, __ATOMIC_ACQUIRE);
	struct vhost_ring_errors errors = {0};
	uint16_t sent;

	if (unlikely(!ring))
		return 0;
	sent = vhost_ring_send(ring, packets, count, &errors);
	if (unlikely(errors.send))
		errors_count(base, &errors);
	rte_pktmbuf_free_bulk(packets, sent);
	return sent;
}

static void vhost_disarm(struct port *base, uint16_t queue)
{
	struct vhost_port *port = (struct vhost_port *)base;
	struct vhost_queue *state = &port->queues[queue];
	struct epoll_event events[GUESTS_MAX];

	if (!state->armed)
		return;
	// Meanwhile it may have gone.
	if (state->armed == __atomic_load_n(&state->receive, __ATOMIC_ACQUIRE))
		vhost_ring_disarm(state->armed);
	state->armed = NULL;
	epoll_wait(state->epoll_fd, events, GUESTS_MAX, 0);
}

static bool vhost_arm(struct port *base, uint16_t queue, int *fd)
{
	struct vhost_port *port = (struct vhost_port *)base;
	struct vhost_queue *state = &port->queues[queue];
	struct vhost_ring *ring = __atomic_load_n(&state->receive, __ATOMIC_ACQUIRE);

	*fd = -1;
	if (unlikely(announcement_waits(port, queue))) {
		*fd = state->epoll_fd;
		return false;
	}
	if (!ring)
		return true;
	state->armed = ring;
	if (!vhost_ring_arm(ring)) {
		*fd = state->epoll_fd;
		vhost_disarm(base, queue);
		return false;
	}
	// A guest that gives no kicks has to be looked at.
	if (unlikely(__atomic_load_n(&base->needs_polling, __ATOMIC_RELAXED)))
		return false;
	*fd = state->epoll_fd;
	return true;
}

static bool vhost_up(const struct port *base)
{
	const struct vhost_port *port = (const struct vhost_port *)base;

	return __atomic_load_n(&port->active, __ATOMIC_ACQUIRE) != NULL;
}

static void vhost_check(struct port *base)
{
	struct vhost_port *port = (struct vhost_port *)base;

	if (!vhost_guests_check(port)) {
		log_warning("the workload has taken its memory away", log_text("port", base->name),
			    log_text("device", port->path));
		port_set_gone(base);
		return;
	}
	if (port->server)
		vhost_socket_check(port);
	else
		vhost_client_check(port);
}

static void vhost_close(struct port *base)
{
	struct vhost_port *port = (struct vhost_port *)base;

	vhost_connections_close(port);
	vhost_client_close(port);
	vhost_socket_close(port);
	for (int queue = 0; queue < PORT_QUEUES_MAX; queue++)
		if (port->queues[queue].epoll_fd >= 0)
			close(port->queues[queue].epoll_fd);
	free(port);
}

static const struct port_driver vhost_driver = {
	.name = "vhost-user",
	.prompt = true,
	.receive = vhost_receive,
	.send = vhost_send,
	.arm = vhost_arm,
	.disarm = vhost_disarm,
	.up = vhost_up,
	.check = vhost_check,
	.hand_over = vhost_hand_over,
	.hand_over_undo = vhost_hand_over_undo,
	.close = vhost_close,
};

// The other end has a MAC address of its own; this end's, as an uplink, follows from the tunnel
// address, so that a restart changes nothing: 06:53 and an IPv4 address, 0e and a hash of an IPv6
// one.
static struct mac_address uplink_mac(const struct ip_address *vtep)
{
	struct mac_address mac = {{0x06, 0x53}};
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	if (ip_is_v4(vtep)) {
		memcpy(mac.bytes + 2, vtep->bytes + 12, 4);
		return mac;
	}
	for (int i = 0; i < 16; i++)
		hash = (hash ^ vtep->bytes[i]) * UINT64_C(0x100000001b3);
	mac.bytes[0] = 0x0e;
	for (int i = 1; i < 6; i++)
		mac.bytes[i] = (uint8_t)(hash >> (8 * i + 16));
	return mac;
}

int vhost_user_port_open(const char *name, const struct port_device *device,
			 const struct port_environment *environment, struct port_parts *parts,
			 struct port **result, struct error *err)
{
	struct vhost_port *port;
	int i;

	if (strlen(device->name) >= sizeof(port->path))
		return error_set(err, "%s: path of a Unix socket is longer than %zu bytes",
				 device->name, sizeof(port->path) - 1);
	bus_error_guard();
	port = calloc(1, sizeof(*port));
	if (!port)
		return error_errno(err, "%s", device->name);
	port_init(&port->port, &vhost_driver, name, device->queues);
	memcpy(port->path, device->name, strlen(device->name) + 1);
	port->port.mtu = device->mtu;
	port->server = device->server;
	port->uplink = device->uplink;
	if (device->uplink)
		port->port.mac = uplink_mac(&device->vtep);
	port->environment = environment;
	TAILQ_INIT(&port->guests);
	port->listener = -1;
	port->watch = -1;
	for (i = 0; i < PORT_QUEUES_MAX; i++)
		port->queues[i].epoll_fd = -1;
	for (i = 0; i < device->queues; i++) {
		port->queues[i].epoll_fd = epoll_create1(EPOLL_CLOEXEC);
		if (port->queues[i].epoll_fd < 0) {
			error_errno(err, "%s: epoll", port->path);
			goto fail;
		}
	}
	if (parts && vhost_take_over(port, parts, err) < 0)
		goto fail;
	if (port->server ? port->listener < 0 && vhost_socket_open(port, device, err)
			 : vhost_client_open(port, err))
		goto fail;
	*result = &port->port;
	return 0;
fail:
	vhost_close(&port->port);
	return -1;
}
