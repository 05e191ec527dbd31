// VXLAN (RFC 7348) between nodes: the layers that judge what goes in and what came out, and the two
// header operations of the fast path.

#pragma once

#include <rte_mbuf.h>

#include "layer/tunnel/neighbour.h"
#include "layer/walk.h"
#include "packet/header.h"
#include "port/offload.h"

#define VXLAN_PORT	  4789
#define VXLAN_HEADER_SIZE 8
// The lowest source port of ours.
#define TUNNEL_SOURCE_PORT 0xc000
#define TUNNEL_HEADER_SIZE_V4 \
	(ETHERNET_HEADER_SIZE + IPV4_HEADER_SIZE + UDP_HEADER_SIZE + VXLAN_HEADER_SIZE)
#define TUNNEL_HEADER_SIZE_V6 \
	(ETHERNET_HEADER_SIZE + IPV6_HEADER_SIZE + UDP_HEADER_SIZE + VXLAN_HEADER_SIZE)

extern const struct layer tunnel_source_layer;
extern const struct layer tunnel_layer;

// Writes the part of a peer's outer headers that is the same for all packets. Control thread.
void tunnel_header_make(struct peer *peer, const struct underlay *underlay);

// What a frame on the uplink is.
enum tunnel_receive {
	TUNNEL_INNER,	  // outer headers were read; `offset` is where the inner frame starts
	TUNNEL_NEIGHBOUR, // ARP or ND of the underlay
	TUNNEL_PATH_MTU,  // an error about one of our packets: `peer`, `mtu`
	TUNNEL_DROP,
};

struct tunnel_outer {
	uint32_t offset;
	uint32_t end;	  // of the inner frame
	uint16_t network; // number
	uint16_t peer;
	uint8_t ecn;		 // of the outer header; for TUNNEL_INNER
	uint32_t mtu;		 // bytes of an outer IP packet; for TUNNEL_PATH_MTU
	bool whole;		 // likewise: what was refused is larger than the uplink's MTU
	enum drop_reason reason; // for TUNNEL_DROP
};

// Judges a frame from the uplink by its outer headers; `outer_packet` is how it was parsed.
enum tunnel_receive tunnel_receive(const struct tables *tables, const struct packet *outer_packet,
				   const uint8_t *data, uint32_t available,
				   struct tunnel_outer *outer);

// Is it an ICMP error of the underlay that says which MTU the way to a peer has? It must quote a
// tunnel packet as this node sends them, and be plausible. `whole`: larger than the uplink's MTU,
// as only the kernel sends them, to be cut where they leave the host. RFC 1191, RFC 8201.
bool tunnel_path_error(const struct tables *tables, const struct packet *packet,
		       const uint8_t *data, uint32_t available, uint16_t *peer, uint32_t *mtu,
		       bool *whole);

// The ECN field of an outer header, with bit 0, for the frame that was in the tunnel: marks of the
// underlay go on, and where nobody would understand them the packet ends (RFC 6040 section 4.2).
enum drop_reason tunnel_take_ecn(uint8_t *frame, uint8_t ecn);

// DSCP and ECN of the frame, for the outer header (RFC 2983 uniform, RFC 6040 section 4.1 normal).
static inline uint8_t tunnel_class(const uint8_t *frame)
{
	uint16_t type = (uint16_t)(frame[12] << 8 | frame[13]);

	if (likely(type == ETHERNET_TYPE_IPV4))
		return ip_traffic_class(frame + ETHERNET_HEADER_SIZE, true);
	return type == ETHERNET_TYPE_IPV6 ? ip_traffic_class(frame + ETHERNET_HEADER_SIZE, false)
					  : 0;
}

// Puts the outer headers before the frame. `hash` chooses the source port, so that the underlay
// spreads connections. The caller has made sure that the next hop's MAC address is known:
// `next_hop`.
static inline enum drop_reason tunnel_encapsulate(const struct tables *tables,
						  const struct endpoint *endpoint,
						  struct mac_address next_hop,
						  struct rte_mbuf *mbuf, uint32_t hash)
{
	const struct peer *peer = &tables->peers[endpoint->peer];
	// Where it is to be cut, each segment gets its lengths then.
	uint32_t inner = packet_wire_size(mbuf), l4 = inner + VXLAN_HEADER_SIZE + UDP_HEADER_SIZE;
	uint16_t length, port = (uint16_t)(TUNNEL_SOURCE_PORT | (hash & 0x3fff));
	uint8_t *header, class = tunnel_class(rte_pktmbuf_mtod(mbuf, const uint8_t *));
	uint32_t vni;

	if (unlikely(mbuf->ol_flags & PACKET_UNFINISHED) &&
	    !packet_encapsulate(mbuf, peer->v4, peer->v4 ? IPV4_HEADER_SIZE : IPV6_HEADER_SIZE,
				UDP_HEADER_SIZE + VXLAN_HEADER_SIZE))
		return DROP_OFFLOAD;
	header = (uint8_t *)rte_pktmbuf_prepend(mbuf, peer->header_size);
	if (unlikely(!header || l4 > 65535 - IPV4_HEADER_SIZE))
		return DROP_TOO_BIG;
	if (peer->v4) {
		// The class is the second byte of its word.
		uint32_t sum = peer->ipv4_sum + rte_cpu_to_be_16(class);

		memcpy(header, peer->header, TUNNEL_HEADER_SIZE_V4);
		memcpy(header, &next_hop, sizeof(next_hop));
		length = rte_cpu_to_be_16((uint16_t)(l4 + IPV4_HEADER_SIZE));
		memcpy(header + ETHERNET_HEADER_SIZE + 2, &length, 2);
		header[ETHERNET_HEADER_SIZE + 1] = class;
		sum += length;
		sum = (sum & 0xffff) + (sum >> 16);
		sum = (sum & 0xffff) + (sum >> 16);
		length = (uint16_t)~sum;
		memcpy(header + ETHERNET_HEADER_SIZE + 10, &length, 2);
		header += ETHERNET_HEADER_SIZE + IPV4_HEADER_SIZE;
	} else {
		memcpy(header, peer->header, TUNNEL_HEADER_SIZE_V6);
		memcpy(header, &next_hop, sizeof(next_hop));
		length = rte_cpu_to_be_16((uint16_t)l4);
		memcpy(header + ETHERNET_HEADER_SIZE + 4, &length, 2);
		header[ETHERNET_HEADER_SIZE] |= class >> 4;
		header[ETHERNET_HEADER_SIZE + 1] = (uint8_t)(class << 4);
		header += ETHERNET_HEADER_SIZE + IPV6_HEADER_SIZE;
	}
	port = rte_cpu_to_be_16(port);
	memcpy(header, &port, 2);
	length = rte_cpu_to_be_16((uint16_t)l4);
	memcpy(header + 4, &length, 2);
	vni = rte_cpu_to_be_32(endpoint->vni << 8);
	memcpy(header + UDP_HEADER_SIZE + 4, &vni, 4);
	return DROP_NONE;
}
