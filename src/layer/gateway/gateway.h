// The gateway itself as a destination.

#pragma once

#include "packet/packet.h"

struct rte_mbuf;

// Turns an echo request to the gateway into its reply, in place. False: nothing that the gateway
// answers. RFC 1122 section 3.2.2.6, RFC 4443 section 4.2. Checksums are carried over, not made
// anew: a broken one stays broken.
bool gateway_echo(struct rte_mbuf *mbuf, const struct packet *packet);

// The same for one that came in fragments: is it answered (`packet` is the whole), and each
// fragment's part of the answer. `icmp`: where the ICMP header is in the first fragment's frame; 0
// for the others.
bool gateway_echo_due(const struct packet *packet);
void gateway_echo_write(struct rte_mbuf *mbuf, const struct packet *packet, uint16_t icmp);
