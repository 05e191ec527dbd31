// A port that is the driver of a vhost-user device: two split rings (virtio 1.1, 2.6) in memory
// shared with the device. It does per packet what a driver has to do (descriptor, ring entry, used
// entry) and nothing else: no packet buffers are allocated or freed, because each descriptor has
// its own.

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>

#include <rte_prefetch.h>

#include "port.h"
#include "vhost_user.h"

#define PAGE	  4096ul
#define HUGE_PAGE (2ul << 20)
// With VERSION_1 or mergeable buffers.
#define HEADER_SIZE 12
// From a buffer's start to its frame, which begins with a cache line; the header is in front of it.
#define FRAME_OFFSET 128
// An odd number of cache lines: else all frames would share a few sets of the caches.
#define BUFFER_SIZE ((uint32_t)(31 * 64))

_Static_assert(FRAME_OFFSET + PORT_FRAME_MAX <= BUFFER_SIZE, "a frame has room");
_Static_assert(PORT_MARK_OFFSET >= HEADER_SIZE + sizeof(uint32_t), "mark and header have room");

struct ring {
	struct vring_desc *descriptors;
	struct vring_avail *available;
	struct vring_used *used;
	uint8_t *buffers;
	uint16_t size;
	// As the ring counts, modulo 2^16.
	uint16_t available_index;
	uint16_t used_index;
	// Descriptors that the device has given back, in its order. Indices as above.
	uint16_t *free;
	uint16_t free_first;
	uint16_t free_count;
	int kick;
	int call;
};

struct vhost_user_port {
	struct port port;
	int fd;
	int memory_fd;
	uint8_t *memory;
	size_t memory_size;
	struct ring receive;
	struct ring send;
	unsigned int received_count;
	uint16_t received[PORT_BURST];
};

// The device breaks the protocol: nothing that is measured means anything any more.
static void ring_broken(const char *what)
{
	fprintf(stderr, "load: vhost-user: the device's ring is broken: %s\n", what);
	exit(1);
}

static inline uint8_t *ring_frame(const struct ring *ring, uint16_t id)
{
	return ring->buffers + (size_t)id * BUFFER_SIZE + FRAME_OFFSET;
}

static inline uint16_t used_load(const struct ring *ring)
{
	return __atomic_load_n(&ring->used->idx, __ATOMIC_ACQUIRE);
}

static inline void ring_offer(struct ring *ring, uint16_t id, uint32_t length, uint16_t flags)
{
	ring->descriptors[id] = (struct vring_desc){
		.addr = (uintptr_t)ring_frame(ring, id) - HEADER_SIZE,
		.len = length + HEADER_SIZE,
		.flags = flags,
	};
	ring->available->ring[ring->available_index++ & (ring->size - 1)] = id;
}

// The device sees what was offered; it is woken if it asks for it.
static inline void ring_publish(struct ring *ring)
{
	uint64_t one = 1;

	__atomic_store_n(&ring->available->idx, ring->available_index, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!(__atomic_load_n(&ring->used->flags, __ATOMIC_RELAXED) & VRING_USED_F_NO_NOTIFY) &&
	    write(ring->kick, &one, sizeof(one)) < 0 && errno != EAGAIN)
		ring_broken(strerror(errno));
}

static void ring_reclaim(struct ring *ring)
{
	uint16_t now = used_load(ring), count = now - ring->used_index;

	if (count > ring->size - ring->free_count)
		ring_broken("more buffers come back than it has");
	for (; count > 0; count--) {
		uint32_t id = ring->used->ring[ring->used_index++ & (ring->size - 1)].id;

		if (id >= ring->size)
			ring_broken("no such descriptor");
		ring->free[(ring->free_first + ring->free_count++) & (ring->size - 1)] =
			(uint16_t)id;
	}
}

static unsigned int vhost_user_take(struct port *base, uint8_t **frames, unsigned int wanted)
{
	struct ring *ring = &((struct vhost_user_port *)base)->send;

	if (ring->free_count < wanted)
		ring_reclaim(ring);
	if (wanted > ring->free_count)
		wanted = ring->free_count;
	for (unsigned int i = 0; i < wanted; i++)
		frames[i] = ring_frame(ring, ring->free[(ring->free_first + i) & (ring->size - 1)]);
	return wanted;
}

static void vhost_user_send(struct port *base, const uint16_t *lengths, unsigned int count)
{
	struct ring *ring = &((struct vhost_user_port *)base)->send;

	for (unsigned int i = 0; i < count; i++)
		ring_offer(ring, ring->free[ring->free_first++ & (ring->size - 1)], lengths[i], 0);
	ring->free_count -= count;
	ring_publish(ring);
}

static unsigned int vhost_user_receive(struct port *base, uint8_t **frames, uint16_t *lengths,
				       bool look)
{
	struct vhost_user_port *port = (struct vhost_user_port *)base;
	struct ring *ring = &port->receive;
	uint16_t count = used_load(ring) - ring->used_index;

	if (count > ring->size)
		ring_broken("more buffers come back than it has");
	if (count > PORT_BURST)
		count = PORT_BURST;
	for (unsigned int i = 0; i < count; i++) {
		const struct vring_used_elem *used =
			&ring->used->ring[(ring->used_index + i) & (ring->size - 1)];
		uint32_t id = used->id, length = used->len;

		if (id >= ring->size)
			ring_broken("no such descriptor");
		port->received[i] = (uint16_t)id;
		frames[i] = ring_frame(ring, (uint16_t)id);
		// One that fills its buffer goes on in the next: none of the load's.
		if (length < HEADER_SIZE || length >= HEADER_SIZE + PORT_FRAME_MAX)
			length = HEADER_SIZE;
		lengths[i] = (uint16_t)(length - HEADER_SIZE);
		if (look) {
			rte_prefetch0(frames[i]);
			rte_prefetch0(frames[i] + 64);
		}
	}
	ring->used_index += count;
	port->received_count = count;
	return count;
}

static void vhost_user_release(struct port *base)
{
	struct vhost_user_port *port = (struct vhost_user_port *)base;

	if (port->received_count == 0)
		return;
	for (unsigned int i = 0; i < port->received_count; i++)
		ring_offer(&port->receive, port->received[i], PORT_FRAME_MAX, VRING_DESC_F_WRITE);
	port->received_count = 0;
	ring_publish(&port->receive);
}

static bool vhost_user_is_alive(struct port *base)
{
	struct vhost_user_port *port = (struct vhost_user_port *)base;
	char byte;
	ssize_t got = recv(port->fd, &byte, sizeof(byte), MSG_DONTWAIT | MSG_PEEK);

	return got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR));
}

static void vhost_user_close(struct port *base)
{
	struct vhost_user_port *port = (struct vhost_user_port *)base;
	struct ring *rings[] = {&port->receive, &port->send};

	// The device lets go of the memory when the connection ends.
	if (port->fd >= 0)
		close(port->fd);
	for (unsigned int i = 0; i < 2; i++) {
		if (rings[i]->kick > 0)
			close(rings[i]->kick);
		if (rings[i]->call > 0)
			close(rings[i]->call);
		free(rings[i]->free);
	}
	if (port->memory)
		munmap(port->memory, port->memory_size);
	if (port->memory_fd >= 0)
		close(port->memory_fd);
	free(port);
}

static const struct port_operations operations = {
	.take = vhost_user_take,
	.send = vhost_user_send,
	.receive = vhost_user_receive,
	.release = vhost_user_release,
	.is_alive = vhost_user_is_alive,
	.close = vhost_user_close,
};

static size_t round_up(size_t size, size_t unit)
{
	return (size + unit - 1) / unit * unit;
}

// Of one ring: three areas, each with pages of its own, then the buffers.
static size_t ring_memory(uint16_t size)
{
	return round_up(size * sizeof(struct vring_desc), PAGE) +
	       round_up(sizeof(struct vring_avail) + (size + 1) * sizeof(uint16_t), PAGE) +
	       round_up(sizeof(struct vring_used) + size * sizeof(struct vring_used_elem) +
				sizeof(uint16_t),
			PAGE) +
	       round_up((size_t)size * BUFFER_SIZE, PAGE);
}

// The memory is zero, as is every mark.
static bool ring_init(struct ring *ring, uint8_t *memory, uint16_t size)
{
	ring->size = size;
	ring->descriptors = (struct vring_desc *)(void *)memory;
	memory += round_up(size * sizeof(struct vring_desc), PAGE);
	ring->available = (struct vring_avail *)(void *)memory;
	memory += round_up(sizeof(struct vring_avail) + (size + 1) * sizeof(uint16_t), PAGE);
	ring->used = (struct vring_used *)(void *)memory;
	memory += round_up(sizeof(struct vring_used) + size * sizeof(struct vring_used_elem) +
				   sizeof(uint16_t),
			   PAGE);
	ring->buffers = memory;
	ring->available->flags = VRING_AVAIL_F_NO_INTERRUPT;
	ring->free = calloc(size, sizeof(ring->free[0]));
	ring->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ring->call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return ring->free && ring->kick >= 0 && ring->call >= 0;
}

static bool memory_map(struct vhost_user_port *port, size_t size, unsigned int flags, size_t page)
{
	void *memory;

	size = round_up(size, page);
	port->memory_fd = memfd_create("load", MFD_CLOEXEC | flags);
	if (port->memory_fd < 0)
		return false;
	memory = ftruncate(port->memory_fd, (off_t)size)
			 ? MAP_FAILED
			 : mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
				port->memory_fd, 0);
	if (memory == MAP_FAILED) {
		close(port->memory_fd);
		port->memory_fd = -1;
		return false;
	}
	port->memory = memory;
	port->memory_size = size;
	return true;
}

static bool port_start(struct vhost_user_port *port, const struct vhost_user_device *device)
{
	const uint16_t size = device->queue_size;
	const uint64_t wanted = 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_NET_F_MRG_RXBUF;
	struct vhost_user_ring rings[2];
	struct ring *own[2] = {&port->receive, &port->send};
	uint64_t features;

	if (!memory_map(port, 2 * ring_memory(size), MFD_HUGETLB, HUGE_PAGE) &&
	    !memory_map(port, 2 * ring_memory(size), 0, PAGE)) {
		fprintf(stderr, "load: no memory for buffers: %s\n", strerror(errno));
		return false;
	}
	if (!ring_init(&port->receive, port->memory, size) ||
	    !ring_init(&port->send, port->memory + ring_memory(size), size)) {
		fprintf(stderr, "load: %s\n", strerror(errno));
		return false;
	}
	port->send.free_count = size;
	for (unsigned int i = 0; i < size; i++) {
		port->send.free[i] = (uint16_t)i;
		ring_offer(&port->receive, (uint16_t)i, PORT_FRAME_MAX, VRING_DESC_F_WRITE);
	}
	port->receive.available->idx = port->receive.available_index;
	for (unsigned int i = 0; i < 2; i++)
		rings[i] = (struct vhost_user_ring){
			size,	      own[i]->descriptors, own[i]->available,
			own[i]->used, own[i]->kick,	   own[i]->call};
	port->fd = vhost_user_connect(device->path, device->server);
	if (port->fd < 0 || !vhost_user_start(port->fd, wanted, &features, port->memory_fd,
					      port->memory, port->memory_size, rings))
		return false;
	if (!(features >> VIRTIO_F_VERSION_1 & 1)) {
		fprintf(stderr, "load: %s: the device has no virtio 1.0\n", device->path);
		return false;
	}
	return true;
}

struct port *vhost_user_port_open(const struct vhost_user_device *device)
{
	struct vhost_user_port *port = calloc(1, sizeof(*port));

	if (!port) {
		fprintf(stderr, "load: no memory\n");
		return NULL;
	}
	port->port.operations = &operations;
	port->fd = -1;
	port->memory_fd = -1;
	if (port_start(port, device))
		return &port->port;
	vhost_user_close(&port->port);
	return NULL;
}
