// An AF_PACKET port's state, and what its parts offer each other.

#pragma once

#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <sys/socket.h>

#include "port/driver.h"
#include "port/filter.h"
#include "port/landing.h"
#include "port/segment.h"

// The kernel's largest frame with headers; what is larger (BIG TCP) is dropped.
#define PACKET_TAIL_SIZE (65536 + 512)
#define PACKET_PARTS_MAX 64

// One frame being received. Large ones are expected in buffers for all of them; else in one buffer,
// and the rest, seldom any, goes behind `tail`.
struct packet_slot {
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
	struct packet_slot slots[PORT_BURST];
	struct mmsghdr messages[PORT_BURST];
	struct virtio_net_hdr send_headers[PORT_BURST];
	struct iovec send_parts[PORT_BURST][PACKET_PARTS_MAX + 1];
	struct mmsghdr send_messages[PORT_BURST];
};

struct packet_port {
	struct port port;
	const struct port_environment *environment;
	const struct port_programs *programs; // at it; NULL: none
	char device[IF_NAMESIZE];
	struct filter filter;
	struct rte_mempool *pool;
	unsigned int interface_index;
	bool uplink;
	int promiscuous_fd;
	int guard_fd;	// keeps Sluice's packets from the kernel; -1: none
	int forward_fd; // forwards connections; likewise
	int tunnel_fd;	// an uplink's: sends tunnel packets whole; likewise
	bool down;
	struct packet_queue *queues[PORT_QUEUES_MAX];
};

// What errno of a system call says about the interface: it is down, or it is gone.
void packet_note_failure(struct packet_port *port);

static inline void packet_note_success(struct packet_port *port)
{
	if (unlikely(__atomic_load_n(&port->down, __ATOMIC_RELAXED)))
		__atomic_store_n(&port->down, false, __ATOMIC_RELAXED);
}

// receive.c, send.c: the driver's functions of these names.
uint16_t packet_receive(struct port *base, uint16_t index, struct rte_mbuf **packets,
			uint16_t count);
uint16_t packet_send(struct port *base, uint16_t index, struct rte_mbuf **packets, uint16_t count);
