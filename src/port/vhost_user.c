// vhost-user: the workload's virtio-net rings, shared memory over a Unix socket, by DPDK's vhost
// library.
//
// Threads: the library's own threads (events, reconnection) call back on connections; the control
// thread opens and closes; workers only load `active` and what hangs on it. Callbacks for one path
// never run at the same time, and rte_vhost_driver_unregister waits for them.

#include <dirent.h>
#include <errno.h>
#include <linux/virtio_net.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <rte_log.h>
#include <rte_mbuf.h>
#include <rte_vhost.h>

#include "base/log.h"
#include "port/driver.h"

// Connections to one socket at a time. More than one comes up when the other end starts anew before
// its old connection is seen to be closed; the newest one that is ready carries the traffic.
#define GUESTS_MAX 4
#define RING_NONE  UINT16_MAX
// Microseconds that the rest of a message may take once its header is there.
#define PATIENCE 100000

// The other end of one connection.
struct guest {
	int vid; // -1: free
	bool running;
	uint64_t serial; // order in which they became ready
	// Of each queue pair, is the guest's tx (rx) ring enabled? Read by workers.
	bool tx_enabled[PORT_QUEUES_MAX];
	bool rx_enabled[PORT_QUEUES_MAX];
	// Virtqueue that a worker's queue sends to, or RING_NONE: a guest that uses fewer queues
	// than the port has gets everything on those that it uses.
	uint16_t send_ring[PORT_QUEUES_MAX];
	// Our duplicates of the tx rings' kick descriptors: the library closes its own at any time.
	int kick_fds[PORT_QUEUES_MAX];
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
};

struct vhost_port {
	struct port port;
	char path[108];
	uint64_t serials;
	struct guest *active;
	struct guest guests[GUESTS_MAX];
	struct vhost_queue queues[PORT_QUEUES_MAX];
	const struct port_environment *environment;
	LIST_ENTRY(vhost_port) entry;
};

// The library gives callbacks a vid and no context: this is how they find their port. Workers never
// come here.
static LIST_HEAD(, vhost_port) ports = LIST_HEAD_INITIALIZER(ports);
static pthread_mutex_t ports_mutex = PTHREAD_MUTEX_INITIALIZER;

static struct vhost_port *port_of_path(const char *path)
{
	struct vhost_port *port;

	LIST_FOREACH(port, &ports, entry)
	if (strcmp(port->path, path) == 0)
		return port;
	return NULL;
}

static struct vhost_port *port_of_vid(int vid)
{
	char path[4096];
	struct vhost_port *port;

	if (rte_vhost_get_ifname(vid, path, sizeof(path)) < 0)
		return NULL;
	pthread_mutex_lock(&ports_mutex);
	port = port_of_path(path);
	pthread_mutex_unlock(&ports_mutex);
	return port;
}

static struct guest *guest_of_vid(struct vhost_port *port, int vid)
{
	int i;

	for (i = 0; i < GUESTS_MAX; i++)
		if (port->guests[i].vid == vid)
			return &port->guests[i];
	return NULL;
}

static void kick_close(struct vhost_port *port, struct guest *guest, uint16_t queue)
{
	int fd = guest->kick_fds[queue];

	if (fd < 0)
		return;
	// The guest holds the same file description open, so closing alone would not take it out.
	epoll_ctl(port->queues[queue].epoll_fd, EPOLL_CTL_DEL, fd, NULL);
	close(fd);
	guest->kick_fds[queue] = -1;
}

static void kick_open(struct vhost_port *port, struct guest *guest, uint16_t queue)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLET};
	struct rte_vhost_vring vring;

	kick_close(port, guest, queue);
	if (rte_vhost_get_vhost_vring(guest->vid, queue * 2 + 1, &vring) < 0 || vring.kickfd < 0)
		return;
	guest->kick_fds[queue] = dup(vring.kickfd);
	if (guest->kick_fds[queue] >= 0 && epoll_ctl(port->queues[queue].epoll_fd, EPOLL_CTL_ADD,
						     guest->kick_fds[queue], &event) == 0)
		return;
	log_error("port %s: %s: cannot watch for kicks: %s", port->port.name, port->path,
		  strerror(errno));
}

static void send_rings_choose(struct vhost_port *port, struct guest *guest)
{
	uint16_t rings[PORT_QUEUES_MAX], count = 0, i, ring;

	for (i = 0; i < port->port.queues; i++)
		if (guest->rx_enabled[i])
			rings[count++] = i * 2;
	for (i = 0; i < port->port.queues; i++) {
		ring = count ? rings[i % count] : RING_NONE;
		__atomic_store_n(&guest->send_ring[i], ring, __ATOMIC_RELAXED);
	}
}

static void active_choose(struct vhost_port *port)
{
	struct guest *best = NULL;
	int i;

	for (i = 0; i < GUESTS_MAX; i++)
		if (port->guests[i].running && (!best || port->guests[i].serial > best->serial))
			best = &port->guests[i];
	__atomic_store_n(&port->active, best, __ATOMIC_RELEASE);
	port_wake(&port->port);
}

// Without this answer a guest could be given more queues than the port polls, and lose what it
// sends there. `message` begins with the vhost-user message: request, flags, size, payload.
static enum rte_vhost_msg_result message_handle(int vid, void *message)
{
	struct {
		uint32_t request;
		uint32_t flags;
		uint32_t size;
		uint64_t number;
	} __attribute__((packed)) *header = message;
	struct vhost_port *port;

	if (header->request != 17) // VHOST_USER_GET_QUEUE_NUM
		return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
	port = port_of_vid(vid);
	if (!port)
		return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
	header->number = port->port.queues;
	header->size = sizeof(header->number);
	return RTE_VHOST_MSG_RESULT_REPLY;
}

static const struct rte_vhost_user_extern_ops message_operations = {
	.pre_msg_handle = message_handle,
};

static bool is_socket_of(int fd, const char *path)
{
	struct sockaddr_un local = {0}, other = {0};
	socklen_t local_size = sizeof(local) - 1, other_size = sizeof(other) - 1;

	return (getsockname(fd, (struct sockaddr *)&local, &local_size) == 0 &&
		local.sun_family == AF_UNIX && strcmp(local.sun_path, path) == 0) ||
	       (getpeername(fd, (struct sockaddr *)&other, &other_size) == 0 &&
		other.sun_family == AF_UNIX && strcmp(other.sun_path, path) == 0);
}

// The library reads and answers messages with calls that block, in one thread for all ports: who
// sends half a message would hold up every other port, and the control thread when it closes this
// one. The library does not give the connection's descriptor away, so it is looked for.
static void patience_limit(const char *path)
{
	const struct timeval patience = {.tv_usec = PATIENCE};
	DIR *directory = opendir("/proc/self/fd");
	const struct dirent *entry;

	while (directory && (entry = readdir(directory))) {
		int fd = atoi(entry->d_name);

		if (entry->d_name[0] == '.' || !is_socket_of(fd, path))
			continue;
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	}
	if (directory)
		closedir(directory);
}

static int connection_begin(int vid)
{
	struct vhost_port *port = port_of_vid(vid);
	struct guest *guest;
	int i;

	guest = port ? guest_of_vid(port, -1) : NULL;
	if (!guest) {
		if (port)
			log_warning("port %s: %s: more than %d connections, refused",
				    port->port.name, port->path, GUESTS_MAX);
		return -1;
	}
	memset(guest, 0, sizeof(*guest));
	guest->vid = vid;
	for (i = 0; i < PORT_QUEUES_MAX; i++) {
		guest->kick_fds[i] = -1;
		guest->send_ring[i] = RING_NONE;
	}
	patience_limit(port->path);
	return rte_vhost_extern_callback_register(vid, &message_operations, NULL);
}

static void connection_end(int vid)
{
	struct vhost_port *port = port_of_vid(vid);
	struct guest *guest = port ? guest_of_vid(port, vid) : NULL;
	uint16_t i;

	if (!guest)
		return;
	for (i = 0; i < PORT_QUEUES_MAX; i++)
		kick_close(port, guest, i);
	guest->vid = -1;
}

static int device_begin(int vid)
{
	struct vhost_port *port = port_of_vid(vid);
	struct guest *guest = port ? guest_of_vid(port, vid) : NULL;

	if (!guest)
		return -1;
	guest->running = true;
	guest->serial = ++port->serials;
	active_choose(port);
	log_info("port %s: %s: connected", port->port.name, port->path);
	return 0;
}

static void device_end(int vid)
{
	struct vhost_port *port = port_of_vid(vid);
	struct guest *guest = port ? guest_of_vid(port, vid) : NULL;

	if (!guest)
		return;
	guest->running = false;
	active_choose(port);
	// When this returns, the library unmaps the guest's memory and frees the rings.
	if (port->environment->workers)
		rte_rcu_qsbr_synchronize(port->environment->workers, RTE_QSBR_THRID_INVALID);
	log_info("port %s: %s: disconnected", port->port.name, port->path);
}

// Called with the rings' locks held, which workers wait for: must not wait for workers.
static int ring_state_changed(int vid, uint16_t ring, int enable)
{
	struct vhost_port *port = port_of_vid(vid);
	struct guest *guest = port ? guest_of_vid(port, vid) : NULL;
	uint16_t queue = ring / 2;

	if (!guest || queue >= port->port.queues)
		return 0;
	if (ring % 2 == 0) {
		guest->rx_enabled[queue] = enable;
		send_rings_choose(port, guest);
		return 0;
	}
	if (enable)
		kick_open(port, guest, queue);
	else
		kick_close(port, guest, queue);
	__atomic_store_n(&guest->tx_enabled[queue], enable, __ATOMIC_RELEASE);
	port_wake(&port->port);
	return 0;
}

static const struct rte_vhost_device_ops operations = {
	.new_connection = connection_begin,
	.destroy_connection = connection_end,
	.new_device = device_begin,
	.destroy_device = device_end,
	.vring_state_changed = ring_state_changed,
};

static inline int receive_vid(struct vhost_port *port, uint16_t queue)
{
	const struct guest *guest = __atomic_load_n(&port->active, __ATOMIC_ACQUIRE);

	if (!guest || !__atomic_load_n(&guest->tx_enabled[queue], __ATOMIC_ACQUIRE))
		return -1;
	return guest->vid;
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
	return taken + rte_vhost_dequeue_burst(vid, queue * 2 + 1, port->environment->pool,
					       packets + taken, count - taken);
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
		state->stashed = rte_vhost_dequeue_burst(vid, queue * 2 + 1,
							 port->environment->pool, &state->stash, 1);
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
	int i, queue;

	for (queue = 0; queue < PORT_QUEUES_MAX; queue++) {
		for (i = 0; i < GUESTS_MAX; i++)
			if (port->guests[i].vid >= 0)
				kick_close(port, &port->guests[i], queue);
		if (port->queues[queue].stashed)
			rte_pktmbuf_free(port->queues[queue].stash);
		if (port->queues[queue].epoll_fd >= 0)
			close(port->queues[queue].epoll_fd);
	}
	free(port);
}

static void vhost_stop(struct vhost_port *port)
{
	// Calls device_end for a guest that is running, and removes a server's socket.
	rte_vhost_driver_unregister(port->path);
	pthread_mutex_lock(&ports_mutex);
	LIST_REMOVE(port, entry);
	pthread_mutex_unlock(&ports_mutex);
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
	.close = vhost_close,
};

// Makes sure that a server can have `path`: removes a socket that nobody listens on, and says what
// is wrong where the library would not.
static int server_path_prepare(const char *path, struct error *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct stat status;
	int fd, result;

	memcpy(address.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return error_errno(err, "%s: socket", path);
	if (lstat(path, &status) == 0) {
		if (!S_ISSOCK(status.st_mode)) {
			close(fd);
			return error_set(err, "%s: exists and is not a socket", path);
		}
		result = connect(fd, (struct sockaddr *)&address, sizeof(address));
		if (result == 0 || errno == EAGAIN) {
			close(fd);
			return error_set(err, "%s: another process listens on it", path);
		}
		if (errno != ECONNREFUSED || unlink(path) < 0) {
			error_errno(err, "%s: socket of another process", path);
			close(fd);
			return -1;
		}
	}
	result = bind(fd, (struct sockaddr *)&address, sizeof(address));
	if (result < 0)
		error_errno(err, "%s: cannot make the socket", path);
	else
		unlink(path);
	close(fd);
	return result;
}

static int vhost_start(struct vhost_port *port, const struct port_device *device, struct error *err)
{
	// Offloads come here: once packets carry their offload state, these features may stay.
	// Without them guests hand over complete packets and expect complete ones.
	const uint64_t offloads = 1ULL << VIRTIO_NET_F_CSUM | 1ULL << VIRTIO_NET_F_GUEST_CSUM |
				  1ULL << VIRTIO_NET_F_GSO | 1ULL << VIRTIO_NET_F_HOST_TSO4 |
				  1ULL << VIRTIO_NET_F_HOST_TSO6 | 1ULL << VIRTIO_NET_F_HOST_ECN |
				  1ULL << VIRTIO_NET_F_HOST_UFO | 1ULL << VIRTIO_NET_F_GUEST_TSO4 |
				  1ULL << VIRTIO_NET_F_GUEST_TSO6 | 1ULL << VIRTIO_NET_F_GUEST_ECN |
				  1ULL << VIRTIO_NET_F_GUEST_UFO;
	uint64_t flags = RTE_VHOST_USER_NET_COMPLIANT_OL_FLAGS;

	if (!device->server)
		flags |= RTE_VHOST_USER_CLIENT;
	// Else a guest's descriptors for one packet of many megabytes would take all packet
	// buffers.
	if (device->mtu + (uint32_t)PORT_FRAME_OVERHEAD + RTE_PKTMBUF_HEADROOM <=
	    rte_pktmbuf_data_room_size(port->environment->pool))
		flags |= RTE_VHOST_USER_LINEARBUF_SUPPORT;
	if (rte_vhost_driver_register(port->path, flags) < 0)
		return error_set(err, "%s: vhost-user socket cannot be registered", port->path);
	// Callbacks may come from now on.
	pthread_mutex_lock(&ports_mutex);
	LIST_INSERT_HEAD(&ports, port, entry);
	pthread_mutex_unlock(&ports_mutex);
	if (rte_vhost_driver_disable_features(port->path, offloads) < 0 ||
	    rte_vhost_driver_callback_register(port->path, &operations) < 0 ||
	    rte_vhost_driver_start(port->path) < 0) {
		vhost_stop(port);
		return error_set(err, "%s: vhost-user cannot be started", port->path);
	}
	return 0;
}

int vhost_user_port_open(const char *name, const struct port_device *device,
			 const struct port_environment *environment, struct port **result,
			 struct error *err)
{
	struct vhost_port *port;
	bool known;
	int i;

	if (strlen(device->name) >= sizeof(port->path))
		return error_set(err, "%s: path of a Unix socket is longer than %zu bytes",
				 device->name, sizeof(port->path) - 1);
	pthread_mutex_lock(&ports_mutex);
	known = port_of_path(device->name) != NULL;
	pthread_mutex_unlock(&ports_mutex);
	if (known)
		return error_set(err, "%s: another port has this socket", device->name);
	if (device->server && server_path_prepare(device->name, err) < 0)
		return -1;
	// The library tells of every message; what matters is logged here.
	rte_log_set_level_pattern("lib.vhost.*", RTE_LOG_CRIT);

	port = calloc(1, sizeof(*port));
	if (!port)
		return error_errno(err, "%s", device->name);
	port_init(&port->port, &vhost_driver, name, device->queues);
	memcpy(port->path, device->name, strlen(device->name) + 1);
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
	}
	if (vhost_start(port, device, err) < 0)
		goto fail;
	*result = &port->port;
	return 0;
fail:
	vhost_free(port);
	return -1;
}
