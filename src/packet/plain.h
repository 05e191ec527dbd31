// The usual packet, read without a call and without a loop: Ethernet without a tag, IPv4 without
// options or IPv6 without extension headers, in one piece; UDP, or TCP without SYN. What it takes,
// packet_parse takes with the same result, to the last byte (tests/fuzz/fuzz_packet.c).
//
// Values go from the frame through registers into the result. To read back there what was just
// written in pieces would cost more than all the rest.

#pragma once

#include <stddef.h>

#include "packet/header.h"
#include "packet/parse.h"

static inline uint64_t read64(const uint8_t *data)
{
	uint64_t value;

	memcpy(&value, data, sizeof(value));
	return value;
}

// What is behind the IP header: `room` bytes by that, of which `available` can be read. Fills ports
// and what TCP has. False: not plain.
static inline bool parse_plain_l4(const uint8_t *l4, uint32_t available, uint32_t room,
				  uint8_t protocol, struct packet *packet)
{
	uint32_t header, sequence;

	packet->key.source_port = read16(l4);
	packet->key.destination_port = read16(l4 + 2);
	if (protocol == IPPROTO_UDP) {
		uint32_t length = ntohs(read16(l4 + 4));

		return length >= UDP_HEADER_SIZE && length <= room;
	}
	if (protocol != IPPROTO_TCP || room < TCP_HEADER_SIZE || available < TCP_HEADER_SIZE)
		return false;
	header = (l4[12] >> 4) * 4u;
	sequence = ntohl(read32(l4 + 4));
	packet->tcp_flags = l4[13];
	packet->tcp_seq = sequence;
	packet->tcp_end = sequence + room - header + (l4[13] & TCP_FIN);
	packet->tcp_ack = ntohl(read32(l4 + 8));
	packet->tcp_window = ntohs(read16(l4 + 14));
	return header >= TCP_HEADER_SIZE && header <= room && !(l4[13] & TCP_SYN);
}

// What both families have; `addresses` are the halves of source and destination.
static inline void parse_plain_ip(const uint8_t *data, const uint64_t addresses[4], uint32_t length,
				  uint32_t ip_length, uint32_t header, uint8_t protocol,
				  uint8_t ttl, struct packet *packet)
{
	for (unsigned int i = 0; i < 2; i++) {
		packet->key.source.halves[i] = packet->source.halves[i] = addresses[i];
		packet->key.destination.halves[i] = packet->destination.halves[i] =
			addresses[2 + i];
	}
	packet->key.network = 0;
	packet->key.protocol = protocol;
	packet->key.flags = 0;
	// Both MAC addresses.
	memcpy((uint8_t *)packet + offsetof(struct packet, destination_mac), data, 12);
	packet->length = length;
	packet->ip_length = ip_length;
	packet->l3_offset = ETHERNET_HEADER_SIZE;
	packet->l4_offset = (uint16_t)(ETHERNET_HEADER_SIZE + header);
	// All the rest.
	memset((uint8_t *)packet + offsetof(struct packet, vlan), 0,
	       sizeof(*packet) - offsetof(struct packet, vlan));
	packet->ttl = ttl;
}

_Static_assert(PACKET_IP == 0, "cleared");

static inline bool parse_plain_ipv4(const uint8_t *data, uint32_t available, uint32_t length,
				    struct packet *packet)
{
	const uint8_t *header = data + ETHERNET_HEADER_SIZE;
	uint32_t ip_length = ntohs(read16(header + 2)), fragment = read16(header + 6);
	uint8_t ttl = header[8], protocol = header[9];
	struct ip_address source = ip_from_v4(read32(header + 12));
	struct ip_address destination = ip_from_v4(read32(header + 16));
	uint64_t addresses[4] = {source.halves[0], source.halves[1], destination.halves[0],
				 destination.halves[1]};

	// More fragments, and the offset.
	if (ETHERNET_HEADER_SIZE + ip_length > length ||
	    ip_length < IPV4_HEADER_SIZE + UDP_HEADER_SIZE || (fragment & htons(0x3fff)) || !ttl ||
	    !ipv4_checksum_valid(header, IPV4_HEADER_SIZE))
		return false;
	parse_plain_ip(data, addresses, length, ip_length, IPV4_HEADER_SIZE, protocol, ttl, packet);
	return parse_plain_l4(header + IPV4_HEADER_SIZE,
			      available - ETHERNET_HEADER_SIZE - IPV4_HEADER_SIZE,
			      ip_length - IPV4_HEADER_SIZE, protocol, packet);
}

static inline bool parse_plain_ipv6(const uint8_t *data, uint32_t available, uint32_t length,
				    struct packet *packet)
{
	const uint8_t *header = data + ETHERNET_HEADER_SIZE;
	uint32_t payload = ntohs(read16(header + 4));
	uint8_t ttl = header[7], protocol = header[6];
	uint64_t addresses[4] = {read64(header + 8), read64(header + 16), read64(header + 24),
				 read64(header + 32)};
	struct ip_address source = {.halves = {addresses[0], addresses[1]}};
	struct ip_address destination = {.halves = {addresses[2], addresses[3]}};

	if (ETHERNET_HEADER_SIZE + IPV6_HEADER_SIZE + payload > length ||
	    payload < UDP_HEADER_SIZE || !ttl || ip_is_v4(&source) || ip_is_v4(&destination))
		return false;
	parse_plain_ip(data, addresses, length, IPV6_HEADER_SIZE + payload, IPV6_HEADER_SIZE,
		       protocol, ttl, packet);
	return parse_plain_l4(header + IPV6_HEADER_SIZE,
			      available - ETHERNET_HEADER_SIZE - IPV6_HEADER_SIZE, payload,
			      protocol, packet);
}

// Like packet_parse. False says nothing about the frame, and what was written is to be thrown away.
static inline bool packet_parse_plain(const uint8_t *data, uint32_t available, uint32_t length,
				      struct packet *packet)
{
	uint32_t start;

	if (__builtin_expect(available < ETHERNET_HEADER_SIZE + IPV4_HEADER_SIZE + UDP_HEADER_SIZE,
			     0))
		return false;
	// Ethernet type, and version and size of the IP header: 0x0800 45.
	start = read32(data + 12);
	if ((start & htonl(0xffffff00)) == htonl(0x08004500))
		return parse_plain_ipv4(data, available, length, packet);
	// 0x86dd 6.
	if ((start & htonl(0xfffff000)) == htonl(0x86dd6000) &&
	    available >= ETHERNET_HEADER_SIZE + IPV6_HEADER_SIZE + UDP_HEADER_SIZE)
		return parse_plain_ipv6(data, available, length, packet);
	return false;
}
