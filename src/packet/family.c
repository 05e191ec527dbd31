#include "packet/family.h"

#include <arpa/inet.h>

#include "packet/parse.h"

#define WELL_KNOWN_U 8 // the byte that is zero in every address (RFC 6052 section 2.2)
#define DF_FROM	     1260
#define QUOTE_OFFSET ICMP_HEADER_SIZE

bool family_prefix_length_valid(uint32_t length)
{
	return length == 96 || (length >= 32 && length <= 64 && length % 8 == 0);
}

// The bytes of an IPv4 address go around the one that is zero.
static unsigned int next_byte(unsigned int at)
{
	return at + 1 == WELL_KNOWN_U ? at + 2 : at + 1;
}

static unsigned int first_byte(uint8_t length)
{
	return length / 8 == WELL_KNOWN_U ? WELL_KNOWN_U + 1u : length / 8u;
}

struct ip_address family_embed(const struct ip_prefix *prefix, const struct ip_address *v4)
{
	struct ip_address address = prefix->address;
	unsigned int at = first_byte(prefix->length);

	for (unsigned int i = 0; i < 4; i++, at = next_byte(at))
		address.bytes[at] = v4->bytes[12 + i];
	return address;
}

struct ip_address family_extract(uint8_t length, const struct ip_address *v6)
{
	struct ip_address address = ip_from_v4(0);
	unsigned int at = first_byte(length);

	for (unsigned int i = 0; i < 4; i++, at = next_byte(at))
		address.bytes[12 + i] = v6->bytes[at];
	return address;
}

// type * 256 + code of a request, on the side that it is for.
static uint16_t other_request(uint16_t port, bool v4)
{
	if (v4)
		return port == htons(ICMP6_ECHO_REQUEST << 8) ? htons(ICMP_ECHO_REQUEST << 8) : 0;
	return port == htons(ICMP_ECHO_REQUEST << 8) ? htons(ICMP6_ECHO_REQUEST << 8) : 0;
}

struct flow_key family_key(const struct flow_key *key, bool v4)
{
	struct flow_key other = *key;

	if (key->protocol == (v4 ? IPPROTO_ICMPV6 : IPPROTO_ICMP)) {
		other.protocol = v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
		other.destination_port = other_request(key->destination_port, v4);
	}
	return other;
}

struct v4_prefix {
	uint32_t address;
	uint32_t length;
};

static bool is_in(uint32_t address, const struct v4_prefix *prefixes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if ((address ^ prefixes[i].address) >> (32 - prefixes[i].length) == 0)
			return true;
	return false;
}

bool family_is_forbidden(const struct ip_prefix *prefix, const struct ip_address *v4)
{
	// This network, loopback, link-local; multicast and what is behind it.
	static const struct v4_prefix nobody[] = {
		{0x00000000, 8}, {0x7f000000, 8}, {0xa9fe0000, 16}, {0xe0000000, 3}};
	static const struct v4_prefix not_global[] = {{0x0a000000, 8},	{0x64400000, 10},
						      {0xac100000, 12}, {0xc0000000, 24},
						      {0xc0a80000, 16}, {0xc6120000, 15}};
	static const uint8_t well_known[16] = {0x00, 0x64, 0xff, 0x9b};
	uint32_t address = ntohl(v4->words[3]);

	if (is_in(address, nobody, sizeof(nobody) / sizeof(*nobody)))
		return true;
	return prefix->length == 96 && memcmp(&prefix->address, well_known, 12) == 0 &&
	       is_in(address, not_global, sizeof(not_global) / sizeof(*not_global));
}

// Extension headers that end `size` bytes behind the beginning of the IPv6 header, where the fields
// of a fragment are looked at elsewhere.
static bool can_leave_out(const uint8_t *ip, uint32_t size)
{
	uint8_t next = ip[6];
	uint32_t at = IPV6_HEADER_SIZE;

	while (at < size) {
		const uint8_t *header = ip + at;

		switch (next) {
		case IPPROTO_ROUTING:
			// Not at its destination yet.
			if (header[3])
				return false;
			break;
		case IPPROTO_HOPOPTS:
		case IPPROTO_DSTOPTS:
			break;
		case IPPROTO_FRAGMENT:
			next = header[0];
			at += 8;
			continue;
		default:
			return false;
		}
		next = header[0];
		at += (header[1] + 1u) * 8;
	}
	return true;
}

static bool is_echo(const struct packet *packet, bool v4)
{
	return packet->icmp_code == 0 &&
	       packet->icmp_type == (v4 ? packet->icmp_reply ? ICMP_ECHO_REPLY : ICMP_ECHO_REQUEST
				     : packet->icmp_reply ? ICMP6_ECHO_REPLY
							  : ICMP6_ECHO_REQUEST);
}

bool family_can(const uint8_t *data, const struct packet *packet)
{
	bool v4 = ip_is_v4(&packet->key.source);
	const uint8_t *ip = data + packet->l3_offset;

	if (!packet->l4_offset || packet->fragments ||
	    (!v4 && !can_leave_out(ip, packet->l4_offset - packet->l3_offset)))
		return false;
	switch (packet->key.protocol) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
		return true;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return packet->kind == PACKET_ICMP_ERROR || is_echo(packet, v4);
	default:
		return false;
	}
}

static uint64_t add_address(uint64_t sum, const struct ip_address *address, bool minus)
{
	for (unsigned int i = ip_is_v4(address) ? 3 : 0; i < 4; i++)
		sum += minus ? (uint32_t)~address->words[i] : address->words[i];
	return sum;
}

// What a checksum changes by, that covers addresses (those of TCP, UDP and ICMPv6 do).
static uint64_t change_ends(uint64_t sum, const struct flow_key *key, bool minus)
{
	return add_address(add_address(sum, &key->source, minus), &key->destination, minus);
}

static void set16(uint8_t *at, uint16_t value, uint64_t *sum)
{
	*sum += (uint64_t)(uint16_t)~read16(at) + value;
	memcpy(at, &value, sizeof(value));
}

static void finish(uint8_t *field, uint64_t sum, bool udp)
{
	uint16_t checksum = checksum_finish(sum + (uint16_t)~read16(field));

	// Without one it stays so.
	if (udp && !read16(field))
		return;
	if (udp && !checksum)
		checksum = 0xffff;
	memcpy(field, &checksum, sizeof(checksum));
}

// `length`: of the transport header and what is behind it. As far as `available` bytes go.
static void set_transport(uint8_t *l4, uint32_t available, uint32_t length,
			  const struct flow_key *from, const struct flow_key *to, bool unfinished)
{
	bool v4 = ip_is_v4(&to->source), request;
	uint64_t sum = 0;
	uint32_t field;

	if (to->protocol == IPPROTO_TCP || to->protocol == IPPROTO_UDP) {
		field = to->protocol == IPPROTO_TCP ? 16 : 6;
		set16(l4, to->source_port, &sum);
		set16(l4 + 2, to->destination_port, &sum);
		sum = change_ends(change_ends(sum, from, true), to, false);
		if (!unfinished && field + 2 <= available)
			finish(l4 + field, sum, to->protocol == IPPROTO_UDP);
		return;
	}
	// Echo, whose type and identifier follow; ICMPv6's checksum has a pseudo header.
	request = l4[0] == (v4 ? ICMP6_ECHO_REQUEST : ICMP_ECHO_REQUEST);
	set16(l4,
	      htons((uint16_t)((v4	  ? request ? ICMP_ECHO_REQUEST : ICMP_ECHO_REPLY
				: request ? ICMP6_ECHO_REQUEST
					  : ICMP6_ECHO_REPLY)
			       << 8)),
	      &sum);
	set16(l4 + 4, request ? to->source_port : to->destination_port, &sum);
	if (v4)
		sum = change_ends(sum + (uint16_t)~htons((uint16_t)length) +
					  (uint16_t)~htons(IPPROTO_ICMPV6),
				  from, true);
	else
		sum = change_ends(sum + htons((uint16_t)length) + htons(IPPROTO_ICMPV6), to, false);
	finish(l4 + 2, sum, false);
}

// `length`: of what is behind the header. `old` is the other family's, with `ttl` left.
static void make_header(uint8_t *header, const struct flow_key *to, uint8_t traffic_class,
			uint32_t length, uint8_t ttl, bool df, uint16_t identification)
{
	uint16_t value;

	if (ip_is_v4(&to->source)) {
		memset(header, 0, IPV4_HEADER_SIZE);
		header[0] = 0x45;
		header[1] = traffic_class;
		value = htons((uint16_t)(length + IPV4_HEADER_SIZE));
		memcpy(header + 2, &value, 2);
		if (df)
			header[6] = 0x40;
		else
			memcpy(header + 4, &identification, 2);
		header[8] = ttl;
		header[9] = to->protocol;
		memcpy(header + 12, &to->source.words[3], 4);
		memcpy(header + 16, &to->destination.words[3], 4);
		value = checksum_finish(checksum_add(0, header, IPV4_HEADER_SIZE));
		memcpy(header + 10, &value, 2);
		return;
	}
	header[0] = (uint8_t)(0x60 | traffic_class >> 4);
	header[1] = (uint8_t)(traffic_class << 4);
	header[2] = header[3] = 0;
	value = htons((uint16_t)length);
	memcpy(header + 4, &value, 2);
	header[6] = to->protocol;
	header[7] = ttl;
	memcpy(header + 8, &to->source, 16);
	memcpy(header + 24, &to->destination, 16);
}

void family_translate(uint8_t *data, const struct packet *packet, const struct flow_key *back,
		      unsigned int hops, bool unfinished, uint16_t identification,
		      uint8_t header[IPV6_HEADER_SIZE])
{
	struct flow_key to = flow_key_reverse(back, back->network);
	const uint8_t *ip = data + packet->l3_offset;
	bool v4 = ip_is_v4(&packet->key.source);
	uint32_t length = packet->ip_length - (packet->l4_offset - packet->l3_offset);

	set_transport(data + packet->l4_offset, length, length, &packet->key, &to, unfinished);
	make_header(header, &to, ip_traffic_class(ip, v4), length, (uint8_t)(packet->ttl - hops),
		    length + IPV4_HEADER_SIZE > DF_FROM, identification);
}

uint32_t family_translate_fragment(uint8_t *data, const struct packet *packet,
				   const struct fragment *fragment, const struct flow_key *back,
				   unsigned int hops, uint8_t header[FAMILY_FRAGMENT_HEADER])
{
	struct flow_key to = flow_key_reverse(back, back->network);
	const uint8_t *ip = data + packet->l3_offset;
	bool v4 = ip_is_v4(&packet->key.source), udp = to.protocol == IPPROTO_UDP;
	uint8_t traffic_class = ip_traffic_class(ip, v4), ttl = (uint8_t)(packet->ttl - hops);
	uint16_t field = htons((uint16_t)(fragment->offset | (fragment->more ? 1 : 0)));
	uint8_t *l4 = data + fragment->payload;
	uint16_t identification;

	if ((!udp && to.protocol != IPPROTO_TCP) || fragment->protocol != to.protocol ||
	    (!v4 && !can_leave_out(ip, fragment->payload - packet->l3_offset)))
		return 0;
	if (!fragment->offset) {
		if (packet->l4_offset != fragment->payload || fragment->size < UDP_HEADER_SIZE ||
		    (v4 && udp && !read16(l4 + 6)))
			return 0;
		set_transport(l4, fragment->size, fragment->size, &packet->key, &to, false);
	}
	if (v4) {
		make_header(header, &to, traffic_class, fragment->size + 8, ttl, false, 0);
		header[6] = IPPROTO_FRAGMENT;
		header[IPV6_HEADER_SIZE] = to.protocol;
		header[IPV6_HEADER_SIZE + 1] = 0;
		memcpy(header + IPV6_HEADER_SIZE + 2, &field, 2);
		memset(header + IPV6_HEADER_SIZE + 4, 0, 2);
		memcpy(header + IPV6_HEADER_SIZE + 6, ip + 4, 2);
		return FAMILY_FRAGMENT_HEADER;
	}
	// The lower half, as it stands there (RFC 7915 section 5.1.1).
	memcpy(&identification, (const uint8_t *)&fragment->identification + 2, 2);
	make_header(header, &to, traffic_class, fragment->size, ttl, false, identification);
	field = htons((uint16_t)(fragment->offset / 8 | (fragment->more ? 0x2000 : 0)));
	memcpy(header + 6, &field, 2);
	memset(header + 10, 0, 2);
	field = checksum_finish(checksum_add(0, header, IPV4_HEADER_SIZE));
	memcpy(header + 10, &field, 2);
	return IPV4_HEADER_SIZE;
}

// ---- errors

// RFC 7915 section 4.2: from `icmp` to the type and code, and the 32 bits behind the checksum.
// False: none.
static bool to_v6(const uint8_t *icmp, uint8_t *type, uint8_t *code, uint32_t *rest)
{
	static const uint8_t pointers[20] = {0,	   1,	 4, 4, 0xff, 0xff, 0xff, 0xff, 7,  6,
					     0xff, 0xff, 8, 8, 8,    8,	   24,	 24,   24, 24};
	uint32_t mtu = (uint32_t)icmp[6] << 8 | icmp[7];

	*rest = 0;
	*type = 1;
	switch (icmp[0]) {
	case 3:
		switch (icmp[1]) {
		case 2:
			*type = 4;
			*code = 1;
			*rest = htonl(6);
			return true;
		case 3:
			*code = 4;
			return true;
		case 4:
			*type = 2;
			*code = 0;
			// Who does not say has a small one.
			*rest = htonl(mtu < 1260 ? 1280 : mtu + 20);
			return true;
		case 9:
		case 10:
		case 13:
		case 15:
			*code = 1;
			return true;
		default:
			*code = 0;
			return icmp[1] <= 12;
		}
	case 11:
		*type = 3;
		*code = icmp[1];
		return true;
	case 12:
		if (icmp[1] != 0 || icmp[4] >= 20 || pointers[icmp[4]] == 0xff)
			return false;
		*type = 4;
		*code = 0;
		*rest = htonl(pointers[icmp[4]]);
		return true;
	default:
		return false;
	}
}

// Section 5.2.
static bool to_v4(const uint8_t *icmp, uint8_t *type, uint8_t *code, uint32_t *rest)
{
	uint32_t value = ntohl(read32(icmp + 4));

	*rest = 0;
	switch (icmp[0]) {
	case 1:
		*type = 3;
		*code = icmp[1] == 1 ? 10 : icmp[1] == 4 ? 3 : 1;
		return icmp[1] <= 4;
	case 2:
		*type = 3;
		*code = 4;
		*rest = htonl(value < 1280 ? 1260 : value > 65535 ? 65515 : value - 20);
		return true;
	case 3:
		*type = 11;
		*code = icmp[1];
		return true;
	case 4:
		*type = icmp[1] == 1 ? 3 : 12;
		*code = icmp[1] == 1 ? 2 : 0;
		return icmp[1] == 1;
	default:
		return false;
	}
}

// A router that says something is in the same prefix as who was asked for.
static struct ip_address sender_of(const struct packet *packet, const struct flow_key *to)
{
	static const uint8_t lengths[] = {96, 64, 56, 48, 40, 32};

	if (ip_is_v4(&to->source) || ip_equal(&packet->source, &packet->key.source))
		return to->source;
	for (unsigned int i = 0; i < sizeof(lengths); i++) {
		struct ip_address v4 = family_extract(lengths[i], &to->source);
		struct ip_prefix prefix = {.address = to->source, .length = lengths[i]};

		if (ip_equal(&v4, &packet->key.source))
			return family_embed(&prefix, &packet->source);
	}
	return to->source;
}

// `l4` is the transport header of what is quoted. An identifier may look like an echo's type, so of
// ICMP the key does not tell.
static bool may_quote(const struct flow_key *sent, const uint8_t *l4)
{
	bool v4 = ip_is_v4(&sent->source);

	if (sent->protocol == (v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6))
		return l4[1] == 0 && (l4[0] == (v4 ? ICMP_ECHO_REQUEST : ICMP6_ECHO_REQUEST) ||
				      l4[0] == (v4 ? ICMP_ECHO_REPLY : ICMP6_ECHO_REPLY));
	return sent->protocol == IPPROTO_TCP || sent->protocol == IPPROTO_UDP;
}

uint32_t family_translate_error(const uint8_t *data, const struct packet *packet,
				const struct flow_key *back, unsigned int hops,
				uint8_t result[FAMILY_ERROR_SIZE])
{
	struct flow_key to = flow_key_reverse(back, back->network), sent = packet->key;
	const uint8_t *ip = data + packet->l3_offset, *icmp = data + packet->l4_offset;
	const uint8_t *quote = icmp + ICMP_HEADER_SIZE;
	bool v4 = ip_is_v4(&to.source);
	uint32_t outer = v4 ? IPV4_HEADER_SIZE : IPV6_HEADER_SIZE, old, length, total, rest;
	uint32_t end = packet->l3_offset + packet->ip_length - packet->l4_offset - ICMP_HEADER_SIZE;
	uint8_t *made = result + outer, *l4 = made + ICMP_HEADER_SIZE + outer;
	uint16_t value;

	// What it quotes was sent here as the reverse of packet->key.
	sent = flow_key_reverse(&packet->key, packet->key.network);
	old = v4 ? IPV6_HEADER_SIZE : (quote[0] & 15u) * 4;
	// What was sent from here has no extension headers.
	if (end < old + 8 || (v4 && quote[6] != sent.protocol) || !may_quote(&sent, quote + old) ||
	    !(v4 ? to_v4(icmp, &made[0], &made[1], &rest) : to_v6(icmp, &made[0], &made[1], &rest)))
		return 0;
	memcpy(made + 4, &rest, 4);
	length = end - old;
	if (length > FAMILY_ERROR_SIZE - 2 * outer - ICMP_HEADER_SIZE)
		length = FAMILY_ERROR_SIZE - 2 * outer - ICMP_HEADER_SIZE;
	memcpy(l4, quote + old, length);
	total = v4 ? (uint32_t)(quote[4] << 8 | quote[5]) : (uint32_t)(quote[2] << 8 | quote[3]);
	if (!v4)
		total = total > old ? total - old : 0;
	if (total < 8)
		return 0;
	set_transport(l4, length, total, &sent, back, false);
	make_header(made + ICMP_HEADER_SIZE, back, ip_traffic_class(quote, !v4), total,
		    v4 ? quote[7] : quote[8], total + IPV4_HEADER_SIZE > DF_FROM, 0);
	length += ICMP_HEADER_SIZE + outer;
	to.source = sender_of(packet, &to);
	to.protocol = v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
	made[2] = made[3] = 0;
	value = checksum_finish(checksum_add(
		v4 ? 0 : checksum_pseudo(&to.source, &to.destination, IPPROTO_ICMPV6, length), made,
		length));
	memcpy(made + 2, &value, 2);
	make_header(result, &to, ip_traffic_class(ip, !v4), length, (uint8_t)(packet->ttl - hops),
		    false, 0);
	return outer + length;
}
