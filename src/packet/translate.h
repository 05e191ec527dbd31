// Rewrites the addresses and ports of a packet, with all checksums that cover them (RFC 1624, RFC
// 3022 section 4, RFC 5508).
//
// A packet of `packet->key` becomes one of the reverse of `back`: of the key that answers to it
// will have. Both are of one family.

#pragma once

#include "packet/header.h"
#include "packet/packet.h"

// Any packet that packet_parse takes, or a fragment: the first one with packet->l4_offset, of later
// ones that is 0, and only addresses are in them. An ICMP error gets what it quotes rewritten, too,
// as the other side has sent it; who says it, if that is another one than the connection's side,
// stays unless it is behind the translation itself (RFC 5508 section 4.2). `available` bytes are
// contiguous. `unfinished`: TCP's and UDP's checksums are still to be made, by others. SCTP's CRC
// is not touched.
void packet_translate(uint8_t *data, uint32_t available, const struct packet *packet,
		      const struct flow_key *back, bool unfinished);

// What packet_parse_plain has taken, and is no fragment: is it to be rewritten by the following?
static inline bool packet_is_plain(const struct packet *packet)
{
	uint32_t header = ip_is_v4(&packet->key.source) ? IPV4_HEADER_SIZE : IPV6_HEADER_SIZE;

	return packet->kind == PACKET_IP && packet->l3_offset + header == packet->l4_offset &&
	       !packet->fragments &&
	       (packet->key.protocol == IPPROTO_TCP || packet->key.protocol == IPPROTO_UDP);
}

static inline uint16_t translate_fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t) ~((sum & 0xffff) + (sum >> 16));
}

// In 32-bit words in memory order: what a sum grows by when the old ones become the new ones.
static inline uint64_t translate_difference(const struct ip_address *from,
					    const struct ip_address *to, bool v4)
{
	uint64_t sum = 0;

	for (unsigned int i = v4 ? 3 : 0; i < 4; i++)
		sum += (uint64_t)(uint32_t)~from->words[i] + to->words[i];
	return sum;
}

// The same for TCP or UDP behind an IP header without options, and takes `hops` (0 or 1) off:
// each field is written once, and each checksum.
static inline void packet_translate_plain(uint8_t *data, const struct packet *packet,
					  const struct flow_key *back, bool unfinished,
					  unsigned int hops)
{
	uint8_t *ip = data + packet->l3_offset, *l4 = data + packet->l4_offset;
	uint8_t *field = l4 + (packet->key.protocol == IPPROTO_TCP ? 16 : 6);
	bool v4 = ip_is_v4(&packet->key.source);
	uint64_t sum = translate_difference(&packet->key.source, &back->destination, v4) +
		       translate_difference(&packet->key.destination, &back->source, v4);
	uint16_t ports[2] = {back->destination_port, back->source_port}, checksum;

	if (v4) {
		memcpy(&checksum, ip + 10, 2);
		// The TTL is the first byte of its word in memory order.
		checksum = translate_fold(
			sum + (uint16_t)~checksum +
			hops * (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? 0xfffeu : 0xfeffu));
		memcpy(ip + 10, &checksum, 2);
		ip[8] = (uint8_t)(ip[8] - hops);
		memcpy(ip + 12, &back->destination.words[3], 4);
		memcpy(ip + 16, &back->source.words[3], 4);
	} else {
		ip[7] = (uint8_t)(ip[7] - hops);
		memcpy(ip + 8, &back->destination, 16);
		memcpy(ip + 24, &back->source, 16);
	}
	memcpy(&checksum, field, 2);
	// UDP without a checksum stays so; TCP's zero is one like any other.
	if (!unfinished && (checksum || packet->key.protocol == IPPROTO_TCP)) {
		sum += (uint64_t)(uint16_t)~checksum + (uint16_t)~packet->key.source_port +
		       (uint16_t)~packet->key.destination_port + ports[0] + ports[1];
		checksum = translate_fold(sum);
		if (!checksum && packet->key.protocol == IPPROTO_UDP)
			checksum = 0xffff;
		memcpy(field, &checksum, 2);
	}
	memcpy(l4, ports, sizeof(ports));
}
