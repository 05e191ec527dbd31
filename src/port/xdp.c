// A netdev by AF_XDP: packets pass between the interface's driver and memory shared with the
// kernel, and what the filter leaves goes on to the host's network stack. Packets are copied to and
// from mbufs.

#include <errno.h>
#include <linux/if_link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <xdp/xsk.h>

#include "base/log.h"
#include "port/chain.h"
#include "port/driver.h"
#include "port/filter.h"
#include "port/interface.h"

// Hardware queues that get a socket; more would cost memory that few need.
#define SOCKETS_MAX   64
#define RECEIVE_SIZE  1024
#define TRANSMIT_SIZE 512
#define FRAME_COUNT   (RECEIVE_SIZE + TRANSMIT_SIZE)
#define FRAME_SMALL   2048
#define FRAME_LARGE   4096
// In front of a frame's packet, and behind it where a driver makes a skb of it.
#define FRAME_MARGIN (256 + 320)

// One hardware queue: a socket with memory of its own.
struct xdp_socket {
	struct xsk_socket *socket;
	struct xsk_umem *umem;
	uint8_t *memory;
	struct xsk_ring_cons receive;
	struct xsk_ring_prod transmit;
	struct xsk_ring_prod fill;
	struct xsk_ring_cons completion;
	// Frames for sending that the kernel does not have.
	uint32_t free_count;
	uint64_t free[TRANSMIT_SIZE];
};

struct xdp_port {
	struct port port;
	struct rte_mempool *pool;
	unsigned int interface_index;
	uint32_t frame_size;
	uint32_t frame_room; // largest packet
	uint32_t socket_count;
	int map_fd;
	int link_fd;
	int promiscuous_fd; // for other MAC addresses, and multicast that the kernel has not joined
	bool down;
	// A port's queue q polls the sockets q, q + queues, ... in turn, all of them in its
	// epoll_fd.
	int epoll_fds[PORT_QUEUES_MAX];
	uint32_t turns[PORT_QUEUES_MAX];
	struct xdp_socket sockets[];
};

// From errno of a system call that failed.
static void failure_note(struct xdp_port *port)
{
	char name[IF_NAMESIZE];

	if (errno != ENETDOWN && errno != ENXIO && errno != ENODEV && errno != EBADF)
		return;
	__atomic_store_n(&port->down, true, __ATOMIC_RELAXED);
	if (!if_indextoname(port->interface_index, name))
		port_set_gone(&port->port);
}

static inline void success_note(struct xdp_port *port)
{
	if (unlikely(__atomic_load_n(&port->down, __ATOMIC_RELAXED)))
		__atomic_store_n(&port->down, false, __ATOMIC_RELAXED);
}

static struct rte_mbuf *packet_copy(struct xdp_port *port, const uint8_t *data, uint32_t length)
{
	struct rte_mbuf *first = rte_pktmbuf_alloc(port->pool), *last = first;

	if (first && !chain_append(first, &last, data, length, port->pool)) {
		rte_pktmbuf_free(first);
		return NULL;
	}
	return first;
}

static uint16_t socket_receive(struct xdp_port *port, struct xdp_socket *socket,
			       struct rte_mbuf **packets, uint16_t count)
{
	uint32_t receive_index, fill_index, ready, i, taken = 0;
	const struct xdp_desc *descriptor;

	ready = xsk_ring_cons__peek(&socket->receive, count, &receive_index);
	if (ready == 0) {
		if (unlikely(xsk_ring_prod__needs_wakeup(&socket->fill)))
			recvfrom(xsk_socket__fd(socket->socket), NULL, 0, MSG_DONTWAIT, NULL, NULL);
		return 0;
	}
	// There is room: as many frames are outside the fill ring as were received.
	if (xsk_ring_prod__reserve(&socket->fill, ready, &fill_index) != ready) {
		xsk_ring_cons__cancel(&socket->receive, ready);
		return 0;
	}
	for (i = 0; i < ready; i++) {
		descriptor = xsk_ring_cons__rx_desc(&socket->receive, receive_index + i);
		packets[taken] =
			packet_copy(port, xsk_umem__get_data(socket->memory, descriptor->addr),
				    descriptor->len);
		if (packets[taken])
			taken++;
		else
			port_count_receive_error(&port->port, 1);
		*xsk_ring_prod__fill_addr(&socket->fill, fill_index + i) =
			descriptor->addr - descriptor->addr % port->frame_size;
	}
	xsk_ring_prod__submit(&socket->fill, ready);
	xsk_ring_cons__release(&socket->receive, ready);
	success_note(port);
	return (uint16_t)taken;
}

static uint16_t xdp_receive(struct port *base, uint16_t queue, struct rte_mbuf **packets,
			    uint16_t count)
{
	struct xdp_port *port = (struct xdp_port *)base;
	uint32_t mine = (port->socket_count - queue + base->queues - 1) / base->queues, i, index;
	uint16_t taken = 0;

	// Another one is first each time, so that a busy one does not keep out the rest.
	for (i = 0; i < mine && taken < count; i++) {
		index = queue + (port->turns[queue] + i) % mine * base->queues;
		taken +=
			socket_receive(port, &port->sockets[index], packets + taken, count - taken);
	}
	port->turns[queue]++;
	return taken;
}

// Takes back the frames that were sent.
static void frames_reclaim(struct xdp_port *port, struct xdp_socket *socket)
{
	uint32_t index, count, i;
	uint64_t address;

	count = xsk_ring_cons__peek(&socket->completion, TRANSMIT_SIZE - socket->free_count,
				    &index);
	for (i = 0; i < count; i++) {
		address = *xsk_ring_cons__comp_addr(&socket->completion, index + i);
		socket->free[socket->free_count++] = address - address % port->frame_size;
	}
	xsk_ring_cons__release(&socket->completion, count);
}

static void transmit_wake(struct xdp_port *port, struct xdp_socket *socket)
{
	if (!xsk_ring_prod__needs_wakeup(&socket->transmit))
		return;
	if (sendto(xsk_socket__fd(socket->socket), NULL, 0, MSG_DONTWAIT, NULL, 0) < 0 &&
	    errno != EAGAIN && errno != EBUSY && errno != ENOBUFS)
		failure_note(port);
}

static void packet_flatten(const struct rte_mbuf *packet, uint8_t *to)
{
	for (; packet; packet = packet->next) {
		memcpy(to, rte_pktmbuf_mtod(packet, void *), packet->data_len);
		to += packet->data_len;
	}
}

static uint16_t xdp_send(struct port *base, uint16_t queue, struct rte_mbuf **packets,
			 uint16_t count)
{
	struct xdp_port *port = (struct xdp_port *)base;
	struct xdp_socket *socket = &port->sockets[queue];
	struct xdp_desc *descriptor;
	uint32_t index, sent = 0;
	uint16_t taken;
	uint64_t frame;

	if (unlikely(port_is_gone(base)))
		return 0;
	if (socket->free_count < count)
		frames_reclaim(port, socket);
	for (taken = 0; taken < count; taken++) {
		if (unlikely(packets[taken]->pkt_len > port->frame_room)) {
			port_count_send_error(base, 1);
			continue;
		}
		if (socket->free_count == 0 ||
		    xsk_ring_prod__reserve(&socket->transmit, 1, &index) == 0)
			break;
		frame = socket->free[--socket->free_count];
		packet_flatten(packets[taken], xsk_umem__get_data(socket->memory, frame));
		descriptor = xsk_ring_prod__tx_desc(&socket->transmit, index);
		descriptor->addr = frame;
		descriptor->len = packets[taken]->pkt_len;
		descriptor->options = 0;
		sent++;
	}
	if (sent) {
		xsk_ring_prod__submit(&socket->transmit, sent);
		success_note(port);
	}
	// Also when the ring is full: an earlier call may have sent a part only.
	transmit_wake(port, socket);
	rte_pktmbuf_free_bulk(packets, taken);
	return taken;
}

static bool xdp_arm(struct port *base, uint16_t queue, int *fd)
{
	struct xdp_port *port = (struct xdp_port *)base;
	struct xdp_socket *socket = &port->sockets[queue];
	socklen_t size = sizeof(errno);

	*fd = -1;
	// Nothing else tells that the interface was removed.
	if (getsockopt(xsk_socket__fd(socket->socket), SOL_SOCKET, SO_ERROR, &errno, &size) == 0 &&
	    errno != 0)
		failure_note(port);
	if (port_is_gone(base))
		return true;
	// Nobody else sends what the kernel has not taken yet.
	frames_reclaim(port, socket);
	if (socket->free_count < TRANSMIT_SIZE)
		transmit_wake(port, socket);
	*fd = port->epoll_fds[queue];
	return true;
}

static void xdp_disarm(struct port *base, uint16_t queue)
{
	// A socket is readable as long as there are packets.
}

static bool xdp_up(const struct port *base)
{
	const struct xdp_port *port = (const struct xdp_port *)base;

	return !port_is_gone(base) && !__atomic_load_n(&port->down, __ATOMIC_RELAXED);
}

static void socket_close(struct xdp_port *port, struct xdp_socket *socket)
{
	if (socket->socket)
		xsk_socket__delete(socket->socket);
	if (socket->umem)
		xsk_umem__delete(socket->umem);
	if (socket->memory)
		munmap(socket->memory, (size_t)FRAME_COUNT * port->frame_size);
}

static void xdp_close(struct port *base)
{
	struct xdp_port *port = (struct xdp_port *)base;
	uint32_t i;

	// The program first: from then on the host's kernel gets every packet.
	if (port->link_fd >= 0)
		close(port->link_fd);
	for (i = 0; i < port->socket_count; i++)
		socket_close(port, &port->sockets[i]);
	if (port->map_fd >= 0)
		close(port->map_fd);
	if (port->promiscuous_fd >= 0)
		close(port->promiscuous_fd);
	for (i = 0; i < PORT_QUEUES_MAX; i++)
		if (port->epoll_fds[i] >= 0)
			close(port->epoll_fds[i]);
	free(port);
}

// A socket hears once that its interface is down, and nothing more when that goes for good.
static void xdp_check(struct port *base)
{
	const struct xdp_port *port = (const struct xdp_port *)base;
	char name[IF_NAMESIZE];

	if (!if_indextoname(port->interface_index, name))
		port_set_gone(base);
}

static const struct port_driver xdp_driver = {
	.name = "AF_XDP",
	.receive = xdp_receive,
	.send = xdp_send,
	.arm = xdp_arm,
	.disarm = xdp_disarm,
	.up = xdp_up,
	.check = xdp_check,
	.close = xdp_close,
};

static int socket_open(struct xdp_port *port, const struct interface *interface, uint32_t queue,
		       uint32_t mode, struct error *err)
{
	struct xdp_socket *socket = &port->sockets[queue];
	const struct xsk_umem_config umem = {.fill_size = RECEIVE_SIZE,
					     .comp_size = TRANSMIT_SIZE,
					     .frame_size = port->frame_size};
	const struct xsk_socket_config config = {
		.rx_size = RECEIVE_SIZE,
		.tx_size = TRANSMIT_SIZE,
		.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
		.xdp_flags = mode,
		.bind_flags = XDP_USE_NEED_WAKEUP | (mode == XDP_FLAGS_SKB_MODE ? XDP_COPY : 0)};
	size_t size = (size_t)FRAME_COUNT * port->frame_size;
	uint32_t index, i;

	socket->memory =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (socket->memory == MAP_FAILED) {
		socket->memory = NULL;
		return error_errno(err, "%s: AF_XDP buffers", interface->name);
	}
	errno = -xsk_umem__create(&socket->umem, socket->memory, size, &socket->fill,
				  &socket->completion, &umem);
	if (errno)
		return error_errno(err, "%s: AF_XDP buffers", interface->name);
	errno = -xsk_socket__create(&socket->socket, interface->name, queue, socket->umem,
				    &socket->receive, &socket->transmit, &config);
	if (errno)
		return error_errno(err, "%s: AF_XDP socket of queue %u", interface->name, queue);
	if (xsk_ring_prod__reserve(&socket->fill, RECEIVE_SIZE, &index) != RECEIVE_SIZE)
		return error_set(err, "%s: AF_XDP fill ring", interface->name);
	for (i = 0; i < RECEIVE_SIZE; i++)
		*xsk_ring_prod__fill_addr(&socket->fill, index + i) =
			(uint64_t)i * port->frame_size;
	xsk_ring_prod__submit(&socket->fill, RECEIVE_SIZE);
	for (; i < FRAME_COUNT; i++)
		socket->free[socket->free_count++] = (uint64_t)i * port->frame_size;
	return 0;
}

static int sockets_open(struct xdp_port *port, const struct interface *interface, uint32_t mode,
			struct error *err)
{
	struct epoll_event event = {.events = EPOLLIN};
	uint32_t queue, i;
	int fd;

	for (i = 0; i < port->port.queues; i++) {
		port->epoll_fds[i] = epoll_create1(EPOLL_CLOEXEC);
		if (port->epoll_fds[i] < 0)
			return error_errno(err, "%s: epoll", interface->name);
	}
	for (queue = 0; queue < port->socket_count; queue++) {
		if (socket_open(port, interface, queue, mode, err) < 0)
			return -1;
		fd = xsk_socket__fd(port->sockets[queue].socket);
		if (epoll_ctl(port->epoll_fds[queue % port->port.queues], EPOLL_CTL_ADD, fd,
			      &event) < 0 ||
		    bpf_map_update_elem(port->map_fd, &queue, &fd, BPF_ANY) < 0)
			return error_errno(err, "%s: AF_XDP socket", interface->name);
	}
	return 0;
}

// Attached by a link, the program goes when its descriptor does, even if Sluice is killed: a
// program that is found there is somebody else's.
static int program_attach(struct xdp_port *port, const struct interface *interface,
			  const struct filter *filter, uint32_t mode, struct error *err)
{
	LIBBPF_OPTS(bpf_link_create_opts, options, .flags = mode);
	int program;

	program = filter_load_xdp(filter, port->map_fd, err);
	if (program < 0)
		return -1;
	port->link_fd = bpf_link_create(program, (int)interface->index, BPF_XDP, &options);
	close(program);
	if (port->link_fd >= 0)
		return 0;
	errno = -port->link_fd;
	port->link_fd = -1;
	if (errno == EBUSY || errno == EEXIST)
		return error_set(err, "%s has an XDP program of somebody else's", interface->name);
	return error_errno(err, "%s: XDP program", interface->name);
}

static int mode_open(const char *name, const struct port_device *device,
		     const struct interface *interface, const struct port_environment *environment,
		     uint32_t mode, struct port **result, struct error *err)
{
	uint32_t sockets = RTE_MIN(interface->receive_queues, (uint32_t)SOCKETS_MAX);
	struct xdp_port *port;
	struct filter filter;
	int i;

	port = calloc(1, sizeof(*port) + sockets * sizeof(port->sockets[0]));
	if (!port)
		return error_errno(err, "%s", interface->name);
	port_init(&port->port, &xdp_driver, name, (uint16_t)RTE_MIN(device->queues, sockets));
	port->port.mac = interface->mac;
	port->pool = environment->pool;
	port->interface_index = interface->index;
	port->frame_size = interface->mtu + PORT_FRAME_OVERHEAD + FRAME_MARGIN <= FRAME_SMALL
				   ? FRAME_SMALL
				   : FRAME_LARGE;
	port->frame_room = interface->mtu + PORT_FRAME_OVERHEAD;
	port->link_fd = -1;
	port->map_fd = -1;
	for (i = 0; i < PORT_QUEUES_MAX; i++)
		port->epoll_fds[i] = -1;
	port->promiscuous_fd = interface_hold_promiscuous(interface, err);
	if (port->promiscuous_fd < 0)
		goto fail;
	port->map_fd = bpf_map_create(BPF_MAP_TYPE_XSKMAP, "sluice", sizeof(uint32_t),
				      sizeof(uint32_t), SOCKETS_MAX, NULL);
	if (port->map_fd < 0) {
		errno = -port->map_fd;
		error_errno(err, "%s: XDP map", interface->name);
		goto fail;
	}
	port->socket_count = sockets;
	filter_init(&filter, device->uplink ? &device->vtep : NULL, environment->claims);
	// Some drivers have sockets only while a program is there.
	if (program_attach(port, interface, &filter, mode, err) < 0 ||
	    sockets_open(port, interface, mode, err) < 0)
		goto fail;
	*result = &port->port;
	return 0;
fail:
	xdp_close(&port->port);
	return -1;
}

int xdp_port_open(const char *name, const struct port_device *device,
		  const struct interface *interface, const struct port_environment *environment,
		  struct port **result, struct error *err)
{
	struct error native;

	if (interface->mtu + PORT_FRAME_OVERHEAD + FRAME_MARGIN > FRAME_LARGE)
		return error_set(err, "AF_XDP carries an MTU of %d at most, and %s has %u",
				 FRAME_LARGE - FRAME_MARGIN - PORT_FRAME_OVERHEAD, interface->name,
				 interface->mtu);
	if (interface->receive_queues > SOCKETS_MAX)
		return error_set(err, "%s has %u receive queues, AF_XDP takes %d at most",
				 interface->name, interface->receive_queues, SOCKETS_MAX);
	if (mode_open(name, device, interface, environment, XDP_FLAGS_DRV_MODE, result, &native) ==
	    0)
		return 0;
	if (mode_open(name, device, interface, environment, XDP_FLAGS_SKB_MODE, result, err) < 0)
		return -1;
	log_info("AF_XDP not in the interface's driver", log_text("port", name),
		 log_text("device", interface->name), log_text("reason", native.text));
	return 0;
}
