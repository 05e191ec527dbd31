#include "packet/translate.h"

#include <arpa/inet.h>

#include "packet/parse.h"

#define TCP_CHECKSUM  16
#define UDP_CHECKSUM  6
#define ICMP_CHECKSUM 2
#define ICMP_ID	      4

// What is written adds to a sum what a checksum over it has to grow by: new minus old, in words of
// 16 bits in memory order. All fields lie at even places.
static void set16(uint8_t *at, uint16_t value, uint64_t *sum)
{
	*sum += (uint64_t)(uint16_t)~read16(at) + value;
	memcpy(at, &value, sizeof(value));
}

static void set_address(uint8_t *at, const struct ip_address *address, bool v4, uint64_t *sum)
{
	for (unsigned int i = v4 ? 3 : 0; i < 4; i++, at += 4) {
		*sum += (uint64_t)(uint32_t)~read32(at) + address->words[i];
		memcpy(at, &address->words[i], 4);
	}
}

// Has the checksum at `field` follow what changed by `sum`; it may itself be covered by another
// one, that changes by `*outer`.
static void repair(uint8_t *field, uint64_t sum, bool udp, uint64_t *outer)
{
	uint16_t checksum = read16(field);

	if (udp && !checksum)
		return;
	checksum = checksum_finish(sum + (uint16_t)~checksum);
	if (udp && !checksum)
		checksum = 0xffff;
	set16(field, checksum, outer);
}

// Addresses of an IP header, and IPv4's checksum. Adds to `*pseudo` what the pseudo header changes
// by, and to `*all` that and all else.
static void set_addresses(uint8_t *ip, bool v4, const struct ip_address *source,
			  const struct ip_address *destination, uint64_t *pseudo, uint64_t *all)
{
	uint64_t sum = 0;

	set_address(ip + (v4 ? 12 : 8), source, v4, &sum);
	set_address(ip + (v4 ? 16 : 24), destination, v4, &sum);
	*pseudo += sum;
	*all += sum;
	if (v4)
		repair(ip + 10, sum, false, all);
}

// Ports or the identifier of a query of `key`'s becoming `to`'s, and the checksum, as far as
// `available` bytes go. `pseudo`: what the pseudo header has changed by.
static void set_transport(uint8_t *l4, uint32_t available, const struct flow_key *to, bool request,
			  uint64_t pseudo, bool unfinished, uint64_t *all)
{
	uint64_t sum = 0;
	uint32_t field;

	switch (to->protocol) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_SCTP:
		set16(l4, to->source_port, &sum);
		set16(l4 + 2, to->destination_port, &sum);
		*all += sum;
		field = to->protocol == IPPROTO_TCP ? TCP_CHECKSUM : UDP_CHECKSUM;
		if (to->protocol != IPPROTO_SCTP && !unfinished && field + 2 <= available)
			repair(l4 + field, sum + pseudo, to->protocol == IPPROTO_UDP, all);
		break;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		if (!(to->flags & FLOW_KEY_ONE_WAY))
			set16(l4 + ICMP_ID, request ? to->source_port : to->destination_port, &sum);
		*all += sum;
		if (to->protocol == IPPROTO_ICMPV6)
			sum += pseudo;
		repair(l4 + ICMP_CHECKSUM, sum, false, all);
		break;
	default:
		break;
	}
}

// The IP packet that an error quotes, which has left here as the reverse of `packet->key`, becomes
// what its sender has sent. parse_quote has looked at it before.
static void translate_quote(uint8_t *ip, uint32_t available, const struct flow_key *sent,
			    uint64_t *all)
{
	bool v4 = ip_is_v4(&sent->source), fragment, first;
	uint32_t l4 = v4 ? (ip[0] & 15u) * 4 : IPV6_HEADER_SIZE;
	uint8_t protocol = v4 ? ip[9] : ip[6];
	uint64_t pseudo = 0;
	bool request;

	set_addresses(ip, v4, &sent->source, &sent->destination, &pseudo, all);
	if (!v4 && skip_extension_headers(ip, available, available, &l4, &protocol, &fragment,
					  &first) != DROP_NONE)
		return;
	if (l4 + 8 > available)
		return;
	// Of a query the type is on the side of the port that it is for.
	request = sent->destination_port == htons((uint16_t)(ip[l4] << 8 | ip[l4 + 1]));
	set_transport(ip + l4, available - l4, sent, request, pseudo, false, all);
}

void packet_translate(uint8_t *data, uint32_t available, const struct packet *packet,
		      const struct flow_key *back, bool unfinished)
{
	struct flow_key to = flow_key_reverse(back, back->network);
	bool v4 = ip_is_v4(&to.source);
	uint64_t pseudo = 0, all = 0;
	uint8_t *l4 = data + packet->l4_offset;

	if (packet->kind == PACKET_ICMP_ERROR) {
		bool hidden = !ip_equal(&to.source, &packet->key.source);
		uint32_t end = packet->l3_offset + packet->ip_length;
		uint64_t body = 0;

		end = (end < available ? end : available) - packet->l4_offset - ICMP_HEADER_SIZE;
		set_addresses(data + packet->l3_offset, v4, hidden ? &to.source : &packet->source,
			      &to.destination, &pseudo, &all);
		translate_quote(l4 + ICMP_HEADER_SIZE, end, back, &body);
		repair(l4 + ICMP_CHECKSUM, v4 ? body : body + pseudo, false, &all);
		return;
	}
	set_addresses(data + packet->l3_offset, v4, &to.source, &to.destination, &pseudo, &all);
	if (packet->l4_offset)
		set_transport(l4, available - packet->l4_offset, &to, !packet->icmp_reply, pseudo,
			      unfinished, &all);
}
