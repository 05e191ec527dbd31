// From one IP family into the other (RFC 7915), and IPv4 addresses in IPv6 ones (RFC 6052).

#pragma once

#include "packet/fragment.h"
#include "packet/header.h"
#include "packet/packet.h"

// Lengths of prefixes: 32, 40, 48, 56, 64, 96.
bool family_prefix_length_valid(uint32_t length);
struct ip_address family_embed(const struct ip_prefix *prefix, const struct ip_address *v4);
struct ip_address family_extract(uint8_t length, const struct ip_address *v6);

// Must an IPv4 address not be written in this prefix? None that is no host's; in the well-known one
// those that are not global (RFC 6052 section 3.1) either: private, shared, and for benchmarks.
bool family_is_forbidden(const struct ip_prefix *prefix, const struct ip_address *v4);

// The key of the protocol's other form: ICMP and ICMPv6 queries have other numbers.
struct flow_key family_key(const struct flow_key *key, bool v4);

// How many bytes a packet's IP header grows by, or loses.
static inline int family_growth(const struct packet *packet)
{
	uint32_t header = packet->l4_offset - packet->l3_offset;

	if (!packet->l4_offset)
		return 0;
	return ip_is_v4(&packet->key.source) ? IPV6_HEADER_SIZE - (int)header
					     : IPV4_HEADER_SIZE - (int)header;
}

// May packets of this kind be translated? Those that came in one piece, with a transport header
// that has the same form in both families; of ICMP echo and errors. Options of IPv4 and extension
// headers are left out (RFC 7915 sections 4.1 and 5.1), but none that says more than the packet
// without it. IPv4's UDP without a checksum is to be given one before.
bool family_can(const uint8_t *data, const struct packet *packet);

// Writes the other family's IP header, and makes its transport header fit that, which stays where
// it is: the checksum unless `unfinished`. `header` has room for IPV6_HEADER_SIZE bytes. The packet
// of packet->key becomes one of the reverse of `back`, with `hops` taken off.
void family_translate(uint8_t *data, const struct packet *packet, const struct flow_key *back,
		      unsigned int hops, bool unfinished, uint16_t identification,
		      uint8_t header[IPV6_HEADER_SIZE]);

// The same for a fragment of TCP or UDP: its header becomes the first bytes of `header`, the other
// family's with all that belongs to it, in front of the fragment's payload. Returns how many they
// are; 0: it can't be (an extension header behind the fragment header, UDP over IPv4 without a
// checksum).
#define FAMILY_FRAGMENT_HEADER (IPV6_HEADER_SIZE + 8)
uint32_t family_translate_fragment(uint8_t *data, const struct packet *packet,
				   const struct fragment *fragment, const struct flow_key *back,
				   unsigned int hops, uint8_t header[FAMILY_FRAGMENT_HEADER]);

// An ICMP error, all of it contiguous: the other family's IP packet in `result`, of at most
// FAMILY_ERROR_SIZE bytes. Returns how many it has; 0: there is no such error in the other family.
#define FAMILY_ERROR_SIZE 1280
uint32_t family_translate_error(const uint8_t *data, const struct packet *packet,
				const struct flow_key *back, unsigned int hops,
				uint8_t result[FAMILY_ERROR_SIZE]);
