// Receiving: a burst of frames with one system call, and the cutting of those that must not be
// large.

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <string.h>

#include "port/chain.h"
#include "port/offload.h"
#include "port/packet/queue.h"

// Reads without a large frame after which many small ones at a time are expected.
#define LARGE_READS 64

// Prepares up to `count` slots. Returns how many are ready to be received into.
static uint16_t slots_prepare(struct packet_queue *queue, struct port_landing *landing,
			      struct rte_mempool *pool, uint16_t count)
{
	uint16_t each = queue->large ? LANDING_FRAME : 1, i;
	struct packet_slot *slot;

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
			slot->parts[2] = (struct iovec){slot->tail, PACKET_TAIL_SIZE};
		queue->messages[i].msg_hdr.msg_iovlen = each == 1 ? 3 : each + 1u;
		queue->messages[i].msg_hdr.msg_controllen = sizeof(slot->control);
	}
	return count;
}

// Puts back the VLAN tag that the kernel took out. False: there is no room for it.
static bool tag_restore(const struct msghdr *message, struct rte_mbuf *packet)
{
	const struct tpacket_auxdata *data;
	const struct cmsghdr *control;
	uint16_t tag[2];
	char *start;

	control = CMSG_FIRSTHDR(message);
	if (!control || control->cmsg_level != SOL_PACKET || control->cmsg_type != PACKET_AUXDATA)
		return true;
	data = (const struct tpacket_auxdata *)CMSG_DATA(control);
	if (!(data->tp_status & TP_STATUS_VLAN_VALID))
		return true;
	start = rte_pktmbuf_prepend(packet, sizeof(tag));
	if (!start)
		return false;
	memmove(start, start + sizeof(tag), 2 * ETH_ALEN);
	tag[0] = htons(data->tp_status & TP_STATUS_VLAN_TPID_VALID ? data->tp_vlan_tpid
								   : ETH_P_8021Q);
	tag[1] = htons(data->tp_vlan_tci);
	memcpy(start + 2 * ETH_ALEN, tag, sizeof(tag));
	packet_grow_header(packet, sizeof(tag));
	return true;
}

// At an uplink outer headers are read and removed once for each packet. TCP right behind a tunnel's
// is then as any large send.
static bool may_stay_whole(const struct rte_mbuf *packet)
{
	return packet->ol_flags & RTE_MBUF_F_TX_TCP_SEG && packet->ol_flags & PACKET_TUNNELLED &&
	       packet->l2_len == PACKET_TUNNEL_BETWEEN;
}

// The frame in slot `index`, whose buffers begin at `first`. NULL: it was lost, and counted.
static struct rte_mbuf *slot_take(struct packet_port *port, struct packet_queue *queue,
				  struct port_landing *landing, uint16_t index, uint16_t each,
				  enum offload_verdict *verdict)
{
	const struct mmsghdr *message = &queue->messages[index];
	uint32_t length = message->msg_len - (uint32_t)sizeof(struct virtio_net_hdr), head, first;
	struct packet_slot *slot = &queue->slots[index];
	struct rte_mbuf *packet, *last;

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
	last = rte_pktmbuf_lastseg(packet);
	if (packet->pkt_len < head ||
	    !chain_append(packet, &last, slot->tail, length - head, port->pool)) {
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
	if (port->uplink && packet->ol_flags & PACKET_SEGMENTATION)
		*verdict = may_stay_whole(packet) ? OFFLOAD_READY : OFFLOAD_CUT;
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
			packet_note_failure(port);
		return;
	}
	packet_note_success(port);
	if (queue->large)
		queue->large--;
	for (i = 0; i < received; i++) {
		packet = slot_take(port, queue, landing, (uint16_t)i, each, &verdict);
		if (!packet)
			continue;
		if (!tag_restore(&queue->messages[i].msg_hdr, packet)) {
			rte_pktmbuf_free(packet);
			port_count_receive_error(&port->port, 1);
			continue;
		}
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

uint16_t packet_receive(struct port *base, uint16_t index, struct rte_mbuf **packets,
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
