// What a router tells a sender whose packet it drops: ICMP errors (RFC 792, 1122 section 3.2.2,
// 1812 section 4.3, 4443) and TCP resets (RFC 9293 section 3.10.7.1). Pure: which error, and its
// bytes; when to send it is the worker's (worker/reject.c).

#pragma once

#include "layer/tables.h"
#include "packet/packet.h"

struct rte_mbuf;

struct gateway_error {
	uint8_t type; // of ICMP or ICMPv6
	uint8_t code;
	uint32_t rest; // the four bytes behind the checksum, in host byte order
};

// May there be an error about this packet at all? Not about errors, later fragments, what went to
// or came from several. `mbuf` holds the packet as it was received in `network`.
bool gateway_error_due(const struct tables *tables, const struct network *network,
		       const struct rte_mbuf *mbuf, const struct packet *packet);

// The error that goes with a reason; `mtu`, for DROP_TOO_BIG, is what the packet exceeds. False:
// none does, and the packet is dropped silently.
bool gateway_error_choose(const struct rte_mbuf *mbuf, const struct packet *packet,
			  enum drop_reason reason, uint32_t mtu, struct gateway_error *error);

// Who says it: the gateway of the network where the packet was received; for what was sent to a
// gateway, that one. A network without one has its link-local address for IPv6. For IPv4 it is the
// destination itself where that is on the link, because a sender need not believe anybody else
// (Linux has it so for VXLAN), and otherwise 192.0.0.8 (RFC 7600 section 4.8).
struct ip_address gateway_address(const struct network *network, const struct packet *packet,
				  enum drop_reason reason);

// Appends the frame to `to`, an empty buffer. False where that has no room.
bool gateway_error_write(struct rte_mbuf *to, const struct rte_mbuf *mbuf,
			 const struct packet *packet, const struct network *network,
			 const struct ip_address *from, struct gateway_error error);

// Is a reset due, in place of an error? `packet` is then a whole TCP segment.
bool gateway_reset_due(const struct packet *packet, enum drop_reason reason);

// Appends the frame of the reset to `to`, an empty buffer. False where that has no room.
bool gateway_reset_write(struct rte_mbuf *to, const struct rte_mbuf *mbuf,
			 const struct packet *packet, const struct network *network,
			 const struct ip_address *from);
