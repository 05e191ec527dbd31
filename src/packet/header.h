// Sizes and field values of the headers that Sluice reads and writes, and the Internet checksum
// (RFC 1071).

#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/address.h"

#define IPV4_HEADER_SIZE 20
#define IPV6_HEADER_SIZE 40
#define TCP_HEADER_SIZE	 20
#define UDP_HEADER_SIZE	 8
#define ICMP_HEADER_SIZE 8
#define ARP_PACKET_SIZE	 28
#define SCTP_HEADER_SIZE 12
#define SCTP_CRC_OFFSET	 8
#define SCTP_INIT_SIZE	 20 // of the chunk without parameters

// RFC 9293 section 3.2, RFC 7323 section 2
#define TCP_OPTION_END	 0
#define TCP_OPTION_NONE	 1
#define TCP_OPTION_SCALE 3
#define TCP_SCALE_MAX	 14

#define ICMP_ECHO_REPLY	   0
#define ICMP_ECHO_REQUEST  8
#define ICMP6_ECHO_REQUEST 128
#define ICMP6_ECHO_REPLY   129

// RFC 3168 section 5
#define ECN_NONE 0
#define ECN_ECT1 1
#define ECN_ECT0 2
#define ECN_CE	 3

#define ARP_REQUEST 1
#define ARP_REPLY   2

// RFC 4861 section 4
#define ND_ROUTER_SOLICITATION	   133
#define ND_ROUTER_ADVERTISEMENT	   134
#define ND_NEIGHBOUR_SOLICITATION  135
#define ND_NEIGHBOUR_ADVERTISEMENT 136
#define ND_REDIRECT		   137

// Sum of 16-bit words in memory order, not folded and not complemented. `size` may be odd.
uint64_t checksum_add(uint64_t sum, const void *data, uint32_t size);

// Folds and complements; what to store in a header, in network byte order.
uint16_t checksum_finish(uint64_t sum);

// Sum of the pseudo header of TCP, UDP and ICMPv6 for either family; `length` of the upper layer in
// bytes.
uint64_t checksum_pseudo(const struct ip_address *source, const struct ip_address *destination,
			 uint8_t protocol, uint32_t length);

// The sum over a right header is 0xffff: it can't be 0, because not all of it is.
static inline bool ipv4_checksum_valid(const uint8_t *header, uint32_t size)
{
	uint64_t words[2], sum;
	uint32_t last, half;

	memcpy(words, header, 16);
	memcpy(&last, header + 16, 4);
	// Carries go around to the lowest bit, in each width.
	sum = words[0] + words[1];
	sum += sum < words[1];
	sum += last;
	sum += sum < last;
	sum = (sum & 0xffffffff) + (sum >> 32);
	if (size > IPV4_HEADER_SIZE) {
		sum = checksum_add(sum, header + IPV4_HEADER_SIZE, size - IPV4_HEADER_SIZE);
		sum = (sum & 0xffffffff) + (sum >> 32);
	}
	half = (uint32_t)sum + (uint32_t)(sum >> 32);
	half = (half & 0xffff) + (half >> 16);
	half = (half & 0xffff) + (half >> 16);
	return half == 0xffff;
}

// DSCP and ECN: the traffic class.
static inline uint8_t ip_traffic_class(const uint8_t *header, bool v4)
{
	return v4 ? header[1] : (uint8_t)(header[0] << 4 | header[1] >> 4);
}

// Sets it, and repairs the checksum of an IPv4 header (RFC 1624).
static inline void ip_set_traffic_class(uint8_t *header, bool v4, uint8_t value)
{
	uint16_t before, after, checksum;
	uint32_t sum;

	if (!v4) {
		header[0] = (uint8_t)((header[0] & 0xf0) | value >> 4);
		header[1] = (uint8_t)((header[1] & 0x0f) | value << 4);
		return;
	}
	memcpy(&before, header, 2);
	header[1] = value;
	memcpy(&after, header, 2);
	memcpy(&checksum, header + 10, 2);
	sum = (uint16_t)~checksum + (uint32_t)(uint16_t)~before + after;
	sum = (sum & 0xffff) + (sum >> 16);
	checksum = (uint16_t) ~(sum + (sum >> 16));
	memcpy(header + 10, &checksum, 2);
}

// RFC 2474. ECN stays.
static inline void ip_set_dscp(uint8_t *header, bool v4, uint8_t dscp)
{
	ip_set_traffic_class(header, v4, (uint8_t)(dscp << 2 | (ip_traffic_class(header, v4) & 3)));
}

// Takes one hop off an IPv4 header and repairs its checksum (RFC 1624).
static inline void ipv4_decrement_ttl(uint8_t *header)
{
	uint16_t checksum;
	uint32_t sum;

	header[8]--;
	memcpy(&checksum, header + 10, 2);
	// Equation 3, so that the result is never 0xffff where making it anew gives 0. The TTL is
	// the first byte of its word in memory order.
	sum = (uint16_t)~checksum + (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? 0xfffeu : 0xfeffu);
	checksum = (uint16_t) ~(sum + (sum >> 16));
	memcpy(header + 10, &checksum, 2);
}
