// Writing a datagram of Sluice's own: Ethernet, IPv4 or IPv6, and UDP or ICMPv6 around a payload.

#pragma once

#include <stdint.h>

#include "base/address.h"

struct datagram {
	struct mac_address destination_mac;
	struct mac_address source_mac;
	struct ip_address destination; // both of one family
	struct ip_address source;
	uint16_t source_port; // host byte order
	uint16_t destination_port;
	uint8_t hop_limit;
};

// Bytes before the payload, by the family of the addresses.
uint32_t datagram_udp_offset(const struct datagram *datagram);

// Writes the headers before the `size` bytes of UDP payload that are at datagram_udp_offset in
// `frame` already. Returns the frame's size.
uint32_t datagram_write_udp(const struct datagram *datagram, uint8_t *frame, uint32_t size);

// Where an ICMPv6 message starts.
#define DATAGRAM_ICMP6_OFFSET 54

// The same around an ICMPv6 message of `size` bytes at DATAGRAM_ICMP6_OFFSET, whose checksum is
// filled in.
uint32_t datagram_write_icmp6(const struct datagram *datagram, uint8_t *frame, uint32_t size);
