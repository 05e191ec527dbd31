// A tap interface of the kernel's, made here: in Sluice's own network namespace or a named one. It
// stays where the process ends, with its addresses and routes, and the next one goes on with it; by
// its alias it is known whose it is. It goes with its Port.

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if_arp.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "port/driver.h"
#include "port/interface.h"
#include "port/interface_alias.h"
#include "port/landing.h"
#include "port/neighbours.h"
#include "port/offload.h"
#include "port/parts.h"

#define SEGMENTS_MAX 64

// Missing in bookworm's headers.
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

struct tap_port {
	struct port port;
	struct rte_mempool *pool;
	bool down;
	int fds[PORT_QUEUES_MAX];
};

static void failure_note(struct tap_port *port)
{
	// EIO: the interface is down. EBADFD: it was removed.
	if (errno == EBADFD || errno == ENODEV)
		port_set_gone(&port->port);
	if (errno == EIO || errno == ENETDOWN)
		__atomic_store_n(&port->down, true, __ATOMIC_RELAXED);
}

static inline void success_note(struct tap_port *port)
{
	if (unlikely(__atomic_load_n(&port->down, __ATOMIC_RELAXED)))
		__atomic_store_n(&port->down, false, __ATOMIC_RELAXED);
}

// A frame that was read into the landing.
static struct rte_mbuf *frame_take(struct tap_port *port, struct port_landing *landing,
				   uint32_t length, const struct virtio_net_hdr *header)
{
	struct rte_mbuf *packet = landing_take(landing, 0, LANDING_FRAME, length);

	landing_settle(landing);
	if (likely(offload_from_virtio(packet, header) == OFFLOAD_READY))
		return packet;
	rte_pktmbuf_free(packet);
	port_count_offload_error(&port->port, 1);
	return NULL;
}

static uint16_t tap_receive(struct port *base, uint16_t queue, struct rte_mbuf **packets,
			    uint16_t count)
{
	struct tap_port *port = (struct tap_port *)base;
	struct port_landing *landing = base->landings[queue];
	struct virtio_net_hdr header;
	uint16_t taken = 0, attempts;
	ssize_t length;

	landing_head(landing, &header, sizeof(header));
	for (attempts = 0; attempts < count; attempts++) {
		if (!landing_fill(landing, port->pool, LANDING_FRAME))
			break;
		length = readv(port->fds[queue], landing->parts, LANDING_FRAME + 1);
		if (length < 0) {
			if (errno == EAGAIN)
				break;
			// EFAULT: longer than all the buffers (BIG TCP).
			if (errno == EFAULT) {
				port_count_receive_error(base, 1);
				continue;
			}
			failure_note(port);
			break;
		}
		length -= (ssize_t)sizeof(header);
		if (length <= 0) {
			port_count_receive_error(base, 1);
			continue;
		}
		packets[taken] = frame_take(port, landing, (uint32_t)length, &header);
		if (packets[taken])
			taken++;
	}
	if (taken)
		success_note(port);
	return taken;
}

// False, and errno: it was not written.
static bool frame_write(int fd, struct rte_mbuf *packet)
{
	struct virtio_net_hdr header = {0};
	struct iovec parts[SEGMENTS_MAX + 1];
	struct rte_mbuf *segment;
	int used = 1;

	if (packet->ol_flags & PACKET_UNFINISHED && !offload_to_virtio(packet, &header)) {
		errno = EINVAL;
		return false;
	}
	parts[0] = (struct iovec){&header, sizeof(header)};
	for (segment = packet; segment && used <= SEGMENTS_MAX; segment = segment->next)
		parts[used++] =
			(struct iovec){rte_pktmbuf_mtod(segment, void *), segment->data_len};
	if (segment) {
		errno = EMSGSIZE;
		return false;
	}
	return writev(fd, parts, used) >= 0;
}

static uint16_t tap_send(struct port *base, uint16_t queue, struct rte_mbuf **packets,
			 uint16_t count)
{
	struct tap_port *port = (struct tap_port *)base;
	uint16_t taken;

	for (taken = 0; taken < count; taken++) {
		if (likely(frame_write(port->fds[queue], packets[taken]))) {
			success_note(port);
			continue;
		}
		if (errno != EINVAL && errno != EMSGSIZE && errno != EFAULT) {
			failure_note(port);
			break;
		}
		// One that can never be written must not hold up the others.
		port_count_send_error(base, 1);
	}
	rte_pktmbuf_free_bulk(packets, taken);
	return taken;
}

static bool tap_arm(struct port *base, uint16_t queue, int *fd)
{
	// Readable as long as there are packets. One that was removed is always in error.
	*fd = port_is_gone(base) ? -1 : ((struct tap_port *)base)->fds[queue];
	return true;
}

static void tap_disarm(struct port *base, uint16_t queue)
{
	// Nothing to undo.
}

static bool tap_up(const struct port *base)
{
	const struct tap_port *port = (const struct tap_port *)base;

	return !port_is_gone(base) && !__atomic_load_n(&port->down, __ATOMIC_RELAXED);
}

// With each queue what was agreed with the kernel for all of them.
struct queue_part {
	uint32_t offloads;
	struct mac_address mac;
	uint8_t padding[2];
};

static bool tap_hand_over(struct port *base, struct port_parts *parts)
{
	const struct tap_port *port = (const struct tap_port *)base;
	const struct queue_part data = {.offloads = base->offloads, .mac = base->mac};
	bool complete = true;

	for (int i = 0; i < base->queues; i++)
		complete &= port_parts_add(parts, PORT_PART_QUEUE, &data, sizeof(data),
					   &port->fds[i], 1);
	return complete;
}

static void tap_close(struct port *base)
{
	struct tap_port *port = (struct tap_port *)base;
	int i;

	// Then the interface goes with its last descriptor.
	if (!base->stays && !base->handed_over && port->fds[0] >= 0)
		ioctl(port->fds[0], TUNSETPERSIST, 0);
	for (i = 0; i < PORT_QUEUES_MAX; i++)
		if (port->fds[i] >= 0)
			close(port->fds[i]);
	free(port);
}

static const struct port_driver tap_driver = {
	.name = "tap",
	.receive = tap_receive,
	.send = tap_send,
	.arm = tap_arm,
	.disarm = tap_disarm,
	.up = tap_up,
	.hand_over = tap_hand_over,
	.close = tap_close,
};

struct tap_making {
	struct tap_port *port;
	const struct port_device *device;
	struct error *err;
	char alias[INTERFACE_ALIAS_SIZE];
	bool found; // an earlier process has made it
	int result;
};

// Lets the kernel leave to us what it leaves to a network card. What we leave to the kernel it
// takes in any case.
static int offloads_set(const struct tap_making *making, int fd)
{
	const unsigned int offloads = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
	struct port *port = &making->port->port;

	port->offloads = PORT_OFFLOAD_CHECKSUM | PORT_OFFLOAD_TSO4 | PORT_OFFLOAD_TSO6 |
			 PORT_OFFLOAD_TSO_CWR | PORT_OFFLOAD_UFO | PORT_OFFLOAD_TUNNEL_CHECKSUM;
	if (ioctl(fd, TUNSETOFFLOAD, offloads | TUN_F_USO4 | TUN_F_USO6) == 0) {
		port->offloads |= PORT_OFFLOAD_USO;
		return 0;
	}
	return ioctl(fd, TUNSETOFFLOAD, offloads);
}

static int queue_attach(const struct tap_making *making, int index)
{
	const char *name = making->device->name;
	struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
	int size = sizeof(struct virtio_net_hdr), fd;

	if (making->port->port.queues > 1)
		request.ifr_flags |= IFF_MULTI_QUEUE;
	// An interface that somebody else made is not taken over.
	if (index == 0 && !making->found)
		request.ifr_flags = (short)(request.ifr_flags | IFF_TUN_EXCL);
	memcpy(request.ifr_name, name, strlen(name));
	fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return error_errno(making->err, "/dev/net/tun");
	making->port->fds[index] = fd;
	if (ioctl(fd, TUNSETIFF, &request) < 0) {
		if (errno == EBUSY || errno == EEXIST)
			return error_set(making->err, "tap %s: the interface exists already", name);
		return error_errno(making->err, "tap %s", name);
	}
	if (ioctl(fd, TUNSETVNETHDRSZ, &size) < 0 || offloads_set(making, fd) < 0)
		return error_errno(making->err, "tap %s: options", name);
	return 0;
}

static int interface_configure(const struct tap_making *making, int fd)
{
	static const struct mac_address none;
	const struct port_device *device = making->device;
	struct ifreq request = {0};

	memcpy(request.ifr_name, device->name, strlen(device->name));
	if (!mac_equal(&device->mac, &none)) {
		request.ifr_hwaddr.sa_family = ARPHRD_ETHER;
		memcpy(request.ifr_hwaddr.sa_data, device->mac.bytes, sizeof(device->mac));
		if (ioctl(fd, SIOCSIFHWADDR, &request) < 0)
			return error_errno(making->err, "tap %s: MAC address", device->name);
	}
	if (ioctl(fd, SIOCGIFHWADDR, &request) < 0)
		return error_errno(making->err, "tap %s: MAC address", device->name);
	memcpy(making->port->port.mac.bytes, request.ifr_hwaddr.sa_data,
	       sizeof(struct mac_address));
	request.ifr_mtu = device->mtu;
	if (ioctl(fd, SIOCSIFMTU, &request) < 0)
		return error_errno(making->err, "tap %s: MTU %u", device->name, device->mtu);
	if (ioctl(fd, SIOCGIFFLAGS, &request) < 0)
		return error_errno(making->err, "tap %s: flags", device->name);
	request.ifr_flags |= IFF_UP;
	if (ioctl(fd, SIOCSIFFLAGS, &request) < 0)
		return error_errno(making->err, "tap %s: set up", device->name);
	return 0;
}

static int netns_enter(const char *netns, struct error *err)
{
	char path[128];
	int fd, result;

	if (strchr(netns, '/') || strcmp(netns, ".") == 0 || strcmp(netns, "..") == 0)
		return error_set(err, "'%s' is not a name of a network namespace", netns);
	snprintf(path, sizeof(path), "/run/netns/%s", netns);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_errno(err, "network namespace %s", netns);
	result = setns(fd, CLONE_NEWNET);
	if (result < 0)
		error_errno(err, "network namespace %s", netns);
	close(fd);
	return result;
}

// Runs in a thread of its own, because a thread's network namespace is changed with nobody else's.
static void *tap_make(void *argument)
{
	struct tap_making *making = argument;
	const struct port_device *device = making->device;
	int fd, i;

	making->result = -1;
	if (device->netns[0] && netns_enter(device->netns, making->err) < 0)
		return NULL;
	making->found = interface_alias_is(device->name, making->alias);
	for (i = 0; i < making->port->port.queues; i++)
		if (queue_attach(making, i) < 0)
			return NULL;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		error_errno(making->err, "tap %s: socket", device->name);
		return NULL;
	}
	making->result = interface_configure(making, fd);
	close(fd);
	if (making->result == 0 && !making->found)
		making->result = interface_alias_set(device->name, making->alias, making->err);
	// Last, so that none is left behind that nobody knows.
	if (making->result == 0 && ioctl(making->port->fds[0], TUNSETPERSIST, 1) < 0)
		making->result = error_errno(making->err, "tap %s: to stay", device->name);
	if (making->result == 0 && making->found)
		neighbours_ask_again(device->name);
	return NULL;
}

// The interface stays as it was: its descriptors are all that there is to it here.
static int tap_take(struct tap_port *port, struct port_parts *parts, struct error *err)
{
	struct queue_part data;
	struct port_part *part;
	uint16_t count = 0;

	while (count < PORT_QUEUES_MAX &&
	       (part = port_parts_take(parts, PORT_PART_QUEUE)) != NULL) {
		port->fds[count] = port_part_fd(part);
		if (port->fds[count] < 0 || part->size < sizeof(data))
			return error_set(err, "a queue without its file");
		memcpy(&data, part->data, sizeof(data));
		port->port.offloads = data.offloads;
		port->port.mac = data.mac;
		count++;
	}
	if (!count)
		return error_set(err, "no queues");
	port->port.queues = count;
	return 0;
}

int tap_port_open(const char *name, const struct port_device *device,
		  const struct port_environment *environment, struct port_parts *parts,
		  struct port **result, struct error *err)
{
	struct tap_making making = {.device = device, .err = err};
	struct tap_port *port;
	pthread_t thread;
	int i;

	if (!interface_name_valid(device->name, err))
		return -1;
	port = calloc(1, sizeof(*port));
	if (!port)
		return error_errno(err, "tap %s", device->name);
	port_init(&port->port, &tap_driver, name, device->queues);
	port->pool = environment->pool;
	for (i = 0; i < PORT_QUEUES_MAX; i++)
		port->fds[i] = -1;
	if (parts && parts->count) {
		if (tap_take(port, parts, err) == 0) {
			*result = &port->port;
			return 0;
		}
		error_prefix(err, "tap %s", device->name);
		// It is the other process's still.
		port->port.handed_over = true;
		tap_close(&port->port);
		return -1;
	}
	making.port = port;
	snprintf(making.alias, sizeof(making.alias), "sluice %s", name);
	errno = pthread_create(&thread, NULL, tap_make, &making);
	if (errno) {
		error_errno(err, "tap %s: thread", device->name);
	} else {
		pthread_join(thread, NULL);
		if (making.result == 0) {
			*result = &port->port;
			return 0;
		}
	}
	tap_close(&port->port);
	return -1;
}
