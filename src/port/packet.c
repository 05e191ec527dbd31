// A netdev by AF_PACKET sockets: works with every interface, and carries what the kernel has left
// unfinished (partial checksums, large sends), in both directions.

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "base/log.h"
#include "port/filter.h"
#include "port/interface.h"
#include "port/packet/queue.h"
#include "port/parts.h"

#define RECEIVE_BUFFER	       (4 << 20)
#define FANOUT_IGNORE_OUTGOING 0x4000 // missing in bookworm's headers

void packet_note_failure(struct packet_port *port)
{
	char name[IF_NAMESIZE];

	if (errno != ENETDOWN && errno != ENODEV && errno != ENXIO)
		return;
	__atomic_store_n(&port->down, true, __ATOMIC_RELAXED);
	if (!if_indextoname(port->interface_index, name))
		port_set_gone(&port->port);
}

static bool packet_arm(struct port *base, uint16_t index, int *fd)
{
	const struct packet_queue *queue = ((struct packet_port *)base)->queues[index];

	*fd = -1;
	if (queue->pending_next < queue->pending_count)
		return false;
	// A socket whose interface is gone reports nothing but errors, and those without end.
	if (!port_is_gone(base))
		*fd = queue->fd;
	return true;
}

static void packet_disarm(struct port *base, uint16_t index)
{
	// The descriptor is readable as long as there are packets; nothing is left to undo.
}

static bool packet_up(const struct port *base)
{
	const struct packet_port *port = (const struct packet_port *)base;

	return !port_is_gone(base) && !__atomic_load_n(&port->down, __ATOMIC_RELAXED);
}

static void queue_free(struct packet_queue *queue)
{
	int i;

	if (!queue)
		return;
	for (i = queue->pending_next; i < queue->pending_count; i++)
		rte_pktmbuf_free(queue->pending[i]);
	if (queue->tails)
		munmap(queue->tails, (size_t)PACKET_TAIL_SIZE * PORT_BURST);
	if (queue->fd >= 0)
		close(queue->fd);
	free(queue);
}

static void packet_close(struct port *base)
{
	struct packet_port *port = (struct packet_port *)base;
	int i;

	for (i = 0; i < PORT_QUEUES_MAX; i++)
		queue_free(port->queues[i]);
	if (port->forward_fd >= 0)
		close(port->forward_fd);
	if (port->tunnel_fd >= 0)
		close(port->tunnel_fd);
	if (port->guard_fd >= 0)
		close(port->guard_fd);
	if (port->promiscuous_fd >= 0)
		close(port->promiscuous_fd);
	free(port);
}

// A socket hears once that its interface is down, and nothing more when that goes for good.
static void packet_check(struct port *base)
{
	const struct packet_port *port = (const struct packet_port *)base;
	char name[IF_NAMESIZE];

	if (!if_indextoname(port->interface_index, name))
		port_set_gone(base);
}

// The sockets, with what waits in them. Programs are made anew: they use maps of their process.
static bool packet_hand_over(struct port *base, struct port_parts *parts)
{
	const struct packet_port *port = (const struct packet_port *)base;
	bool complete =
		port_parts_add(parts, PORT_PART_PROMISCUOUS, NULL, 0, &port->promiscuous_fd, 1);

	for (int i = 0; i < base->queues; i++)
		complete &=
			port_parts_add(parts, PORT_PART_QUEUE, NULL, 0, &port->queues[i]->fd, 1);
	return complete;
}

static bool packet_settle(struct port *base);

static const struct port_driver packet_driver = {
	.name = "AF_PACKET",
	.receive = packet_receive,
	.send = packet_send,
	.arm = packet_arm,
	.disarm = packet_disarm,
	.up = packet_up,
	.check = packet_check,
	.hand_over = packet_hand_over,
	.settle = packet_settle,
	.close = packet_close,
};

static int filter_attach(int socket, const struct filter *filter, struct error *err)
{
	struct sock_filter code[FILTER_CLASSIC_SIZE];
	struct sock_fprog program = {.filter = code};
	int loaded, result;

	if (!filter->rule_count)
		return 0;
	if (!filter->claims) {
		program.len = filter_classic(filter, code);
		return setsockopt(socket, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
	}
	loaded = filter_load_socket(filter, err);
	if (loaded < 0)
		return -1;
	result = setsockopt(socket, SOL_SOCKET, SO_ATTACH_BPF, &loaded, sizeof(loaded));
	close(loaded);
	return result;
}

static int socket_open(struct packet_queue *queue, const struct interface *interface,
		       const struct filter *filter, struct error *err)
{
	struct sockaddr_ll address = {.sll_family = AF_PACKET,
				      .sll_protocol = htons(ETH_P_ALL),
				      .sll_ifindex = (int)interface->index};
	int on = 1, size = RECEIVE_BUFFER;

	// Without a protocol nothing is received before all is set up.
	queue->fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (queue->fd < 0)
		return error_errno(err, "%s: packet socket", interface->name);
	if (setsockopt(queue->fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)) < 0 ||
	    setsockopt(queue->fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on)) < 0 ||
	    setsockopt(queue->fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) < 0)
		return error_errno(err, "%s: packet socket's options", interface->name);
	if (setsockopt(queue->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(queue->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (filter_attach(queue->fd, filter, err) < 0)
		return error_errno(err, "%s: packet filter", interface->name);
	if (bind(queue->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return error_errno(err, "%s: packet socket", interface->name);
	return 0;
}

// With a socket that there is already, or none (-1).
static int queue_open(struct packet_queue **result, const struct interface *interface,
		      const struct filter *filter, int fd, struct error *err)
{
	struct packet_queue *queue = calloc(1, sizeof(*queue));
	struct packet_slot *slot;
	int i;

	if (!queue)
		return error_errno(err, "%s", interface->name);
	*result = queue;
	queue->fd = fd;
	// Pages that no large frame reaches are never there.
	queue->tails = mmap(NULL, (size_t)PACKET_TAIL_SIZE * PORT_BURST, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (queue->tails == MAP_FAILED) {
		queue->tails = NULL;
		return error_errno(err, "%s: buffers", interface->name);
	}
	for (i = 0; i < PORT_BURST; i++) {
		slot = &queue->slots[i];
		slot->tail = queue->tails + (size_t)i * PACKET_TAIL_SIZE;
		slot->parts[0] = (struct iovec){&slot->header, sizeof(slot->header)};
		queue->messages[i].msg_hdr.msg_iov = slot->parts;
		queue->messages[i].msg_hdr.msg_control = slot->control;
		queue->send_parts[i][0].iov_base = &queue->send_headers[i];
		queue->send_parts[i][0].iov_len = sizeof(queue->send_headers[i]);
		queue->send_messages[i].msg_hdr.msg_iov = queue->send_parts[i];
	}
	return fd < 0 ? socket_open(queue, interface, filter, err) : 0;
}

// Several sockets share an interface's packets by flow.
static int queues_join(struct packet_port *port, const struct interface *interface,
		       struct error *err)
{
	int fanout = (PACKET_FANOUT_HASH | PACKET_FANOUT_FLAG_UNIQUEID | FANOUT_IGNORE_OUTGOING)
		     << 16;
	socklen_t size = sizeof(fanout);
	uint16_t i;

	for (i = 0; port->port.queues > 1 && i < port->port.queues; i++) {
		if (setsockopt(port->queues[i]->fd, SOL_PACKET, PACKET_FANOUT, &fanout,
			       sizeof(fanout)) < 0)
			return error_errno(err, "%s: packet fanout", interface->name);
		// The kernel chose the group's number.
		if (i == 0) {
			if (getsockopt(port->queues[0]->fd, SOL_PACKET, PACKET_FANOUT, &fanout,
				       &size) < 0)
				return error_errno(err, "%s: packet fanout", interface->name);
			fanout &= ~(PACKET_FANOUT_FLAG_UNIQUEID << 16);
		}
	}
	return 0;
}

// What the uplink's program leaves to Sluice is still not all.
static int filter_enter(const struct filter *filter, const struct port_programs *programs,
			struct error *err)
{
	int program = filter_load_socket(filter, err), error;
	uint32_t first = 0;

	if (program < 0)
		return -1;
	error = bpf_map_update_elem(programs->filters, &first, &program, BPF_ANY);
	close(program);
	if (error < 0)
		return error_errno(err, "BPF program of the packet filter");
	return 0;
}

static int programs_enter(struct packet_port *port, const struct port_programs *programs,
			  const struct filter *filter, struct error *err)
{
	const int *decide = port->uplink ? &programs->decide_tunnel : &programs->decide;
	int i;

	port->forward_fd = filter_attach_ingress(programs->forward, port->interface_index, err);
	if (port->forward_fd < 0 || (port->uplink && filter_enter(filter, programs, err) < 0))
		return -1;
	for (i = 0; i < port->port.queues; i++)
		if (setsockopt(port->queues[i]->fd, SOL_SOCKET, SO_ATTACH_BPF, decide,
			       sizeof(*decide)) < 0)
			return error_errno(err, "BPF program at a packet socket");
	return 0;
}

// Where that can't be, Sluice cuts what is to go into tunnels.
static void tunnel_attach(struct packet_port *port, const struct port_programs *programs)
{
	struct error why;
	int i;

	for (i = 0; i < port->port.queues; i++)
		if (setsockopt(port->queues[i]->fd, SOL_SOCKET, SO_MARK, &programs->mark,
			       sizeof(programs->mark)) < 0)
			return;
	port->tunnel_fd = filter_attach_egress(programs->tunnel_send, port->interface_index, &why);
	if (port->tunnel_fd >= 0)
		port->port.offloads |= PORT_OFFLOAD_TUNNEL_TSO;
}

// Where that can't be, all packets come to Sluice. The program at the ingress hook must stand
// before the guard, which passes nothing on.
static void programs_attach(struct packet_port *port, const char *name,
			    const struct port_programs *programs, const struct filter *filter)
{
	struct error why;

	if (programs_enter(port, programs, filter, &why) == 0)
		port->port.offload_interface = port->interface_index;
	else
		log_warning("connections do not go on in the kernel",
			    log_text("port", port->port.name), log_text("device", name),
			    log_text("reason", why.text));
}

static int queues_open(struct packet_port *port, const struct interface *interface,
		       const struct filter *filter, struct error *err)
{
	for (int i = 0; i < port->port.queues; i++)
		if (queue_open(&port->queues[i], interface, filter, -1, err) < 0)
			return -1;
	return queues_join(port, interface, err);
}

static int queues_take(struct packet_port *port, const struct interface *interface,
		       struct port_parts *parts, struct error *err)
{
	struct port_part *part = port_parts_take(parts, PORT_PART_PROMISCUOUS);
	uint16_t count = 0;

	if (part)
		port->promiscuous_fd = port_part_fd(part);
	while (count < PORT_QUEUES_MAX &&
	       (part = port_parts_take(parts, PORT_PART_QUEUE)) != NULL) {
		int fd = port_part_fd(part);

		if (fd < 0)
			return error_set(err, "%s: a queue without its socket", interface->name);
		if (queue_open(&port->queues[count], interface, &port->filter, fd, err) < 0) {
			if (!port->queues[count])
				close(fd);
			return -1;
		}
		count++;
	}
	port->port.queues = count;
	return count ? 0 : error_set(err, "%s: no queues", interface->name);
}

// What the kernel does with the interface's packets beside their copies for us: without it the host
// would answer or forward what is Sluice's, too.
static void kernel_attach(struct packet_port *port)
{
	struct error guard;

	if (port->programs)
		programs_attach(port, port->device, port->programs, &port->filter);
	if (port->environment->programs && port->uplink)
		tunnel_attach(port, port->environment->programs);
	port->guard_fd = filter_keep_from_kernel(&port->filter, port->interface_index, &guard);
	if (port->guard_fd < 0)
		log_warning("the host's kernel sees Sluice's packets too",
			    log_text("port", port->port.name), log_text("device", port->device),
			    log_text("reason", guard.text));
}

// The sockets have the other process's filter still, which says the same by its own maps.
static bool packet_settle(struct port *base)
{
	struct packet_port *port = (struct packet_port *)base;
	struct error err;

	kernel_attach(port);
	for (int i = 0; !base->offload_interface && i < base->queues; i++)
		if (filter_attach(port->queues[i]->fd, &port->filter, &err) < 0)
			log_warning("the host's packets come to Sluice, too",
				    log_text("port", base->name), log_text("device", port->device),
				    log_text("reason", err.text));
	return base->offload_interface;
}

int packet_port_open(const char *name, const struct port_device *device,
		     const struct interface *interface, const struct port_environment *environment,
		     struct port_parts *parts, struct port **result, struct error *err)
{
	struct packet_port *port = calloc(1, sizeof(*port));
	bool given = parts && parts->count;

	if (!port)
		return error_errno(err, "%s", interface->name);
	port_init(&port->port, &packet_driver, name, device->queues);
	port->pool = environment->pool;
	port->interface_index = interface->index;
	port->port.mac = interface->mac;
	port->port.offloads = PORT_OFFLOAD_CHECKSUM | PORT_OFFLOAD_TSO4 | PORT_OFFLOAD_TSO6 |
			      PORT_OFFLOAD_TSO_CWR | PORT_OFFLOAD_UFO |
			      PORT_OFFLOAD_TUNNEL_CHECKSUM;
	if (kernel_has_uso())
		port->port.offloads |= PORT_OFFLOAD_USO;
	port->uplink = device->uplink;
	port->guard_fd = port->forward_fd = port->tunnel_fd = -1;
	port->promiscuous_fd = -1;
	port->environment = environment;
	port->programs = device->member ? NULL : environment->programs;
	snprintf(port->device, sizeof(port->device), "%s", interface->name);
	filter_init(&port->filter, device->uplink ? &device->vtep : NULL, environment->claims);
	if (given ? queues_take(port, interface, parts, err)
		  : queues_open(port, interface, &port->filter, err))
		goto fail;
	if (port->promiscuous_fd < 0)
		port->promiscuous_fd = interface_hold_promiscuous(interface, err);
	if (port->promiscuous_fd < 0)
		goto fail;
	// The other process's are still there, and these take long.
	if (!given)
		kernel_attach(port);
	*result = &port->port;
	return 0;
fail:
	packet_close(&port->port);
	return -1;
}
