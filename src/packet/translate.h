// Rewrites the addresses and ports of a packet, with all checksums that cover them (RFC 1624, RFC
// 3022 section 4, RFC 5508).
//
// A packet of `packet->key` becomes one of the reverse of `back`: of the key that answers to it
// will have. Both are of one family.

#pragma once

#include "packet/header.h"
#include "packet/packet.h"
#include "packet/parse.h"

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

// The checksum that such a sum makes. A half is added to the other one, with its carry, by adding
// the number to itself turned around.
static inline uint16_t translate_fold(uint64_t sum)
{
	uint32_t half = (uint32_t)((sum + (sum << 32 | sum >> 32)) >> 32);

	return (uint16_t) ~((half + (half << 16 | half >> 16)) >> 16);
}

// Nothing, to a checksum: so much can be taken away from it that it stays a number above zero.
#define TRANSLATE_NOTHING (UINT64_C(0xffff) << 32)

// In 32-bit words in memory order: what a sum grows by when the old ones become the new ones.
static inline uint64_t translate_difference(const struct ip_address *from,
					    const struct ip_address *to, unsigned int first)
{
	uint64_t sum = 0;

	for (unsigned int i = first; i < 4; i++)
		sum += (uint64_t)to->words[i] - from->words[i];
	return sum;
}

// What becomes of a packet that packet_is_plain.
struct rewrite {
	const struct flow_key *back; // translated by it as above; NULL: not at all
	bool unfinished;
	uint8_t hops; // 0 or 1 to be taken off
	uint8_t mark; // its DSCP; REWRITE_NO_MARK: as it is
};

#define REWRITE_NO_MARK 255

// The TTL is the first byte of its word in memory order.
#define REWRITE_HOP_SUM (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? 0x0001u : 0x0100u)

static inline void rewrite_ipv4(uint8_t *ip, const struct rewrite *rewrite, uint64_t sum)
{
	const struct flow_key *back = rewrite->back;
	uint16_t checksum;

	memcpy(&checksum, ip + 10, 2);
	// Of the one's complement.
	sum -= checksum;
	sum -= rewrite->hops * REWRITE_HOP_SUM;
	ip[8] = (uint8_t)(ip[8] - rewrite->hops);
	if (rewrite->mark != REWRITE_NO_MARK) {
		uint32_t before = ip[1], after = (uint32_t)rewrite->mark << 2 | (before & 3);

		ip[1] = (uint8_t)after;
		// The class is the second byte of its word.
		if (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)
			sum += ((uint64_t)after << 8) - ((uint64_t)before << 8);
		else
			sum += (uint64_t)after - before;
	}
	checksum = translate_fold(sum);
	memcpy(ip + 10, &checksum, 2);
	if (back) {
		memcpy(ip + 12, &back->destination.words[3], 4);
		memcpy(ip + 16, &back->source.words[3], 4);
	}
}

static inline void rewrite_ipv6(uint8_t *ip, const struct rewrite *rewrite)
{
	ip[7] = (uint8_t)(ip[7] - rewrite->hops);
	if (rewrite->mark != REWRITE_NO_MARK)
		ip_set_dscp(ip, false, rewrite->mark);
	if (rewrite->back) {
		memcpy(ip + 8, &rewrite->back->destination, 16);
		memcpy(ip + 24, &rewrite->back->source, 16);
	}
}

static inline void rewrite_ports(uint8_t *l4, const struct packet *packet,
				 const struct rewrite *rewrite, uint64_t sum)
{
	const struct flow_key *back = rewrite->back;
	bool tcp = packet->key.protocol == IPPROTO_TCP;
	uint8_t *field = l4 + (tcp ? 16 : 6);
	uint32_t before = read32(l4), after;
	uint16_t checksum;

	// Both at once, and exchanged.
	memcpy(&after, &back->source_port, sizeof(after));
	after = after << 16 | after >> 16;
	memcpy(&checksum, field, 2);
	// UDP without a checksum stays so; TCP's zero is one like any other.
	if (!rewrite->unfinished && (checksum || tcp)) {
		checksum = translate_fold(sum - checksum + after - before);
		if (!checksum && !tcp)
			checksum = 0xffff;
		memcpy(field, &checksum, 2);
	}
	memcpy(l4, &after, sizeof(after));
}

// All of it at once: each field is written once, and each checksum.
static inline void packet_rewrite_plain(uint8_t *data, const struct packet *packet,
					const struct rewrite *rewrite)
{
	const struct flow_key *key = &packet->key, *back = rewrite->back;
	uint8_t *ip = data + packet->l3_offset, *l4 = data + packet->l4_offset;
	uint64_t sum = TRANSLATE_NOTHING;

	// Neither has options or extension headers.
	if (l4 - ip == IPV4_HEADER_SIZE) {
		if (back)
			sum += translate_difference(&key->source, &back->destination, 3) +
			       translate_difference(&key->destination, &back->source, 3);
		rewrite_ipv4(ip, rewrite, sum);
	} else {
		if (back)
			sum += translate_difference(&key->source, &back->destination, 0) +
			       translate_difference(&key->destination, &back->source, 0);
		rewrite_ipv6(ip, rewrite);
	}
	if (back)
		rewrite_ports(l4, packet, rewrite, sum);
}
