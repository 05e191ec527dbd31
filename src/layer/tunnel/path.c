// What routers of the underlay say about tunnel packets that were too big for them.

#include <arpa/inet.h>

#include "layer/tunnel/tunnel.h"

// Less than this is no link's (Linux: net.ipv4.route.min_pmtu), or a lie; for IPv6 it is no link's
// by definition.
#define PATH_MTU_MIN_V4 552
#define PATH_MTU_MIN_V6 1280

static uint32_t read32(const uint8_t *data)
{
	uint32_t value;

	memcpy(&value, data, sizeof(value));
	return ntohl(value);
}

// The quoted outer packet's size; 0: it is not as ours are.
static uint32_t check_quote_v4(const uint8_t *quote)
{
	return quote[0] == 0x45 && (quote[6] & 0x40) ? read32(quote) & 0xffff : 0;
}

static uint32_t check_quote_v6(const uint8_t *quote)
{
	return quote[6] == IPPROTO_UDP ? (read32(quote + 4) >> 16) + IPV6_HEADER_SIZE : 0;
}

// As much of the VXLAN header as there is, which may be nothing.
static bool check_quoted_vni(const struct tables *tables, const uint8_t *quote, uint32_t size)
{
	if (size < VXLAN_HEADER_SIZE)
		return true;
	return quote[0] == 0x08 &&
	       lookup_find(&tables->by_vni, (struct lookup_key){{read32(quote + 4) >> 8, 0, 0}});
}

bool tunnel_path_error(const struct tables *tables, const struct packet *packet,
		       const uint8_t *data, uint32_t available, uint16_t *peer, uint32_t *mtu,
		       bool *whole)
{
	const struct underlay *underlay = &tables->underlay;
	const uint8_t *icmp = data + packet->l4_offset, *quote = icmp + ICMP_HEADER_SIZE;
	bool v4 = ip_is_v4(&packet->source);
	uint32_t end = (uint32_t)packet->l3_offset + packet->ip_length, size, quoted, header;
	uint64_t sum = 0;

	if (packet->kind != PACKET_ICMP_ERROR || end > available ||
	    (v4 ? packet->icmp_type != 3 || packet->icmp_code != 4 : packet->icmp_type != 2) ||
	    !ip_equal(&packet->destination, &underlay->vtep.address))
		return false;
	size = end - packet->l4_offset;
	header = ICMP_HEADER_SIZE + (v4 ? IPV4_HEADER_SIZE : IPV6_HEADER_SIZE) + UDP_HEADER_SIZE;
	if (size < header)
		return false;
	if (!v4)
		sum = checksum_pseudo(&packet->source, &packet->destination, IPPROTO_ICMPV6, size);
	if (checksum_finish(checksum_add(sum, icmp, size)) != 0)
		return false;
	// The key is that of the answer to the quoted packet.
	*peer = (uint16_t)lookup_find(&tables->by_vtep, lookup_key_address(0, &packet->key.source));
	if (!*peer || !ip_equal(&packet->key.destination, &underlay->vtep.address) ||
	    packet->key.protocol != IPPROTO_UDP || packet->key.source_port != htons(VXLAN_PORT) ||
	    ntohs(packet->key.destination_port) < TUNNEL_SOURCE_PORT ||
	    !check_quoted_vni(tables, icmp + header, size - header))
		return false;
	// What fits was not refused.
	quoted = v4 ? check_quote_v4(quote) : check_quote_v6(quote);
	*mtu = v4 ? read32(icmp + 4) & 0xffff : read32(icmp + 4);
	*whole = underlay->mtu && quoted > underlay->mtu;
	return quoted > *mtu && *mtu >= (v4 ? PATH_MTU_MIN_V4 : PATH_MTU_MIN_V6);
}
