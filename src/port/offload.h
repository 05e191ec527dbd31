// What a sender leaves unfinished in packets that it expects a network card to finish: checksums,
// and segmentation of large TCP and UDP sends. One form of saying so inside Sluice, and the ways
// into it and out of it.
//
// The form, in a mbuf, set by the driver that received the packet and checked against its bytes:
// - RTE_MBUF_F_TX_TCP_CKSUM or _UDP_CKSUM: the TCP or UDP checksum is missing. What is in its field
//   means nothing, so whoever changes addresses or ports need not care; the sender fills it.
// - RTE_MBUF_F_TX_TCP_SEG or _UDP_SEG, beside the above: to be cut into segments of `tso_segsz`
//   bytes of payload. _UDP_SEG with PACKET_UFO: one datagram, to be cut into IP fragments with
//   `tso_segsz` bytes behind the IP header. _TCP_SEG with PACKET_CWR: the TCP header has CWR, which
//   is the first segment's alone (RFC 3168 section 6.1.2).
// - With any of them: RTE_MBUF_F_TX_IPV4 or _IPV6; l2_len, l3_len, l4_len; the IP packet ends where
//   the frame ends; headers are in the first segment.
// - RTE_MBUF_F_TX_OUTER_IPV4 or _OUTER_IPV6: all this is meant of a packet in a tunnel;
//   outer_l2_len and outer_l3_len are the outer headers', l2_len is all between them and the inner
//   IP header.
// Without these flags a packet is complete. Where it leaves, worker/transmit.c finishes what the
// port does not (port->offloads). A packet that counts as one may so be several on the wire.
//
// Who makes another packet out of one in place clears these with packet_set_complete.

#pragma once

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

#include "port/port.h"

#define PACKET_SEGMENTATION (RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_UDP_SEG)
#define PACKET_UNFINISHED   (PACKET_SEGMENTATION | RTE_MBUF_F_TX_L4_MASK)
#define PACKET_TUNNELLED    (RTE_MBUF_F_TX_OUTER_IPV4 | RTE_MBUF_F_TX_OUTER_IPV6)
// DPDK has no flags for these; the engine reserves them.
#define PACKET_UFO_BIT 40
#define PACKET_UFO     (UINT64_C(1) << PACKET_UFO_BIT)
#define PACKET_CWR_BIT 38
#define PACKET_CWR     (UINT64_C(1) << PACKET_CWR_BIT)

// l2_len of a packet in VXLAN: UDP, VXLAN and Ethernet headers.
#define PACKET_TUNNEL_BETWEEN 30

// Fragments of fewer bytes are not accepted.
#define UFO_FRAGMENT_MIN 256

// Bytes of the largest frame that the packet becomes on a wire. This, not pkt_len, is held against
// an MTU.
static inline uint32_t packet_wire_size(const struct rte_mbuf *packet)
{
	uint32_t size;

	if (likely(!(packet->ol_flags & PACKET_SEGMENTATION)))
		return packet->pkt_len;
	size = packet->l2_len + packet->l3_len + (uint32_t)packet->tso_segsz;
	if (packet->ol_flags & PACKET_TUNNELLED)
		size += packet->outer_l2_len + packet->outer_l3_len;
	if (!(packet->ol_flags & PACKET_UFO))
		size += packet->l4_len;
	else if (packet->ol_flags & RTE_MBUF_F_TX_IPV6)
		size += 8;
	return RTE_MIN(size, packet->pkt_len);
}

// Frames that the packet becomes on a wire, if it is in no tunnel.
static inline uint32_t packet_wire_count(const struct rte_mbuf *packet)
{
	uint32_t header;

	if (likely(!(packet->ol_flags & PACKET_SEGMENTATION)))
		return 1;
	header = packet->l2_len + packet->l3_len;
	if (!(packet->ol_flags & PACKET_UFO))
		header += packet->l4_len;
	return (packet->pkt_len - header + packet->tso_segsz - 1) / packet->tso_segsz;
}

// Nothing is left to do: what the flags said is not so any more.
static inline void packet_set_complete(struct rte_mbuf *packet)
{
	packet->ol_flags = 0;
	packet->tx_offload = 0;
}

// `size` bytes were put in at the Ethernet header (negative: taken out).
static inline void packet_grow_header(struct rte_mbuf *packet, int size)
{
	if (unlikely(packet->ol_flags & PACKET_UNFINISHED)) {
		if (packet->ol_flags & PACKET_TUNNELLED)
			packet->outer_l2_len = (uint64_t)((int)packet->outer_l2_len + size) & 127;
		else
			packet->l2_len = (uint64_t)((int)packet->l2_len + size) & 127;
	}
}

// Outer headers are about to be put before it: Ethernet and an IP header of `outer_l3` bytes, then
// `between` bytes up to the inner Ethernet header. False: it can't be said of this packet.
bool packet_encapsulate(struct rte_mbuf *packet, bool outer_v4, uint16_t outer_l3,
			uint16_t between);

// Its first `size` bytes, outer headers, were removed.
void packet_decapsulate(struct rte_mbuf *packet, uint16_t size);

// Can a port that has these PORT_OFFLOAD_ bits send a packet with these flags as it is?
static inline bool offload_suffices(uint64_t flags, uint32_t offloads)
{
	bool tunnelled = flags & PACKET_TUNNELLED;
	uint32_t needed = 0;

	if (flags & RTE_MBUF_F_TX_TCP_SEG)
		needed = (tunnelled		       ? PORT_OFFLOAD_TUNNEL_TSO
			  : flags & RTE_MBUF_F_TX_IPV4 ? PORT_OFFLOAD_TSO4
						       : PORT_OFFLOAD_TSO6) |
			 (flags & PACKET_CWR ? PORT_OFFLOAD_TSO_CWR : 0);
	else if (flags & RTE_MBUF_F_TX_UDP_SEG)
		needed = tunnelled ? ~0U : flags & PACKET_UFO ? PORT_OFFLOAD_UFO : PORT_OFFLOAD_USO;
	else if (flags & RTE_MBUF_F_TX_L4_MASK)
		needed = tunnelled ? PORT_OFFLOAD_TUNNEL_CHECKSUM : PORT_OFFLOAD_CHECKSUM;
	return (needed & ~offloads) == 0;
}

// Fills in the missing checksum. False: the flags contradict the packet.
bool packet_complete_checksum(struct rte_mbuf *packet);

enum offload_verdict {
	OFFLOAD_READY,
	OFFLOAD_CUT,	// to be cut by the receiving driver: segments in a tunnel of the sender's
	OFFLOAD_BROKEN, // the header contradicts the packet
};

// From what a kernel or guest said of a packet with its virtio header. What has no form in Sluice
// (checksums of other protocols) is completed.
enum offload_verdict offload_from_virtio(struct rte_mbuf *packet,
					 const struct virtio_net_hdr *header);

// A virtio header for the packet, and the pseudo header's sum into its checksum field, as the Linux
// kernel wants it. False: the flags contradict the packet.
bool offload_to_virtio(struct rte_mbuf *packet, struct virtio_net_hdr *header);
