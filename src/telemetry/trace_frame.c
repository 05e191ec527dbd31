// From a written packet to the frame that a workload would send: headers with right checksums, and
// zeros behind them.

#include <arpa/inet.h>

#include <rte_hash_crc.h>

#include "packet/header.h"
#include "packet/packet.h"
#include "telemetry/telemetry.h"

static void write16(uint8_t *to, uint32_t value)
{
	to[0] = (uint8_t)(value >> 8);
	to[1] = (uint8_t)value;
}

static uint32_t l4_header_size(const struct packet *packet)
{
	switch (packet->key.protocol) {
	case IPPROTO_TCP:
		return TCP_HEADER_SIZE;
	case IPPROTO_SCTP:
		return SCTP_HEADER_SIZE + SCTP_INIT_SIZE;
	default:
		return UDP_HEADER_SIZE;
	}
}

static void write_ports(uint8_t *l4, const struct flow_key *key)
{
	memcpy(l4, &key->source_port, 2);
	memcpy(l4 + 2, &key->destination_port, 2);
}

// Where its checksum is, or 0 for none.
static uint32_t write_l4(uint8_t *l4, const struct packet *packet, uint32_t length)
{
	switch (packet->key.protocol) {
	case IPPROTO_TCP:
		write_ports(l4, &packet->key);
		l4[12] = TCP_HEADER_SIZE / 4 << 4;
		l4[13] = packet->tcp_flags;
		write16(l4 + 14, 65535);
		return 16;
	case IPPROTO_UDP:
		write_ports(l4, &packet->key);
		write16(l4 + 4, length);
		return 6;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		l4[0] = packet->icmp_type;
		l4[1] = packet->icmp_code;
		memcpy(l4 + 4, &packet->key.source_port, 2);
		return 2;
	case IPPROTO_SCTP: // an INIT (RFC 9260 section 3.3.2)
		write_ports(l4, &packet->key);
		l4[12] = 1;
		write16(l4 + 14, SCTP_INIT_SIZE);
		l4[19] = 1; // initiate tag
		write16(l4 + 22, 65535);
		write16(l4 + 24, 1);
		write16(l4 + 26, 1);
		return 0;
	default:
		return 0;
	}
}

static void write_checksum(uint8_t *l4, const struct packet *packet, uint32_t length, uint32_t at)
{
	uint8_t protocol = packet->key.protocol;
	uint64_t sum = 0;
	uint16_t value;

	if (protocol == IPPROTO_SCTP) {
		uint64_t aligned[TRACE_FRAME_MAX / 8 + 1]; // as rte_hash_crc reads it
		uint32_t crc;

		memcpy(aligned, l4, length);
		crc = ~rte_hash_crc(aligned, length, UINT32_MAX);
		memcpy(l4 + 8, &crc, 4);
		return;
	}
	if (!at)
		return;
	if (protocol != IPPROTO_ICMP)
		sum = checksum_pseudo(&packet->source, &packet->destination, protocol, length);
	value = checksum_finish(checksum_add(sum, l4, length));
	if (!value && protocol == IPPROTO_UDP)
		value = 0xffff;
	memcpy(l4 + at, &value, 2);
}

uint32_t trace_frame_write(const struct packet *packet, uint8_t frame[TRACE_FRAME_MAX])
{
	bool v4 = ip_is_v4(&packet->source);
	uint32_t header = v4 ? IPV4_HEADER_SIZE : IPV6_HEADER_SIZE;
	uint32_t length = header + l4_header_size(packet), at;
	uint8_t *ip = frame + ETHERNET_HEADER_SIZE, *l4 = ip + header;
	uint16_t checksum;

	if (length < packet->ip_length)
		length = packet->ip_length;
	memset(frame, 0, ETHERNET_HEADER_SIZE + length);
	memcpy(frame, &packet->destination_mac, 6);
	memcpy(frame + 6, &packet->source_mac, 6);
	write16(frame + 12, v4 ? ETHERNET_TYPE_IPV4 : ETHERNET_TYPE_IPV6);
	if (v4) {
		ip[0] = 0x45;
		write16(ip + 2, length);
		ip[6] = 0x40; // don't fragment, as everybody does for TCP
		ip[8] = packet->ttl;
		ip[9] = packet->key.protocol;
		memcpy(ip + 12, &packet->source.words[3], 4);
		memcpy(ip + 16, &packet->destination.words[3], 4);
		checksum = checksum_finish(checksum_add(0, ip, IPV4_HEADER_SIZE));
		memcpy(ip + 10, &checksum, 2);
	} else {
		ip[0] = 0x60;
		write16(ip + 4, length - IPV6_HEADER_SIZE);
		ip[6] = packet->key.protocol;
		ip[7] = packet->ttl;
		memcpy(ip + 8, &packet->source, 16);
		memcpy(ip + 24, &packet->destination, 16);
	}
	at = write_l4(l4, packet, length - header);
	write_checksum(l4, packet, length - header, at);
	return ETHERNET_HEADER_SIZE + length;
}
