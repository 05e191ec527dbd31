#include "packet/datagram.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "packet/header.h"
#include "packet/packet.h"

#define DONT_FRAGMENT	    0x40
#define UDP_CHECKSUM_OFFSET 6

static void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void write_ethernet(const struct datagram *datagram, uint8_t *frame)
{
	memcpy(frame, &datagram->destination_mac, 6);
	memcpy(frame + 6, &datagram->source_mac, 6);
	put16(frame + 12, ip_is_v4(&datagram->source) ? ETHERNET_TYPE_IPV4 : ETHERNET_TYPE_IPV6);
}

// `size` bytes behind the header.
static void write_ip(const struct datagram *datagram, uint8_t *ip, uint8_t protocol, uint32_t size)
{
	uint16_t checksum;

	if (!ip_is_v4(&datagram->source)) {
		memset(ip, 0, IPV6_HEADER_SIZE);
		ip[0] = 0x60;
		put16(ip + 4, size);
		ip[6] = protocol;
		ip[7] = datagram->hop_limit;
		memcpy(ip + 8, &datagram->source, 16);
		memcpy(ip + 24, &datagram->destination, 16);
		return;
	}
	memset(ip, 0, IPV4_HEADER_SIZE);
	ip[0] = 0x45;
	ip[1] = datagram->type_of_service;
	put16(ip + 2, IPV4_HEADER_SIZE + size);
	ip[6] = datagram->dont_fragment ? DONT_FRAGMENT : 0;
	ip[8] = datagram->hop_limit;
	ip[9] = protocol;
	memcpy(ip + 12, &datagram->source.words[3], 4);
	memcpy(ip + 16, &datagram->destination.words[3], 4);
	checksum = checksum_finish(checksum_add(0, ip, IPV4_HEADER_SIZE));
	memcpy(ip + 10, &checksum, 2);
}

uint32_t datagram_offset(const struct datagram *datagram)
{
	return ETHERNET_HEADER_SIZE +
	       (ip_is_v4(&datagram->source) ? IPV4_HEADER_SIZE : IPV6_HEADER_SIZE);
}

uint32_t datagram_write(const struct datagram *datagram, uint8_t *frame, uint8_t protocol,
			uint32_t checksum, uint32_t size)
{
	uint32_t offset = datagram_offset(datagram);
	uint8_t *message = frame + offset;
	uint64_t sum = 0;
	uint16_t value;

	write_ethernet(datagram, frame);
	write_ip(datagram, frame + ETHERNET_HEADER_SIZE, protocol, size);
	put16(message + checksum, 0);
	// ICMP's alone does not cover the addresses (RFC 792).
	if (protocol != IPPROTO_ICMP)
		sum = checksum_pseudo(&datagram->source, &datagram->destination, protocol, size);
	value = checksum_finish(checksum_add(sum, message, size));
	// Zero means that there is none (RFC 768).
	if (protocol == IPPROTO_UDP && !value)
		value = 0xffff;
	memcpy(message + checksum, &value, 2);
	return offset + size;
}

uint32_t datagram_udp_offset(const struct datagram *datagram)
{
	return datagram_offset(datagram) + UDP_HEADER_SIZE;
}

uint32_t datagram_write_udp(const struct datagram *datagram, uint8_t *frame, uint32_t size)
{
	uint8_t *udp = frame + datagram_offset(datagram);

	size += UDP_HEADER_SIZE;
	put16(udp, datagram->source_port);
	put16(udp + 2, datagram->destination_port);
	put16(udp + 4, size);
	return datagram_write(datagram, frame, IPPROTO_UDP, UDP_CHECKSUM_OFFSET, size);
}
