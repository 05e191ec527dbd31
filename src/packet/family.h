// From one IP family into the other (RFC 7915), and IPv4 addresses in IPv6 ones (RFC 6052).

#pragma once

#include "packet/header.h"
#include "packet/packet.h"

// Lengths of prefixes: 32, 40, 48, 56, 64, 96.
bool family_prefix_length_valid(uint32_t length);
struct ip_address family_embed(const struct ip_prefix *prefix, const struct ip_address *v4);
struct ip_address family_extract(uint8_t length, const struct ip_address *v6);

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

// May packets of this kind be translated? Those that came in one piece, without extension headers,
// with a transport header that has the same form in both families; IPv4's UDP has a checksum.
bool family_can(const uint8_t *data, const struct packet *packet);

// Writes the other family's IP header, and makes its transport header fit that, which stays where
// it is: the checksum unless `unfinished`. `header` has room for IPV6_HEADER_SIZE bytes. The packet
// of packet->key becomes one of the reverse of `back`, with `hops` taken off.
void family_translate(uint8_t *data, const struct packet *packet, const struct flow_key *back,
		      unsigned int hops, bool unfinished, uint16_t identification,
		      uint8_t header[IPV6_HEADER_SIZE]);

// An ICMP error, all of it contiguous: the other family's IP packet in `result`, of at most
// FAMILY_ERROR_SIZE bytes. Returns how many it has; 0: there is no such error in the other family.
#define FAMILY_ERROR_SIZE 1280
uint32_t family_translate_error(const uint8_t *data, const struct packet *packet,
				const struct flow_key *back, unsigned int hops,
				uint8_t result[FAMILY_ERROR_SIZE]);
