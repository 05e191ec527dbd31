// Writing a packet of Sluice's own: Ethernet and IPv4 or IPv6 around the message of an upper
// protocol that is there already.

#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"

// Of what is for others than neighbours (RFC 1700).
#define DATAGRAM_HOP_LIMIT 64

struct datagram {
	struct mac_address destination_mac;
	struct mac_address source_mac;
	struct ip_address destination; // both of one family
	struct ip_address source;
	uint16_t source_port; // of UDP; host byte order
	uint16_t destination_port;
	uint8_t hop_limit;
	uint8_t type_of_service; // IPv4
	bool dont_fragment;	 // IPv4
};

// Where in the frame the upper protocol's message starts, by the family of the addresses.
uint32_t datagram_offset(const struct datagram *datagram);

// Writes the headers before the `size` bytes of the message, and into the message its checksum, at
// `checksum` there: that of TCP, ICMP and ICMPv6. Returns the frame's size.
uint32_t datagram_write(const struct datagram *datagram, uint8_t *frame, uint8_t protocol,
			uint32_t checksum, uint32_t size);

// The same with a UDP header, for a payload of `size` bytes that is at datagram_udp_offset.
uint32_t datagram_udp_offset(const struct datagram *datagram);
uint32_t datagram_write_udp(const struct datagram *datagram, uint8_t *frame, uint32_t size);

// Where those have their checksum.
#define TCP_CHECKSUM_OFFSET  16
#define ICMP_CHECKSUM_OFFSET 2
