// ICMP and ICMPv6: queries and answers share a key, errors have that of what they quote.

#include "packet/parse.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "packet/header.h"

// Types that ask for an answer; the answer's type maps to the question's, so that both share one
// key.
static bool icmp_query(uint8_t protocol, uint8_t type, uint8_t *request, bool *reply)
{
	static const struct {
		uint8_t protocol, request, reply;
	} queries[] = {
		{IPPROTO_ICMP, ICMP_ECHO_REQUEST, ICMP_ECHO_REPLY},
		{IPPROTO_ICMPV6, ICMP6_ECHO_REQUEST, ICMP6_ECHO_REPLY},
		{IPPROTO_ICMP, 13, 14}, // timestamp
		{IPPROTO_ICMP, 15, 16}, // information
		{IPPROTO_ICMP, 17, 18}, // address mask
	};

	for (unsigned int i = 0; i < sizeof(queries) / sizeof(queries[0]); i++) {
		if (queries[i].protocol != protocol ||
		    (queries[i].request != type && queries[i].reply != type))
			continue;
		*request = queries[i].request;
		*reply = queries[i].reply == type;
		return true;
	}
	return false;
}

static bool icmp_error(uint8_t protocol, uint8_t type)
{
	if (protocol == IPPROTO_ICMPV6)
		return type >= 1 && type <= 4;
	// Unreachable, source quench, time exceeded, parameter problem.
	return type == 3 || type == 4 || type == 11 || type == 12;
}

// True for the answer to a query.
static bool icmp_key(struct flow_key *key, uint8_t type, uint8_t code, uint16_t identifier)
{
	uint8_t request;
	bool reply = false;

	if (!icmp_query(key->protocol, type, &request, &reply)) {
		key->destination_port = htons((uint16_t)(type << 8 | code));
		key->flags |= FLOW_KEY_ONE_WAY;
	} else if (reply) {
		key->source_port = htons((uint16_t)(request << 8 | code));
		key->destination_port = identifier;
	} else {
		key->source_port = identifier;
		key->destination_port = htons((uint16_t)(request << 8 | code));
	}
	return reply;
}

// The IPv4 or IPv6 packet that an ICMP error quotes: the key of the packet that caused the error,
// as far as the quote goes. Quotes may be cut, so the lengths in them are not held against what is
// there.
static bool parse_quote(const uint8_t *data, uint32_t available, bool v4, struct flow_key *key,
			uint32_t *number)
{
	uint32_t l4;

	*number = 0;
	// Each family's errors are about its own packets.
	if (available < 1 || data[0] >> 4 != (v4 ? 4 : 6))
		return false;
	if (v4) {
		if (available < IPV4_HEADER_SIZE)
			return false;
		l4 = (data[0] & 15u) * 4;
		if (l4 < IPV4_HEADER_SIZE || (read16(data + 6) & htons(0x1fff)))
			return false;
		uint32_t address;
		memcpy(&address, data + 12, 4);
		key->source = ip_from_v4(address);
		memcpy(&address, data + 16, 4);
		key->destination = ip_from_v4(address);
		key->protocol = data[9];
	} else {
		bool fragment, first;

		if (available < IPV6_HEADER_SIZE)
			return false;
		memcpy(&key->source, data + 8, 16);
		memcpy(&key->destination, data + 24, 16);
		// Would pass for a connection over IPv4.
		if (ip_is_v4(&key->source) || ip_is_v4(&key->destination))
			return false;
		key->protocol = data[6];
		l4 = IPV6_HEADER_SIZE;
		if (skip_extension_headers(data, available, available, &l4, &key->protocol,
					   &fragment, &first) != DROP_NONE ||
		    !first)
			return false;
	}
	if (key->protocol == IPPROTO_TCP || key->protocol == IPPROTO_UDP ||
	    key->protocol == IPPROTO_SCTP) {
		// Every error quotes at least so much (RFC 792, RFC 4443 section 3). Who can't say
		// what is in it may have seen nothing of the connection (RFC 5927).
		if (l4 + 8 > available)
			return false;
		key->source_port = read16(data + l4);
		key->destination_port = read16(data + l4 + 2);
		*number = ntohl(read32(data + l4 + 4));
	} else if (key->protocol == IPPROTO_ICMP || key->protocol == IPPROTO_ICMPV6) {
		// An error about an error must not exist (RFC 1122 section 3.2.2).
		if (l4 + 8 > available || icmp_error(key->protocol, data[l4]))
			return false;
		icmp_key(key, data[l4], data[l4 + 1], read16(data + l4 + 4));
	}
	return true;
}

enum drop_reason parse_icmp(const uint8_t *data, uint32_t available, uint32_t end,
			    struct packet *packet)
{
	uint32_t l4 = packet->l4_offset;
	struct flow_key quoted = {.network = 0};

	packet->icmp_type = data[l4];
	packet->icmp_code = data[l4 + 1];
	if (packet->key.protocol == IPPROTO_ICMPV6 && packet->icmp_type >= ND_ROUTER_SOLICITATION &&
	    packet->icmp_type <= ND_REDIRECT) {
		packet->kind = PACKET_ND;
		return DROP_NONE;
	}
	if (!icmp_error(packet->key.protocol, packet->icmp_type)) {
		packet->icmp_reply = icmp_key(&packet->key, packet->icmp_type, packet->icmp_code,
					      read16(data + l4 + 4));
		return DROP_NONE;
	}
	packet->kind = PACKET_ICMP_ERROR;
	end = end < available ? end : available;
	if (!parse_quote(data + l4 + ICMP_HEADER_SIZE, end - l4 - ICMP_HEADER_SIZE,
			 packet->key.protocol == IPPROTO_ICMP, &quoted, &packet->tcp_seq))
		return DROP_MALFORMED;
	// The error travels against what it quotes.
	packet->key = flow_key_reverse(&quoted, 0);
	return DROP_NONE;
}
