// A netdev by AF_PACKET sockets: works with every interface, and carries what the kernel has left
// unfinished (partial checksums, large sends), which is finished here.

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
#include "port/offload.h"

// The kernel's largest frame with headers; what is larger (BIG TCP) is dropped.
#define TAIL_SIZE	       (65536 + 512)
#define SEGMENTS_MAX	       64
#define RECEIVE_BUFFER	       (4 << 20)
#define FANOUT_IGNORE_OUTGOING 0x4000 // missing in bookworm's headers

// One frame being received: its beginning goes right into a mbuf, the rest, seldom any, behind
// `tail`.
struct slot {
	struct rte_mbuf *head;
	uint8_t *tail;
	struct virtio_net_hdr header;
	struct iovec parts[3];
	char control[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
};

struct packet_queue {
	int fd;
	uint16_t slot_next; // of the frames received, the first not handed on
	uint16_t slot_count;
	bool segmenting; // the slot at slot_next is a large frame, begun
	struct segmenter segmenter;
	uint8_t *tails;
	struct slot slots[PORT_BURST];
	struct mmsghdr messages[PORT_BURST];
	struct iovec send_parts[PORT_BURST][SEGMENTS_MAX + 1];
	struct mmsghdr send_messages[PORT_BURST];
};

struct packet_port {
	struct port port;
	struct rte_mempool *pool;
	unsigned int interface_index;
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

// Fills the first `count` slots. Returns how many are ready to be received into.
static uint16_t slots_prepare(struct packet_queue *queue, struct rte_mempool *pool, uint16_t count)
{
	struct slot *slot;
	uint16_t i;

	for (i = 0; i < count; i++) {
		slot = &queue->slots[i];
		if (!slot->head) {
			slot->head = rte_pktmbuf_alloc(pool);
			if (!slot->head)
				break;
		}
		slot->parts[1].iov_base = rte_pktmbuf_mtod(slot->head, void *);
		slot->parts[1].iov_len = rte_pktmbuf_tailroom(slot->head);
		queue->messages[i].msg_hdr.msg_controllen = sizeof(slot->control);
	}
	return i;
}

static void queue_read(struct packet_port *port, struct packet_queue *queue, uint16_t count)
{
	int received;

	queue->slot_next = 0;
	queue->slot_count = 0;
	count = slots_prepare(queue, port->pool, count);
	if (count == 0)
		return;
	received = recvmmsg(queue->fd, queue->messages, count, MSG_DONTWAIT, NULL);
	if (received > 0) {
		queue->slot_count = (uint16_t)received;
		if (unlikely(__atomic_load_n(&port->down, __ATOMIC_RELAXED)))
			down_set(port, false);
	} else if (received < 0 && errno != EAGAIN && errno != EINTR) {
		// EINVAL: a frame that its virtio header can't describe; the kernel has dropped it.
		if (errno == EINVAL)
			port_count_receive_error(&port->port, 1);
		failure_note(port);
	}
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
	return packet;
}

// A frame that is one packet. Takes the slot's mbuf.
static struct rte_mbuf *slot_packet(struct packet_port *port, struct slot *slot, uint32_t length)
{
	struct rte_mbuf *packet = slot->head, *rest;
	uint32_t head = RTE_MIN(length, (uint32_t)slot->parts[1].iov_len);
	struct frame tail;

	slot->head = NULL;
	packet->data_len = (uint16_t)head;
	packet->pkt_len = head;
	if (length > head) {
		tail = (struct frame){
			.head = slot->tail, .head_length = length - head, .length = length - head};
		rest = frame_copy(&tail, 0, tail.length, 0, port->pool);
		if (!rest || rte_pktmbuf_chain(packet, rest) < 0) {
			rte_pktmbuf_free(rest);
			goto drop;
		}
	}
	if (slot->header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM &&
	    !checksum_complete(packet, slot->header.csum_start, slot->header.csum_offset))
		goto drop;
	return packet;
drop:
	rte_pktmbuf_free(packet);
	return NULL;
}

// The next packet of the frame at slot_next, or NULL if one was lost. Goes on to the next slot
// behind its last.
static struct rte_mbuf *slot_take(struct packet_port *port, struct packet_queue *queue)
{
	struct slot *slot = &queue->slots[queue->slot_next];
	struct mmsghdr *message = &queue->messages[queue->slot_next];
	uint32_t length = message->msg_len - (uint32_t)sizeof(slot->header);
	struct rte_mbuf *packet = NULL;
	struct frame frame;

	if (message->msg_len < sizeof(slot->header) + ETH_HLEN ||
	    message->msg_hdr.msg_flags & MSG_TRUNC)
		goto next;
	if (slot->header.gso_type == VIRTIO_NET_HDR_GSO_NONE) {
		packet = tag_restore(&message->msg_hdr, slot_packet(port, slot, length));
		goto next;
	}
	if (!queue->segmenting) {
		frame.head = slot->parts[1].iov_base;
		frame.head_length = RTE_MIN(length, (uint32_t)slot->parts[1].iov_len);
		frame.tail = slot->tail;
		frame.length = length;
		if (!segmenter_begin(&queue->segmenter, &frame, &slot->header))
			goto next;
		queue->segmenting = true;
	}
	packet = tag_restore(&message->msg_hdr, segmenter_next(&queue->segmenter, port->pool));
	if (!segmenter_done(&queue->segmenter))
		goto out;
next:
	queue->segmenting = false;
	queue->slot_next++;
out:
	if (!packet)
		port_count_receive_error(&port->port, 1);
	return packet;
}

static uint16_t packet_receive(struct port *base, uint16_t index, struct rte_mbuf **packets,
			       uint16_t count)
{
	struct packet_port *port = (struct packet_port *)base;
	struct packet_queue *queue = port->queues[index];
	uint16_t taken = 0;
	bool read = false;

	while (taken < count) {
		if (queue->slot_next == queue->slot_count) {
			if (read)
				break;
			queue_read(port, queue, RTE_MIN(PORT_BURST, count - taken));
			read = true;
			continue;
		}
		packets[taken] = slot_take(port, queue);
		if (packets[taken])
			taken++;
	}
	return taken;
}

// One message for a packet: an empty virtio header, for packets are complete, and its segments.
static bool message_fill(struct packet_queue *queue, uint16_t index, struct rte_mbuf *packet)
{
	struct msghdr *message = &queue->send_messages[index].msg_hdr;
	size_t segments = 0;

	if (packet->nb_segs > SEGMENTS_MAX)
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
	if (queue->slot_next < queue->slot_count)
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
	for (i = 0; i < PORT_BURST; i++)
		rte_pktmbuf_free(queue->slots[i].head);
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
	static const struct virtio_net_hdr empty;
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
		slot->parts[2] = (struct iovec){slot->tail, TAIL_SIZE};
		queue->messages[i].msg_hdr.msg_iov = slot->parts;
		queue->messages[i].msg_hdr.msg_iovlen = 3;
		queue->messages[i].msg_hdr.msg_control = slot->control;
		// sendmmsg only reads it.
		queue->send_parts[i][0].iov_base = (void *)(uintptr_t)&empty;
		queue->send_parts[i][0].iov_len = sizeof(empty);
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
