// A netdev by AF_PACKET sockets: works with every interface, and carries what the kernel has left
// unfinished (partial checksums, large sends), in both directions.

#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "port/driver.h"
#include "port/filter.h"
#include "port/interface.h"
#include "port/landing.h"
#include "port/offload.h"
#include "port/segment.h"

// The kernel's largest frame with headers; what is larger (BIG TCP) is dropped.
#define TAIL_SIZE      (65536 + 512)
#define SEGMENTS_MAX   64
#define RECEIVE_BUFFER (4 << 20)
// Reads without a large frame after which many small ones at a time are expected.
#define LARGE_READS	       64
#define FANOUT_IGNORE_OUTGOING 0x4000 // missing in bookworm's headers

// One frame being received. Large ones are expected in buffers for all of them; else in one buffer,
// and the rest, seldom any, goes behind `tail`.
struct slot {
	uint8_t *tail;
	struct virtio_net_hdr header;
	struct iovec parts[LANDING_FRAME + 1];
	char control[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
};

struct packet_queue {
	int fd;
	// Received and not handed on; those of `cut` are to be cut first.
	struct rte_mbuf *pending[PORT_BURST];
	uint32_t cut; // bits
	uint16_t pending_next;
	uint16_t pending_count;
	bool cutting; // the one at pending_next is begun
	struct segmenter segmenter;
	uint16_t large; // reads for which large frames are expected
	uint8_t *tails;
	struct slot slots[PORT_BURST];
	struct mmsghdr messages[PORT_BURST];
	struct virtio_net_hdr send_headers[PORT_BURST];
	struct iovec send_parts[PORT_BURST][SEGMENTS_MAX + 1];
	struct mmsghdr send_messages[PORT_BURST];
};

struct packet_port {
	struct port port;
	struct rte_mempool *pool;
	unsigned int interface_index;
	bool uplink;
	int promiscuous_fd;
	int guard_fd; // keeps Sluice's packets from the kernel; -1: none
	bool down;
	struct packet_queue *queues[PORT_QUEUES_MAX];
};

static void down_set(struct packet_port *port, bool down)
{
	__atomic_store_n(&port->down, down, __ATOMIC_RELAXED);
}

// The interface is down, or it is gone.
static void failure_note(struct packet_port *port)
{
	char name[IF_NAMESIZE];

	if (errno != ENETDOWN && errno != ENODEV && errno != ENXIO)
		return;
	down_set(port, true);
	if (!if_indextoname(port->interface_index, name))
		port_set_gone(&port->port);
}

// Prepares up to `count` slots. Returns how many are ready to be received into.
static uint16_t slots_prepare(struct packet_queue *queue, struct port_landing *landing,
			      struct rte_mempool *pool, uint16_t count)
{
	uint16_t each = queue->large ? LANDING_FRAME : 1, i;
	struct slot *slot;

	if (queue->large)
		count = RTE_MIN(count, LANDING_FRAMES);
	if (!landing_fill(landing, pool, (uint32_t)count * each)) {
		count = 1;
		if (!landing_fill(landing, pool, each))
			return 0;
	}
	for (i = 0; i < count; i++) {
		slot = &queue->slots[i];
		memcpy(slot->parts + 1, landing->parts + 1 + (size_t)i * each,
		       each * sizeof(slot->parts[0]));
		if (each == 1)
			slot->parts[2] = (struct iovec){slot->tail, TAIL_SIZE};
		queue->messages[i].msg_hdr.msg_iovlen = each == 1 ? 3 : each + 1u;
		queue->messages[i].msg_hdr.msg_controllen = sizeof(slot->control);
	}
	return count;
}

// Appends what lies behind `tail` to a packet.
static bool tail_append(struct rte_mbuf *packet, const uint8_t *tail, uint32_t length,
			struct rte_mempool *pool)
{
	struct rte_mbuf *last = packet;
	uint32_t part;

	while (length) {
		last->next = rte_pktmbuf_alloc(pool);
		if (!last->next)
			return false;
		last = last->next;
		part = RTE_MIN(length, (uint32_t)rte_pktmbuf_tailroom(last));
		memcpy(rte_pktmbuf_mtod(last, void *), tail, part);
		last->data_len = (uint16_t)part;
		packet->nb_segs++;
		packet->pkt_len += part;
		tail += part;
		length -= part;
	}
	return true;
}

// Puts back the VLAN tag that the kernel took out.
static struct rte_mbuf *tag_restore(const struct msghdr *message, struct rte_mbuf *packet)
{
	const struct tpacket_auxdata *data;
	const struct cmsghdr *control;
	uint16_t tag[2];
	char *start;

	control = CMSG_FIRSTHDR(message);
	if (!packet || !control || control->cmsg_level != SOL_PACKET ||
	    control->cmsg_type != PACKET_AUXDATA)
		return packet;
	data = (const struct tpacket_auxdata *)CMSG_DATA(control);
	if (!(data->tp_status & TP_STATUS_VLAN_VALID))
		return packet;
	start = rte_pktmbuf_prepend(packet, sizeof(tag));
	if (!start) {
		rte_pktmbuf_free(packet);
		return NULL;
	}
	memmove(start, start + sizeof(tag), 2 * ETH_ALEN);
	tag[0] = htons(data->tp_status & TP_STATUS_VLAN_TPID_VALID ? data->tp_vlan_tpid
								   : ETH_P_8021Q);
	tag[1] = htons(data->tp_vlan_tci);
	memcpy(start + 2 * ETH_ALEN, tag, sizeof(tag));
	packet_grow_header(packet, sizeof(tag));
	return packet;
}

// The frame in slot `index`, whose buffers begin at `first`. NULL: it was lost, and counted.
static struct rte_mbuf *slot_take(struct packet_port *port, struct packet_queue *queue,
				  struct port_landing *landing, uint16_t index, uint16_t each,
				  enum offload_verdict *verdict)
{
	const struct mmsghdr *message = &queue->messages[index];
	uint32_t length = message->msg_len - (uint32_t)sizeof(struct virtio_net_hdr), head, first;
	struct slot *slot = &queue->slots[index];
	struct rte_mbuf *packet;

	if (message->msg_len < sizeof(slot->header) + ETH_HLEN ||
	    message->msg_hdr.msg_flags & MSG_TRUNC) {
		port_count_receive_error(&port->port, 1);
		return NULL;
	}
	head = each == 1 ? RTE_MIN(length, (uint32_t)slot->parts[1].iov_len) : length;
	first = (uint32_t)index * each;
	packet = landing_take(landing, first, first + each, head);
	if (length > rte_pktmbuf_data_len(packet))
		queue->large = LARGE_READS;
	if (packet->pkt_len < head || !tail_append(packet, slot->tail, length - head, port->pool)) {
		rte_pktmbuf_free(packet);
		port_count_receive_error(&port->port, 1);
		return NULL;
	}
	*verdict = offload_from_virtio(packet, &slot->header);
	if (*verdict == OFFLOAD_BROKEN) {
		rte_pktmbuf_free(packet);
		port_count_offload_error(&port->port, 1);
		return NULL;
	}
	// Outer headers are read and removed once for each packet.
	if (port->uplink && packet->ol_flags & PACKET_SEGMENTATION)
		*verdict = OFFLOAD_CUT;
	return packet;
}

static void queue_read(struct packet_port *port, uint16_t index, uint16_t count)
{
	struct packet_queue *queue = port->queues[index];
	struct port_landing *landing = port->port.landings[index];
	uint16_t each = queue->large ? LANDING_FRAME : 1;
	enum offload_verdict verdict = OFFLOAD_READY;
	struct rte_mbuf *packet;
	int received, i;

	queue->pending_next = 0;
	queue->pending_count = 0;
	queue->cut = 0;
	count = slots_prepare(queue, landing, port->pool, count);
	if (count == 0)
		return;
	received = recvmmsg(queue->fd, queue->messages, count, MSG_DONTWAIT, NULL);
	if (received < 0) {
		// EINVAL: a frame that its virtio header can't describe; the kernel has dropped it.
		if (errno == EINVAL)
			port_count_receive_error(&port->port, 1);
		if (errno != EAGAIN && errno != EINTR)
			failure_note(port);
		return;
	}
	if (unlikely(__atomic_load_n(&port->down, __ATOMIC_RELAXED)))
		down_set(port, false);
	if (queue->large)
		queue->large--;
	for (i = 0; i < received; i++) {
		packet = slot_take(port, queue, landing, (uint16_t)i, each, &verdict);
		packet = tag_restore(&queue->messages[i].msg_hdr, packet);
		if (!packet)
			continue;
		if (unlikely(verdict == OFFLOAD_CUT))
			queue->cut |= UINT32_C(1) << queue->pending_count;
		queue->pending[queue->pending_count++] = packet;
	}
	landing_settle(landing);
}

// The next segment of the packet that is to be cut at pending_next, or NULL if one was lost.
static struct rte_mbuf *segment_take(struct packet_port *port, struct packet_queue *queue)
{
	struct rte_mbuf *packet = queue->pending[queue->pending_next], *segment = NULL;
	uint32_t left = 1;

	if (!queue->cutting) {
		queue->cutting = segmenter_begin(&queue->segmenter, packet, !port->uplink);
		if (!queue->cutting)
			port_count_offload_error(&port->port, 1);
	}
	if (queue->cutting) {
		left = segmenter_left(&queue->segmenter);
		segment = segmenter_next(&queue->segmenter, port->pool);
		left -= segmenter_left(&queue->segmenter);
		if (!segment)
			port_count_receive_error(&port->port, left);
		if (!segmenter_done(&queue->segmenter))
			return segment;
	}
	rte_pktmbuf_free(packet);
	queue->cutting = false;
	queue->pending_next++;
	return segment;
}

static uint16_t packet_receive(struct port *base, uint16_t index, struct rte_mbuf **packets,
			       uint16_t count)
{
	struct packet_port *port = (struct packet_port *)base;
	struct packet_queue *queue = port->queues[index];
	uint16_t taken = 0;
	bool read = false;

	while (taken < count) {
		if (queue->pending_next == queue->pending_count) {
			if (read)
				break;
			queue_read(port, index, RTE_MIN(PORT_BURST, count - taken));
			read = true;
			continue;
		}
		if (likely(!(queue->cut & UINT32_C(1) << queue->pending_next)))
			packets[taken++] = queue->pending[queue->pending_next++];
		else if ((packets[taken] = segment_take(port, queue)))
			taken++;
	}
	return taken;
}

// One message for a packet: a virtio header that says what is left to the kernel, and its segments.
static bool message_fill(struct packet_queue *queue, uint16_t index, struct rte_mbuf *packet)
{
	struct msghdr *message = &queue->send_messages[index].msg_hdr;
	size_t segments = 0;

	if (packet->nb_segs > SEGMENTS_MAX)
		return false;
	if (likely(!(packet->ol_flags & PACKET_UNFINISHED)))
		memset(&queue->send_headers[index], 0, sizeof(queue->send_headers[index]));
	else if (!offload_to_virtio(packet, &queue->send_headers[index]))
		return false;
	for (; packet; packet = packet->next) {
		queue->send_parts[index][++segments].iov_base = rte_pktmbuf_mtod(packet, void *);
		queue->send_parts[index][segments].iov_len = packet->data_len;
	}
	message->msg_iovlen = segments + 1;
	return true;
}

static uint16_t packet_send(struct port *base, uint16_t index, struct rte_mbuf **packets,
			    uint16_t count)
{
	struct packet_port *port = (struct packet_port *)base;
	struct packet_queue *queue = port->queues[index];
	uint16_t filled, taken = 0;
	int sent;

	count = RTE_MIN(count, PORT_BURST);
	while (taken < count) {
		for (filled = 0; taken + filled < count; filled++)
			if (!message_fill(queue, filled, packets[taken + filled]))
				break;
		sent = filled ? sendmmsg(queue->fd, queue->send_messages, filled, MSG_DONTWAIT) : 0;
		if (sent > 0) {
			taken += (uint16_t)sent;
			if (unlikely(__atomic_load_n(&port->down, __ATOMIC_RELAXED)))
				down_set(port, false);
			continue;
		}
		// One that can never be sent must not hold up the others.
		if (filled == 0 || errno == EMSGSIZE || errno == EINVAL) {
			port_count_send_error(base, 1);
			taken++;
			continue;
		}
		failure_note(port);
		break;
	}
	rte_pktmbuf_free_bulk(packets, taken);
	return taken;
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
		munmap(queue->tails, (size_t)TAIL_SIZE * PORT_BURST);
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

static const struct port_driver packet_driver = {
	.name = "AF_PACKET",
	.receive = packet_receive,
	.send = packet_send,
	.arm = packet_arm,
	.disarm = packet_disarm,
	.up = packet_up,
	.check = packet_check,
	.close = packet_close,
};

static int socket_open(struct packet_queue *queue, const struct interface *interface,
		       const struct filter *filter, struct error *err)
{
	struct sockaddr_ll address = {.sll_family = AF_PACKET,
				      .sll_protocol = htons(ETH_P_ALL),
				      .sll_ifindex = (int)interface->index};
	struct sock_filter code[FILTER_CLASSIC_SIZE];
	struct sock_fprog program = {.filter = code};
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
	if (filter->rule_count) {
		program.len = filter_classic(filter, code);
		if (setsockopt(queue->fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) <
		    0)
			return error_errno(err, "%s: packet filter", interface->name);
	}
	if (bind(queue->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return error_errno(err, "%s: packet socket", interface->name);
	return 0;
}

static int queue_open(struct packet_queue **result, const struct interface *interface,
		      const struct filter *filter, struct error *err)
{
	struct packet_queue *queue = calloc(1, sizeof(*queue));
	struct slot *slot;
	int i;

	if (!queue)
		return error_errno(err, "%s", interface->name);
	*result = queue;
	queue->fd = -1;
	// Pages that no large frame reaches are never there.
	queue->tails = mmap(NULL, (size_t)TAIL_SIZE * PORT_BURST, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (queue->tails == MAP_FAILED) {
		queue->tails = NULL;
		return error_errno(err, "%s: buffers", interface->name);
	}
	for (i = 0; i < PORT_BURST; i++) {
		slot = &queue->slots[i];
		slot->tail = queue->tails + (size_t)i * TAIL_SIZE;
		slot->parts[0] = (struct iovec){&slot->header, sizeof(slot->header)};
		queue->messages[i].msg_hdr.msg_iov = slot->parts;
		queue->messages[i].msg_hdr.msg_control = slot->control;
		queue->send_parts[i][0].iov_base = &queue->send_headers[i];
		queue->send_parts[i][0].iov_len = sizeof(queue->send_headers[i]);
		queue->send_messages[i].msg_hdr.msg_iov = queue->send_parts[i];
	}
	return socket_open(queue, interface, filter, err);
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

int packet_port_open(const char *name, const struct port_device *device,
		     const struct interface *interface, const struct port_environment *environment,
		     struct port **result, struct error *err)
{
	struct packet_port *port = calloc(1, sizeof(*port));
	struct filter filter;
	struct error guard;
	uint16_t i;

	if (!port)
		return error_errno(err, "%s", interface->name);
	port_init(&port->port, &packet_driver, name, device->queues);
	port->pool = environment->pool;
	port->interface_index = interface->index;
	port->port.mac = interface->mac;
	port->port.offloads = PORT_OFFLOAD_CHECKSUM | PORT_OFFLOAD_TSO4 | PORT_OFFLOAD_TSO6 |
			      PORT_OFFLOAD_UFO | PORT_OFFLOAD_TUNNEL_CHECKSUM;
	if (kernel_has_uso())
		port->port.offloads |= PORT_OFFLOAD_USO;
	port->uplink = device->uplink;
	port->guard_fd = -1;
	port->promiscuous_fd = interface_hold_promiscuous(interface, err);
	if (port->promiscuous_fd < 0)
		goto fail;
	filter_init(&filter, device->uplink ? &device->vtep : NULL);
	for (i = 0; i < port->port.queues; i++)
		if (queue_open(&port->queues[i], interface, &filter, err) < 0)
			goto fail;
	if (queues_join(port, interface, err) < 0)
		goto fail;
	// A packet socket gets copies: the host would answer or forward what is Sluice's, too.
	port->guard_fd = filter_keep_from_kernel(&filter, interface->index, &guard);
	if (port->guard_fd < 0)
		log_warning("port %s: %s: the host's kernel sees Sluice's packets too: %s", name,
			    interface->name, guard.text);
	*result = &port->port;
	return 0;
fail:
	packet_close(&port->port);
	return -1;
}
