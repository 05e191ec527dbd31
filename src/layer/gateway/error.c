// ICMP errors: whether one is due, and what it says.

#include <arpa/inet.h>

#include <rte_mbuf.h>

#include "layer/gateway/error.h"
#include "packet/datagram.h"
#include "packet/fragment.h"
#include "packet/header.h"

// Largest error: RFC 1812 section 4.3.2.3, RFC 4443 section 2.4 (c).
#define ERROR_MAX_V4 576
#define ERROR_MAX_V6 1280

// Of a router without an address of its own (RFC 7600 section 4.8).
#define NO_ADDRESS_V4 0xc0000008

#define TOS_INTERNETWORK_CONTROL 0xc0
#define TOS_SERVICE		 0x1c // neither precedence nor ECN

// What can be the one host that an error is sent to (RFC 1812 section 4.3.2.7, RFC 4443 2.4 (e)).
static bool is_host(const struct ip_address *address)
{
	static const struct ip_address v6_loopback = {.bytes = {[15] = 1}}, none;

	if (ip_is_multicast(address))
		return false;
	if (ip_is_v4(address))
		return address->bytes[12] != 0 && address->bytes[12] != 127 &&
		       address->bytes[12] < 240;
	return !ip_equal(address, &v6_loopback) && !ip_equal(address, &none);
}

// All ones behind the prefix, where a prefix leaves room for that.
static bool is_directed_broadcast(const struct ip_address *address, const struct ip_prefix *prefix)
{
	uint32_t host_bits = 128u - prefix->length;

	if (!ip_is_v4(address) || host_bits < 2)
		return false;
	return host_bits >= 32 ||
	       (~ntohl(address->words[3]) & ((UINT32_C(1) << host_bits) - 1)) == 0;
}

static bool is_broadcast(const struct tables *tables, uint16_t domain,
			 const struct ip_address *address)
{
	const struct domain_prefix *subnet = tables_find_subnet(tables, domain, address);

	return subnet && is_directed_broadcast(address, &subnet->prefix);
}

// Types that are no queries or replies: about them there are no errors (RFC 1122 section 3.2.2, RFC
// 4443 section 2.4 (e)).
static bool is_icmp_error(bool v4, uint8_t type)
{
	if (v4)
		return (type >= 3 && type <= 5) || type == 11 || type == 12;
	return type < 128 || type == ND_REDIRECT;
}

// The upper protocol, and for ICMP its type, also of a first fragment. False: it is a later one, or
// does not show that.
static bool find_upper(const struct rte_mbuf *mbuf, const struct packet *packet, uint8_t *protocol,
		       uint8_t *icmp_type)
{
	const uint8_t *data = rte_pktmbuf_mtod(mbuf, const uint8_t *);
	struct fragment fragment;
	struct packet whole;

	*protocol = packet->key.protocol;
	*icmp_type = packet->icmp_type;
	if (packet->kind != PACKET_FRAGMENT)
		return true;
	if (!fragment_read(data, rte_pktmbuf_data_len(mbuf), packet, &fragment) ||
	    fragment.offset != 0)
		return false;
	switch (fragment_parse_datagram(data, rte_pktmbuf_data_len(mbuf), packet, &fragment, 0,
					&whole)) {
	case DROP_NONE:
	case DROP_TRUNCATED:
		break;
	default:
		return false;
	}
	*protocol = whole.key.protocol;
	*icmp_type = whole.icmp_type;
	return whole.kind == PACKET_IP;
}

bool gateway_error_due(const struct tables *tables, const struct network *network,
		       const struct rte_mbuf *mbuf, const struct packet *packet)
{
	bool v4 = ip_is_v4(&packet->source);
	uint8_t protocol, type;

	if ((packet->kind != PACKET_IP && packet->kind != PACKET_FRAGMENT) ||
	    !is_host(&packet->source) || mac_is_multicast(&packet->destination_mac) ||
	    ip_is_multicast(&packet->destination) ||
	    is_broadcast(tables, network->domain, &packet->destination) ||
	    is_broadcast(tables, network->domain, &packet->source) ||
	    !find_upper(mbuf, packet, &protocol, &type))
		return false;
	return protocol != (v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6) || !is_icmp_error(v4, type);
}

// Where in the IPv6 packet the number of the upper protocol stands.
static uint32_t find_next_header_field(const struct rte_mbuf *mbuf, const struct packet *packet)
{
	const uint8_t *ip = rte_pktmbuf_mtod_offset(mbuf, const uint8_t *, packet->l3_offset);
	uint32_t end = (uint32_t)packet->l4_offset - packet->l3_offset, field = 6;
	uint32_t offset = IPV6_HEADER_SIZE;

	// packet_parse has been here: the headers are whole, and end at l4_offset.
	while (offset + 8 <= end) {
		uint32_t size = (ip[offset + 1] + 1u) * 8;

		if (ip[field] == IPPROTO_FRAGMENT)
			size = 8;
		else if (ip[field] == IPPROTO_AH)
			size = (ip[offset + 1] + 2u) * 4;
		field = offset;
		offset += size;
	}
	return field;
}

// To the gateway itself, or where nobody serves.
static bool choose_refusal(const struct rte_mbuf *mbuf, const struct packet *packet,
			   struct gateway_error *error)
{
	bool v4 = ip_is_v4(&packet->source);
	uint8_t protocol, type;

	if (!find_upper(mbuf, packet, &protocol, &type))
		return false;
	switch (protocol) {
	case IPPROTO_UDP:
		*error = v4 ? (struct gateway_error){3, 3, 0} : (struct gateway_error){1, 4, 0};
		return true;
	case IPPROTO_TCP: // a reset says it; about a fragment of one, nothing does
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
	case IPPROTO_NONE:
		return false;
	default:
		*error = v4 ? (struct gateway_error){3, 2, 0}
			    : (struct gateway_error){4, 1, find_next_header_field(mbuf, packet)};
		return true;
	}
}

bool gateway_error_choose(const struct rte_mbuf *mbuf, const struct packet *packet,
			  enum drop_reason reason, uint32_t mtu, struct gateway_error *error)
{
	bool v4 = ip_is_v4(&packet->source);

	switch (reason) {
	case DROP_NO_ROUTE:
	case DROP_NAT64_ADDRESS:
	case DROP_NOT_ROUTED:
	case DROP_ROUTE_LOOP:
		*error = v4 ? (struct gateway_error){3, 0, 0} : (struct gateway_error){1, 0, 0};
		return true;
	case DROP_NO_HOST:
	case DROP_NO_NEXT_HOP:
	case DROP_NO_UPLINK:
	case DROP_NO_UNDERLAY_ROUTE:
	case DROP_NEIGHBOUR_UNRESOLVED:
		*error = v4 ? (struct gateway_error){3, 1, 0} : (struct gateway_error){1, 3, 0};
		return true;
	case DROP_TTL:
		*error = v4 ? (struct gateway_error){11, 0, 0} : (struct gateway_error){3, 0, 0};
		return true;
	case DROP_TOO_BIG:
		// A frame may be longer than the packet in it: nothing that the sender could do.
		if (!mtu || packet->ip_length <= mtu)
			return false;
		// Less than this IPv6 doesn't know (RFC 8200 section 5).
		if (!v4 && mtu < ERROR_MAX_V6)
			mtu = ERROR_MAX_V6;
		*error = v4 ? (struct gateway_error){3, 4, mtu} : (struct gateway_error){2, 0, mtu};
		return true;
	case DROP_GATEWAY:
	case DROP_NO_MEMBER:
		return choose_refusal(mbuf, packet, error);
	default:
		return false;
	}
}

struct ip_address gateway_address(const struct network *network, const struct packet *packet,
				  enum drop_reason reason)
{
	const struct ip_address *found = NULL;
	bool v4 = ip_is_v4(&packet->source);

	if (reason == DROP_GATEWAY || reason == DROP_NO_MEMBER || reason == DROP_TRANSLATION_GONE)
		return packet->destination;
	for (uint32_t i = 0; i < network->subnet_count; i++) {
		const struct subnet *subnet = &network->subnets[i];

		if (!subnet->has_gateway || ip_is_v4(&subnet->gateway) != v4)
			continue;
		// That of the sender's own subnet, if there are several.
		if (!found || ip_in_prefix(&packet->source, &subnet->prefix))
			found = &subnet->gateway;
	}
	if (found)
		return *found;
	if (!v4)
		return ip_link_local_of(&network->gateway_mac);
	return mac_equal(&packet->destination_mac, &network->gateway_mac)
		       ? ip_from_v4(htonl(NO_ADDRESS_V4))
		       : packet->destination;
}

// Everything of the IP packet that fits into `room` bytes.
static uint32_t quote(const struct rte_mbuf *mbuf, const struct packet *packet, uint8_t *to,
		      uint32_t room)
{
	uint32_t size = packet->ip_length < room ? packet->ip_length : room;
	const void *from = rte_pktmbuf_read(mbuf, packet->l3_offset, size, to);

	if (!from)
		return 0;
	if (from != to)
		memcpy(to, from, size);
	return size;
}

bool gateway_error_write(struct rte_mbuf *to, const struct rte_mbuf *mbuf,
			 const struct packet *packet, const struct network *network,
			 const struct ip_address *from, struct gateway_error error)
{
	bool v4 = ip_is_v4(&packet->source);
	struct datagram datagram = {
		.destination_mac = packet->source_mac,
		.source_mac = network->gateway_mac,
		.destination = packet->source,
		.source = *from,
		.hop_limit = DATAGRAM_HOP_LIMIT,
		// And so without an identification (RFC 6864).
		.dont_fragment = true,
	};
	uint32_t offset = datagram_offset(&datagram), limit = v4 ? ERROR_MAX_V4 : ERROR_MAX_V6;
	uint32_t rest = htonl(error.rest), room, size;
	uint8_t *frame, *icmp;

	if (limit > network->mtu)
		limit = network->mtu;
	frame = (uint8_t *)rte_pktmbuf_append(to, (uint16_t)(ETHERNET_HEADER_SIZE + limit));
	if (!frame)
		return false;
	icmp = frame + offset;
	room = ETHERNET_HEADER_SIZE + limit - offset - ICMP_HEADER_SIZE;
	size = quote(mbuf, packet, icmp + ICMP_HEADER_SIZE, room);
	if (!size)
		return false;
	rte_pktmbuf_trim(to, (uint16_t)(room - size));
	icmp[0] = error.type;
	icmp[1] = error.code;
	memcpy(icmp + 4, &rest, 4);
	// RFC 1812 section 4.3.2.5
	if (v4)
		datagram.type_of_service =
			(icmp[ICMP_HEADER_SIZE + 1] & TOS_SERVICE) | TOS_INTERNETWORK_CONTROL;
	datagram_write(&datagram, frame, v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6, ICMP_CHECKSUM_OFFSET,
		       ICMP_HEADER_SIZE + size);
	return true;
}
