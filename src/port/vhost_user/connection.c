// Who is at the other end of a vhost-user socket: the library's callbacks.

#include <dirent.h>
#include <errno.h>
#include <linux/virtio_net.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "port/vhost_user/bus_error.h"
#include "port/vhost_user/vhost_user.h"

// Microseconds that the rest of a message may take once its header is there.
#define PATIENCE 100000

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
	log_error("cannot watch for kicks", log_text("port", port->port.name),
		  log_text("device", port->path), log_text("reason", strerror(errno)));
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
	__atomic_store_n(&port->port.offloads, best ? best->offloads : 0, __ATOMIC_RELAXED);
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
			log_warning("workload refused", log_text("port", port->port.name),
				    log_text("device", port->path),
				    log_text("reason", "too many connections"),
				    log_number("max", GUESTS_MAX));
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
	__atomic_store_n(&guest->vid, -1, __ATOMIC_RELAXED);
}

// What the guest's driver finishes of a packet that it gets.
static uint32_t offloads_negotiated(int vid)
{
	static const struct {
		uint32_t feature;
		uint32_t offload;
	} table[] = {
		{VIRTIO_NET_F_GUEST_TSO4, PORT_OFFLOAD_TSO4},
		{VIRTIO_NET_F_GUEST_TSO6, PORT_OFFLOAD_TSO6},
		{VIRTIO_NET_F_GUEST_UFO, PORT_OFFLOAD_UFO},
	};
	uint32_t offloads = PORT_OFFLOAD_CHECKSUM, i;
	uint64_t features;

	// The others need this one (virtio 1.2 section 5.1.3.1).
	if (rte_vhost_get_negotiated_features(vid, &features) < 0 ||
	    !(features & 1ULL << VIRTIO_NET_F_GUEST_CSUM))
		return 0;
	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (features & 1ULL << table[i].feature)
			offloads |= table[i].offload;
	return offloads;
}

static void regions_note(struct guest *guest)
{
	struct rte_vhost_memory *memory;

	guest->region_count = 0;
	if (rte_vhost_get_mem_table(guest->vid, &memory) < 0)
		return;
	for (uint32_t i = 0; i < memory->nregions && i < REGIONS_MAX; i++) {
		guest->regions[i].start = memory->regions[i].mmap_addr;
		guest->regions[i].size = memory->regions[i].mmap_size;
		// An earlier mapping in this place is not this one.
		bus_error_hit(guest->regions[i].start, guest->regions[i].size);
		guest->region_count++;
	}
	free(memory);
}

static int device_begin(int vid)
{
	struct vhost_port *port = port_of_vid(vid);
	struct guest *guest = port ? guest_of_vid(port, vid) : NULL;

	if (!guest)
		return -1;
	guest->running = true;
	guest->serial = ++port->serials;
	guest->offloads = offloads_negotiated(vid);
	regions_note(guest);
	active_choose(port);
	log_info("workload connected", log_text("port", port->port.name),
		 log_text("device", port->path));
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
	log_info("workload disconnected", log_text("port", port->port.name),
		 log_text("device", port->path));
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

const struct rte_vhost_device_ops vhost_connections = {
	.new_connection = connection_begin,
	.destroy_connection = connection_end,
	.new_device = device_begin,
	.destroy_device = device_end,
	.vring_state_changed = ring_state_changed,
};

void vhost_connections_begin(struct vhost_port *port)
{
	pthread_mutex_lock(&ports_mutex);
	LIST_INSERT_HEAD(&ports, port, entry);
	pthread_mutex_unlock(&ports_mutex);
}

void vhost_connections_end(struct vhost_port *port)
{
	pthread_mutex_lock(&ports_mutex);
	LIST_REMOVE(port, entry);
	pthread_mutex_unlock(&ports_mutex);
}

bool vhost_connections_known(const char *path)
{
	bool known;

	pthread_mutex_lock(&ports_mutex);
	known = port_of_path(path) != NULL;
	pthread_mutex_unlock(&ports_mutex);
	return known;
}

bool vhost_connections_any(const struct vhost_port *port)
{
	for (int i = 0; i < GUESTS_MAX; i++)
		if (__atomic_load_n(&port->guests[i].vid, __ATOMIC_RELAXED) >= 0)
			return true;
	return false;
}

bool vhost_connections_broken(const struct vhost_port *port)
{
	bool broken = false;

	for (int i = 0; i < GUESTS_MAX; i++) {
		const struct guest *guest = &port->guests[i];

		for (uint32_t j = 0; guest->running && j < guest->region_count; j++)
			broken |= bus_error_hit(guest->regions[j].start, guest->regions[j].size);
	}
	return broken;
}

void vhost_kicks_close(struct vhost_port *port)
{
	for (int i = 0; i < GUESTS_MAX; i++)
		for (uint16_t queue = 0; queue < PORT_QUEUES_MAX; queue++)
			if (port->guests[i].vid >= 0)
				kick_close(port, &port->guests[i], queue);
}
