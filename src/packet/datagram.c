#include "packet/datagram.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "packet/header.h"
#include "packet/packet.h"

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
	put16(ip + 2, IPV4_HEADER_SIZE + size);
	ip[8] = datagram->hop_limit;
	ip[9] = protocol;
	memcpy(ip + 12, &datagram->source.words[3], 4);
	memcpy(ip + 16, &datagram->destination.words[3], 4);
	checksum = checksum_finish(checksum_add(0, ip, IPV4_HEADER_SIZE));
	memcpy(ip + 10, &checksum, 2);
}

static uint16_t upper_checksum(const struct datagram *datagram, uint8_t protocol,
			       const uint8_t *data, uint32_t size)
{
	uint64_t sum = checksum_pseudo(&datagram->source, &datagram->destination, protocol, size);

	return checksum_finish(checksum_add(sum, data, size));
}

uint32_t datagram_udp_offset(const struct datagram *datagram)
{
	return ETHERNET_HEADER_SIZE + UDP_HEADER_SIZE +
	       (ip_is_v4(&datagram->source) ? IPV4_HEADER_SIZE : IPV6_HEADER_SIZE);
}

uint32_t datagram_write_udp(const struct datagram *datagram, uint8_t *frame, uint32_t size)
{
	uint32_t offset = datagram_udp_offset(datagram);
	uint8_t *udp = frame + offset - UDP_HEADER_SIZE;
	uint16_t checksum;

	size += UDP_HEADER_SIZE;
	write_ethernet(datagram, frame);
	write_ip(datagram, frame + ETHERNET_HEADER_SIZE, IPPROTO_UDP, size);
	put16(udp, datagram->source_port);
	put16(udp + 2, datagram->destination_port);
	put16(udp + 4, size);
	put16(udp + 6, 0);
	checksum = upper_checksum(datagram, IPPROTO_UDP, udp, size);
	// Zero means that there is none (RFC 768).
	if (!checksum)
		checksum = 0xffff;
	memcpy(udp + 6, &checksum, 2);
	return offset - UDP_HEADER_SIZE + size;
}

uint32_t datagram_write_icmp6(const struct datagram *datagram, uint8_t *frame, uint32_t size)
{
	uint8_t *icmp = frame + DATAGRAM_ICMP6_OFFSET;
	uint16_t checksum;

	write_ethernet(datagram, frame);
	write_ip(datagram, frame + ETHERNET_HEADER_SIZE, IPPROTO_ICMPV6, size);
	put16(icmp + 2, 0);
	checksum = upper_checksum(datagram, IPPROTO_ICMPV6, icmp, size);
	memcpy(icmp + 2, &checksum, 2);
	return DATAGRAM_ICMP6_OFFSET + size;
}
