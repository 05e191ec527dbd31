// A tap interface of the kernel's, made here: in Sluice's own network namespace or a named one.

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
#include "port/offload.h"

#define SEGMENTS_MAX 64

struct tap_queue {
	int fd;
	uint16_t part_count;
	struct virtio_net_hdr header;
	// The chain that the next packet is read into; parts[0] is the header.
	struct rte_mbuf *chain;
	struct iovec parts[SEGMENTS_MAX + 1];
};

struct tap_port {
	struct port port;
	struct rte_mempool *pool;
	uint32_t frame_size; // largest
	bool down;
	struct tap_queue queues[PORT_QUEUES_MAX];
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

// A chain with room for the largest frame.
static bool chain_prepare(struct tap_port *port, struct tap_queue *queue)
{
	struct rte_mbuf *first = NULL, *mbuf;
	uint32_t room = 0;
	uint16_t count = 0;

	if (queue->chain)
		return true;
	while (room < port->frame_size && count < SEGMENTS_MAX) {
		mbuf = rte_pktmbuf_alloc(port->pool);
		if (!mbuf) {
			rte_pktmbuf_free(first);
			return false;
		}
		count++;
		queue->parts[count].iov_base = rte_pktmbuf_mtod(mbuf, void *);
		queue->parts[count].iov_len = rte_pktmbuf_tailroom(mbuf);
		room += rte_pktmbuf_tailroom(mbuf);
		if (first) {
			rte_pktmbuf_lastseg(first)->next = mbuf;
			first->nb_segs++;
		} else {
			first = mbuf;
		}
	}
	queue->part_count = count + 1;
	queue->chain = first;
	return true;
}

// Makes a packet of `length` bytes of the chain, and frees what it does not reach.
static struct rte_mbuf *chain_take(struct tap_queue *queue, uint32_t length)
{
	struct rte_mbuf *packet = queue->chain, *mbuf = packet;

	queue->chain = NULL;
	packet->pkt_len = length;
	packet->nb_segs = 1;
	for (;; mbuf = mbuf->next) {
		mbuf->data_len = (uint16_t)RTE_MIN(length, (uint32_t)rte_pktmbuf_tailroom(mbuf));
		length -= mbuf->data_len;
		if (length == 0)
			break;
		packet->nb_segs++;
	}
	rte_pktmbuf_free(mbuf->next);
	mbuf->next = NULL;
	return packet;
}

static uint16_t tap_receive(struct port *base, uint16_t index, struct rte_mbuf **packets,
			    uint16_t count)
{
	struct tap_port *port = (struct tap_port *)base;
	struct tap_queue *queue = &port->queues[index];
	struct rte_mbuf *packet;
	uint16_t taken = 0, attempts;
	ssize_t length;

	for (attempts = 0; attempts < count; attempts++) {
		if (!chain_prepare(port, queue))
			break;
		length = readv(queue->fd, queue->parts, queue->part_count);
		if (length < 0) {
			if (errno == EAGAIN)
				break;
			// EFAULT: longer than the chain, for somebody raised the MTU.
			if (errno == EFAULT) {
				port_count_receive_error(base, 1);
				continue;
			}
			failure_note(port);
			break;
		}
		length -= (ssize_t)sizeof(queue->header);
		if (length <= 0 || (uint32_t)length > queue->chain->buf_len * SEGMENTS_MAX) {
			port_count_receive_error(base, 1);
			continue;
		}
		packet = chain_take(queue, (uint32_t)length);
		// Large sends would be cut by the segmenter here, as in packet.c, if TUNSETOFFLOAD
		// allowed them; now the kernel completes what it can before we see it.
		if (queue->header.gso_type != VIRTIO_NET_HDR_GSO_NONE ||
		    (queue->header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM &&
		     !checksum_complete(packet, queue->header.csum_start,
					queue->header.csum_offset))) {
			rte_pktmbuf_free(packet);
			port_count_receive_error(base, 1);
			continue;
		}
		packets[taken++] = packet;
	}
	if (taken)
		success_note(port);
	return taken;
}

static uint16_t tap_send(struct port *base, uint16_t index, struct rte_mbuf **packets,
			 uint16_t count)
{
	static const struct virtio_net_hdr empty;
	struct tap_port *port = (struct tap_port *)base;
	struct iovec parts[SEGMENTS_MAX + 1];
	struct rte_mbuf *segment;
	uint16_t taken;
	int used;

	// writev only reads it.
	parts[0] = (struct iovec){(void *)(uintptr_t)&empty, sizeof(empty)};
	for (taken = 0; taken < count; taken++) {
		used = 1;
		for (segment = packets[taken]; segment && used <= SEGMENTS_MAX;
		     segment = segment->next)
			parts[used++] = (struct iovec){rte_pktmbuf_mtod(segment, void *),
						       segment->data_len};
		if (!segment && writev(port->queues[index].fd, parts, used) >= 0) {
			success_note(port);
			continue;
		}
		if (!segment && errno != EINVAL && errno != EMSGSIZE && errno != EFAULT) {
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
	*fd = port_is_gone(base) ? -1 : ((struct tap_port *)base)->queues[queue].fd;
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

static void tap_close(struct port *base)
{
	struct tap_port *port = (struct tap_port *)base;
	int i;

	// The interface goes with its last descriptor.
	for (i = 0; i < PORT_QUEUES_MAX; i++) {
		rte_pktmbuf_free(port->queues[i].chain);
		if (port->queues[i].fd >= 0)
			close(port->queues[i].fd);
	}
	free(port);
}

static const struct port_driver tap_driver = {
	.name = "tap",
	.receive = tap_receive,
	.send = tap_send,
	.arm = tap_arm,
	.disarm = tap_disarm,
	.up = tap_up,
	.close = tap_close,
};

struct tap_making {
	struct tap_port *port;
	const struct port_device *device;
	struct error *err;
	int result;
};

static int queue_attach(const struct tap_making *making, int index)
{
	struct tap_queue *queue = &making->port->queues[index];
	const char *name = making->device->name;
	struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
	int size = sizeof(struct virtio_net_hdr);

	if (making->port->port.queues > 1)
		request.ifr_flags |= IFF_MULTI_QUEUE;
	// An interface that somebody else made is not taken over.
	if (index == 0)
		request.ifr_flags = (short)(request.ifr_flags | IFF_TUN_EXCL);
	memcpy(request.ifr_name, name, strlen(name));
	queue->fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (queue->fd < 0)
		return error_errno(making->err, "/dev/net/tun");
	if (ioctl(queue->fd, TUNSETIFF, &request) < 0) {
		if (errno == EBUSY || errno == EEXIST)
			return error_set(making->err, "tap %s: the interface exists already", name);
		return error_errno(making->err, "tap %s", name);
	}
	if (ioctl(queue->fd, TUNSETVNETHDRSZ, &size) < 0 || ioctl(queue->fd, TUNSETOFFLOAD, 0) < 0)
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
	return NULL;
}

int tap_port_open(const char *name, const struct port_device *device,
		  const struct port_environment *environment, struct port **result,
		  struct error *err)
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
	port->frame_size = device->mtu + PORT_FRAME_OVERHEAD;
	for (i = 0; i < PORT_QUEUES_MAX; i++) {
		port->queues[i].fd = -1;
		port->queues[i].parts[0].iov_base = &port->queues[i].header;
		port->queues[i].parts[0].iov_len = sizeof(port->queues[i].header);
	}
	making.port = port;
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
