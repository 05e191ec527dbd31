// Sending: a burst with one system call.

#include <errno.h>
#include <string.h>

#include "port/offload.h"
#include "port/packet/queue.h"

// One message for a packet: a virtio header that says what is left to the kernel, and its segments.
static bool message_fill(struct packet_queue *queue, uint16_t index, struct rte_mbuf *packet)
{
	struct msghdr *message = &queue->send_messages[index].msg_hdr;
	size_t segments = 0;

	if (packet->nb_segs > PACKET_PARTS_MAX)
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

uint16_t packet_send(struct port *base, uint16_t index, struct rte_mbuf **packets, uint16_t count)
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
			packet_note_success(port);
			continue;
		}
		// One that can never be sent must not hold up the others.
		if (filled == 0 || errno == EMSGSIZE || errno == EINVAL) {
			port_count_send_error(base, 1);
			taken++;
			continue;
		}
		packet_note_failure(port);
		break;
	}
	rte_pktmbuf_free_bulk(packets, taken);
	return taken;
}
