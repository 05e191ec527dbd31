// Frames that are translated into the other IP family and back. What comes out is read as any
// packet is: it is what it was to become, its checksums are right where they were, and back again
// it is what came in.
//
// The first byte: bit 0, checksums are made right; bits 1 to 3, the length of the prefix; bit 4, a
// hop is taken off.

#include <arpa/inet.h>

#include "fuzz.h"
#include "fuzz_frame.h"
#include "packet/family.h"
#include "packet/parse.h"

static const uint8_t lengths[] = {96, 64, 56, 48, 40, 32, 96, 96};

static struct ip_prefix prefix;
static struct ip_address inside, outside;

static bool is_echo(uint16_t port, bool v4)
{
	return port == htons((v4 ? ICMP_ECHO_REQUEST : ICMP6_ECHO_REQUEST) << 8);
}

// As the other family has it: its destination is a prefix's, or comes out of that.
static bool other_key(const struct flow_key *key, struct flow_key *to)
{
	bool v4 = ip_is_v4(&key->source);
	bool icmp = key->protocol == (v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
	uint16_t port;

	// Replies have the request on the other side.
	*to = is_echo(key->source_port, v4) ? flow_key_reverse(key, 0) : *key;
	// An identifier that looks like a request: which side asks can't be seen.
	if (icmp &&
	    (!is_echo(to->destination_port, v4) || is_echo(to->source_port & htons(0xff00), v4)))
		return false;
	port = to->destination_port;
	*to = family_key(to, !v4);
	require(!icmp || (to->destination_port && to->destination_port != port));
	if (is_echo(key->source_port, v4) && icmp)
		*to = flow_key_reverse(to, 0);
	if (v4) {
		to->source = family_embed(&prefix, &key->source);
		to->destination = inside;
	} else {
		to->source = outside;
		to->destination = family_extract(prefix.length, &key->destination);
		return !family_is_forbidden(&prefix, &to->destination);
	}
	return true;
}

// Of the transport header and all behind it.
static bool is_right(const uint8_t *frame, const struct packet *packet)
{
	uint32_t length = packet->ip_length - (packet->l4_offset - packet->l3_offset);
	uint8_t protocol = packet->kind == PACKET_ICMP_ERROR
				   ? ip_is_v4(&packet->source) ? IPPROTO_ICMP : IPPROTO_ICMPV6
				   : packet->key.protocol;
	uint64_t sum = 0;

	if (protocol != IPPROTO_ICMP)
		sum = checksum_pseudo(&packet->source, &packet->destination, protocol, length);
	sum = checksum_finish(checksum_add(sum, frame + packet->l4_offset, length));
	// Zero has two forms.
	return sum == 0 || sum == 0xffff;
}

static uint32_t build(uint8_t *frame, const uint8_t *ip, uint32_t size, bool v4)
{
	memset(frame, 2, 12);
	frame[12] = v4 ? 0x08 : 0x86;
	frame[13] = v4 ? 0x00 : 0xdd;
	memcpy(frame + ETHERNET_HEADER_SIZE, ip, size);
	return ETHERNET_HEADER_SIZE + size;
}

static struct packet read_again(const uint8_t *frame, uint32_t size, const struct flow_key *to)
{
	struct packet again;

	memset(&again, 0, sizeof(again));
	require(packet_parse(frame, size, size, &again) == DROP_NONE);
	require(flow_key_equal(&again.key, to));
	require(again.l3_offset + again.ip_length == size);
	return again;
}

static void error(const uint8_t *frame, const struct packet *packet, const struct flow_key *to,
		  unsigned int hops)
{
	struct flow_key back = flow_key_reverse(to, 0);
	uint8_t result[FAMILY_ERROR_SIZE], made[ETHERNET_HEADER_SIZE + FAMILY_ERROR_SIZE];
	uint32_t size = family_translate_error(frame, packet, &back, hops, result);
	struct packet again;

	require(size <= sizeof(result));
	if (!size)
		return;
	size = build(made, result, size, ip_is_v4(&to->source));
	again = read_again(made, size, to);
	require(again.kind == PACKET_ICMP_ERROR && is_right(made, &again));
	require(again.ttl == (uint8_t)(packet->ttl - hops));
}

// `frame` has room in front.
static uint32_t change(uint8_t *frame, const struct packet *packet, const struct flow_key *to,
		       unsigned int hops, uint8_t *made)
{
	struct flow_key back = flow_key_reverse(to, 0);
	uint32_t header = ip_is_v4(&to->source) ? IPV4_HEADER_SIZE : IPV6_HEADER_SIZE;
	uint32_t length = packet->ip_length - (packet->l4_offset - packet->l3_offset);
	uint8_t ip[IPV6_HEADER_SIZE];

	require(family_growth(packet) ==
		(int)header - (int)(packet->l4_offset - packet->l3_offset));
	family_translate(frame, packet, &back, hops, false, 7, ip);
	build(made, ip, header, ip_is_v4(&to->source));
	memcpy(made + ETHERNET_HEADER_SIZE + header, frame + packet->l4_offset, length);
	return ETHERNET_HEADER_SIZE + header + length;
}

static void fragment_change(uint8_t *frame, struct packet *packet, unsigned int hops)
{
	static uint8_t made[GUARD_MAX + 64];
	uint8_t header[FAMILY_FRAGMENT_HEADER];
	struct fragment fragment, again;
	struct flow_key to, back;
	struct packet changed;
	uint32_t size;
	bool v4;

	if (!fragment_read(frame, packet->length, packet, &fragment) ||
	    fragment.offset + fragment.size > 65000)
		return;
	packet->l4_offset = fragment.offset ? 0 : fragment.payload;
	if (!other_key(&packet->key, &to))
		return;
	back = flow_key_reverse(&to, 0);
	size = family_translate_fragment(frame, packet, &fragment, &back, hops, header);
	if (!size)
		return;
	v4 = ip_is_v4(&to.source);
	require(size == (v4 ? IPV4_HEADER_SIZE : FAMILY_FRAGMENT_HEADER));
	build(made, header, size, v4);
	memcpy(made + ETHERNET_HEADER_SIZE + size, frame + fragment.payload, fragment.size);
	size += ETHERNET_HEADER_SIZE + fragment.size;
	memset(&changed, 0, sizeof(changed));
	require(packet_parse(made, size, size, &changed) == DROP_NONE);
	require(changed.kind == PACKET_FRAGMENT && flow_key_equal(&changed.key, &to));
	require(fragment_read(made, size, &changed, &again));
	require(again.offset == fragment.offset && again.size == fragment.size &&
		again.more == fragment.more && again.protocol == to.protocol);
	require(memcmp((uint8_t *)&again.identification + (v4 ? 0 : 2),
		       (uint8_t *)&fragment.identification + (v4 ? 2 : 0), 2) == 0);
}

static void one(uint8_t *frame, uint32_t length, unsigned int hops)
{
	static uint8_t there[GUARD_MAX + 64], again[GUARD_MAX + 64], before[GUARD_MAX];
	struct packet packet, changed;
	struct flow_key to;
	uint32_t size, l4, field;
	bool right, none;

	memset(&packet, 0, sizeof(packet));
	if (packet_parse(frame, length, length, &packet) != DROP_NONE)
		return;
	// As the fast path does.
	if (packet.ttl <= hops)
		return;
	if (packet.kind == PACKET_FRAGMENT) {
		fragment_change(frame, &packet, hops);
		return;
	}
	if ((packet.kind != PACKET_IP && packet.kind != PACKET_ICMP_ERROR))
		return;
	if (!family_can(frame, &packet) || !other_key(&packet.key, &to))
		return;
	if (packet.kind == PACKET_ICMP_ERROR) {
		error(frame, &packet, &to, hops);
		return;
	}
	// What is longer has no room in the other family's header.
	if (packet.ip_length > 65000)
		return;
	l4 = packet.ip_length - (packet.l4_offset - packet.l3_offset);
	memcpy(before, frame + packet.l4_offset, l4);
	right = is_right(frame, &packet);
	none = packet.key.protocol == IPPROTO_UDP && read16(frame + packet.l4_offset + 6) == 0;
	size = change(frame, &packet, &to, hops, there);
	changed = read_again(there, size, &to);
	require(changed.kind == PACKET_IP && changed.ttl == (uint8_t)(packet.ttl - hops));
	if (none)
		return;
	require(is_right(there, &changed) == right);
	if (!right)
		return;
	size = change(there, &changed, &packet.key, 0, again);
	changed = read_again(again, size, &packet.key);
	require(is_right(again, &changed));
	// But for the forms of zero.
	field = packet.key.protocol == IPPROTO_TCP   ? 16
		: packet.key.protocol == IPPROTO_UDP ? 6
						     : 2;
	memset(before + field, 0, 2);
	memset(again + changed.l4_offset + field, 0, 2);
	require(memcmp(again + changed.l4_offset, before, l4) == 0);
}

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
	require(ip_parse("2001:db8:1::2", &inside) && ip_parse("203.0.113.64", &outside));
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *frame;

	if (size < 1 || size > GUARD_MAX)
		return 0;
	memset(&prefix, 0, sizeof(prefix));
	prefix.length = lengths[data[0] >> 1 & 7];
	require(ip_parse("2001:db8::", &prefix.address));
	frame = guard_room(size - 1);
	memcpy(frame, data + 1, size - 1);
	if (data[0] & 1)
		frame_repair(frame, (uint32_t)size - 1);
	one(frame, (uint32_t)size - 1, data[0] >> 4 & 1);
	return 0;
}
