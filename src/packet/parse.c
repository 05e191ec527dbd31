// From a frame's bytes to a flow key. One pass, in the order of the headers.

#include "packet/parse.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "packet/header.h"

// A chain longer than this is an attack on whoever looks through it (RFC 8200 asks for seven at
// most).
#define EXTENSION_HEADERS_MAX 8

// Control chunks of an SCTP packet that are looked at.
#define SCTP_CHUNKS_MAX 16

enum drop_reason skip_extension_headers(const uint8_t *data, uint32_t available, uint32_t end,
					uint32_t *offset, uint8_t *protocol, bool *fragment,
					bool *first)
{
	uint8_t next = *protocol, behind_fragment = 0;

	*fragment = false;
	*first = true;
	for (unsigned int count = 0;; count++) {
		const uint8_t *header = data + *offset;
		uint32_t size;

		if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS &&
		    next != IPPROTO_FRAGMENT && next != IPPROTO_AH)
			break;
		// Behind the header of a later fragment there is payload, not another header.
		if (!*first)
			break;
		if (count == EXTENSION_HEADERS_MAX)
			return DROP_EXTENSION_HEADERS;
		if (*offset + 8 > end)
			return DROP_TRUNCATED;
		if (*offset + 8 > available)
			return DROP_EXTENSION_HEADERS;
		// Hop-by-hop options stand first or not at all.
		if (next == IPPROTO_HOPOPTS && count != 0)
			return DROP_MALFORMED;
		// Source routing by type 0 is abolished (RFC 5095).
		if (next == IPPROTO_ROUTING && header[2] == 0)
			return DROP_MALFORMED;
		size = (header[1] + 1u) * 8;
		if (next == IPPROTO_AH)
			size = (header[1] + 2u) * 4;
		if (next == IPPROTO_FRAGMENT) {
			uint16_t field = ntohs(read16(header + 2));

			size = 8;
			// An atomic fragment is a whole packet (RFC 6946).
			if (field & 0xfff9) {
				// Later fragments show no more than this, and all have one key.
				if (!*fragment)
					behind_fragment = header[0];
				*fragment = true;
				*first = (field & 0xfff8) == 0;
			}
		}
		next = header[0];
		*offset += size;
		if (*offset > end)
			return DROP_TRUNCATED;
	}
	// Later fragments show the number behind the fragment header alone.
	*protocol = *first ? next : behind_fragment;
	return DROP_NONE;
}

// The window scale option of a SYN (RFC 7323 section 2). Options that contradict themselves are
// read differently by different systems: no connection begins with them.
static enum drop_reason parse_syn_options(const uint8_t *data, uint32_t size, uint8_t *scale)
{
	for (uint32_t at = 0; at < size && data[at] != TCP_OPTION_END;) {
		uint32_t length;

		if (data[at] == TCP_OPTION_NONE) {
			at++;
			continue;
		}
		if (at + 2 > size)
			return DROP_MALFORMED;
		length = data[at + 1];
		if (length < 2 || at + length > size)
			return DROP_MALFORMED;
		if (data[at] == TCP_OPTION_SCALE) {
			if (length != 3)
				return DROP_MALFORMED;
			*scale = (data[at + 2] < TCP_SCALE_MAX ? data[at + 2] : TCP_SCALE_MAX) + 1;
		}
		at += length;
	}
	return DROP_NONE;
}

static enum drop_reason parse_tcp(const uint8_t *data, uint32_t available, uint32_t room,
				  struct packet *packet)
{
	const uint8_t *tcp = data + packet->l4_offset;
	uint32_t header = (tcp[12] >> 4) * 4u;

	if (header < TCP_HEADER_SIZE)
		return DROP_MALFORMED;
	if (header > room)
		return DROP_TRUNCATED;
	packet->tcp_flags = tcp[13];
	packet->tcp_seq = ntohl(read32(tcp + 4));
	packet->tcp_ack = ntohl(read32(tcp + 8));
	packet->tcp_window = ntohs(read16(tcp + 14));
	packet->tcp_end = packet->tcp_seq + room - header + (tcp[13] & 1u) + (tcp[13] >> 1 & 1u);
	if (!(tcp[13] & TCP_SYN))
		return DROP_NONE;
	if (packet->l4_offset + header > available)
		return DROP_EXTENSION_HEADERS;
	return parse_syn_options(tcp + TCP_HEADER_SIZE, header - TCP_HEADER_SIZE,
				 &packet->tcp_scale);
}

// Which chunks are there: control chunks come first, INIT, INIT ACK and SHUTDOWN COMPLETE alone
// (RFC 9260 section 6.10). What is not contiguous is not looked at.
static enum drop_reason parse_sctp(const uint8_t *data, uint32_t available, uint32_t end,
				   struct packet *packet)
{
	uint32_t at = packet->l4_offset + SCTP_HEADER_SIZE;

	packet->sctp_tag = ntohl(read32(data + packet->l4_offset + 4));
	for (unsigned int count = 0;
	     count < SCTP_CHUNKS_MAX && at + 4 <= available && at + 4 <= end; count++) {
		uint8_t type = data[at];
		uint32_t length = ntohs(read16(data + at + 2));

		if (length < 4)
			return DROP_MALFORMED;
		if (at + length > end)
			return DROP_TRUNCATED;
		if (type == 0)
			break;
		if (type == SCTP_INIT || type == SCTP_INIT_ACK) {
			if (length < SCTP_INIT_SIZE || count != 0 || end - at >= length + 4)
				return DROP_MALFORMED;
			if (at + 8 > available)
				return DROP_EXTENSION_HEADERS;
			packet->sctp_initiate_tag = ntohl(read32(data + at + 4));
			// Section 8.5.1.
			if (!packet->sctp_initiate_tag ||
			    (type == SCTP_INIT && packet->sctp_tag != 0))
				return DROP_MALFORMED;
		}
		if (type == SCTP_ABORT || type == SCTP_SHUTDOWN_COMPLETE)
			packet->sctp_reflected = data[at + 1] & 1;
		if (type < 16)
			packet->sctp_chunks |= (uint16_t)(1u << type);
		at += (length + 3) & ~3u;
	}
	return DROP_NONE;
}

static enum drop_reason parse_l4(const uint8_t *data, uint32_t available, uint32_t end,
				 struct packet *packet)
{
	uint32_t l4 = packet->l4_offset, room = end - l4, needed;
	struct flow_key *key = &packet->key;

	switch (key->protocol) {
	case IPPROTO_TCP:
		needed = TCP_HEADER_SIZE;
		break;
	case IPPROTO_UDP:
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		needed = UDP_HEADER_SIZE;
		break;
	case IPPROTO_SCTP:
		needed = SCTP_HEADER_SIZE;
		break;
	default:
		return DROP_NONE;
	}
	if (room < needed)
		return DROP_TRUNCATED;
	if (l4 + needed > available)
		return DROP_EXTENSION_HEADERS;
	if (key->protocol == IPPROTO_ICMP || key->protocol == IPPROTO_ICMPV6) {
		// Each family has its own ICMP; the other's is nonsense.
		if ((key->protocol == IPPROTO_ICMP) != ip_is_v4(&key->source))
			return DROP_MALFORMED;
		return parse_icmp(data, available, end, packet);
	}
	key->source_port = read16(data + l4);
	key->destination_port = read16(data + l4 + 2);
	if (key->protocol == IPPROTO_TCP)
		return parse_tcp(data, available, room, packet);
	if (key->protocol == IPPROTO_SCTP)
		return parse_sctp(data, available, end, packet);
	if (key->protocol == IPPROTO_UDP) {
		uint16_t length = ntohs(read16(data + l4 + 4));

		if (length < UDP_HEADER_SIZE)
			return DROP_MALFORMED;
		if (length > room)
			return DROP_TRUNCATED;
	}
	return DROP_NONE;
}

// Options of an IPv4 header (RFC 791 section 3.1). Source routes are refused as RFC 7126 advises:
// they take a packet around what was decided about its destination.
static bool ipv4_options_valid(const uint8_t *options, uint32_t size)
{
	for (uint32_t at = 0; at < size && options[at] != 0;) {
		uint8_t type = options[at];

		if (type == 1) { // no operation
			at++;
			continue;
		}
		if (at + 2 > size || options[at + 1] < 2 || at + options[at + 1] > size)
			return false;
		if (type == 131 || type == 137)
			return false;
		at += options[at + 1];
	}
	return true;
}

static enum drop_reason parse_ipv4(const uint8_t *data, uint32_t available, uint32_t length,
				   struct packet *packet)
{
	const uint8_t *header = data + packet->l3_offset;
	uint32_t l3 = packet->l3_offset, header_size, end, address;
	uint16_t fragment;

	if (l3 + IPV4_HEADER_SIZE > available)
		return DROP_TRUNCATED;
	header_size = (header[0] & 15u) * 4;
	packet->ip_length = ntohs(read16(header + 2));
	if (header[0] >> 4 != 4 || header_size < IPV4_HEADER_SIZE ||
	    packet->ip_length < header_size)
		return DROP_MALFORMED;
	end = l3 + packet->ip_length;
	if (end > length || l3 + header_size > available)
		return DROP_TRUNCATED;
	if (!ipv4_checksum_valid(header, header_size))
		return DROP_CHECKSUM;
	if (header_size > IPV4_HEADER_SIZE &&
	    !ipv4_options_valid(header + IPV4_HEADER_SIZE, header_size - IPV4_HEADER_SIZE))
		return DROP_MALFORMED;
	memcpy(&address, header + 12, 4);
	packet->key.source = ip_from_v4(address);
	memcpy(&address, header + 16, 4);
	packet->key.destination = ip_from_v4(address);
	packet->key.protocol = header[9];
	packet->ttl = header[8];
	if (!packet->ttl)
		return DROP_TTL;
	packet->l4_offset = (uint16_t)(l3 + header_size);
	fragment = ntohs(read16(header + 6));
	if (fragment & 0x3fff) {
		// More behind a fragment that ends beyond what IPv4 can number (ping of death).
		if ((fragment & 0x1fff) * 8u + packet->ip_length - header_size >
		    65535 - header_size)
			return DROP_MALFORMED;
		packet->kind = PACKET_FRAGMENT;
		return DROP_NONE;
	}
	return parse_l4(data, available, end, packet);
}

static enum drop_reason parse_ipv6(const uint8_t *data, uint32_t available, uint32_t length,
				   struct packet *packet)
{
	const uint8_t *header = data + packet->l3_offset;
	uint32_t l3 = packet->l3_offset, end, offset, payload;
	enum drop_reason reason;
	bool fragment, first;

	if (l3 + IPV6_HEADER_SIZE > available)
		return DROP_TRUNCATED;
	payload = ntohs(read16(header + 4));
	if (header[0] >> 4 != 6)
		return DROP_MALFORMED;
	packet->ip_length = IPV6_HEADER_SIZE + payload;
	end = l3 + IPV6_HEADER_SIZE + payload;
	if (end > length)
		return DROP_TRUNCATED;
	memcpy(&packet->key.source, header + 8, 16);
	memcpy(&packet->key.destination, header + 24, 16);
	// IPv4-mapped addresses must not be on the wire (RFC 4942 section 2.2); here they would
	// pass for IPv4.
	if (ip_is_v4(&packet->key.source) || ip_is_v4(&packet->key.destination))
		return DROP_MALFORMED;
	packet->key.protocol = header[6];
	packet->ttl = header[7];
	if (!packet->ttl)
		return DROP_TTL;
	offset = l3 + IPV6_HEADER_SIZE;
	reason = skip_extension_headers(data, available, end, &offset, &packet->key.protocol,
					&fragment, &first);
	if (reason != DROP_NONE)
		return reason;
	packet->l4_offset = (uint16_t)offset;
	if (fragment) {
		packet->kind = PACKET_FRAGMENT;
		return DROP_NONE;
	}
	return parse_l4(data, available, end, packet);
}

// As memset does it; but that would be a call or a string instruction, which cost more than the
// stores.
static void packet_clear(struct packet *packet)
{
	struct line {
		uint64_t words[8];
	} *lines = (struct line *)packet;

	_Static_assert(sizeof(*packet) == 2 * sizeof(struct line), "two lines");
	lines[0] = (struct line){{0}};
	lines[1] = (struct line){{0}};
}

enum drop_reason packet_parse(const uint8_t *data, uint32_t available, uint32_t length,
			      struct packet *packet)
{
	uint32_t offset = ETHERNET_HEADER_SIZE;
	enum drop_reason reason;
	uint16_t type;

	packet_clear(packet);
	packet->length = length;
	if (available < ETHERNET_HEADER_SIZE)
		return DROP_TRUNCATED;
	memcpy(&packet->destination_mac, data, 6);
	memcpy(&packet->source_mac, data + 6, 6);
	type = read16(data + 12);
	if (type == htons(ETHERNET_TYPE_VLAN)) {
		if (available < ETHERNET_HEADER_SIZE + 4)
			return DROP_TRUNCATED;
		packet->vlan = ntohs(read16(data + 14)) & 0xfff;
		type = read16(data + 16);
		offset += 4;
	}
	packet->l3_offset = (uint16_t)offset;
	if (type == htons(ETHERNET_TYPE_IPV4)) {
		reason = parse_ipv4(data, available, length, packet);
	} else if (type == htons(ETHERNET_TYPE_IPV6)) {
		reason = parse_ipv6(data, available, length, packet);
	} else if (type == htons(ETHERNET_TYPE_ARP)) {
		packet->kind = PACKET_ARP;
		return offset + ARP_PACKET_SIZE > available ? DROP_TRUNCATED : DROP_NONE;
	} else {
		return DROP_ETHERTYPE;
	}
	if (packet->kind == PACKET_ICMP_ERROR) {
		const uint8_t *header = data + offset;
		uint32_t address;

		if (type == htons(ETHERNET_TYPE_IPV4)) {
			memcpy(&address, header + 12, 4);
			packet->source = ip_from_v4(address);
			memcpy(&address, header + 16, 4);
			packet->destination = ip_from_v4(address);
		} else {
			memcpy(&packet->source, header + 8, 16);
			memcpy(&packet->destination, header + 24, 16);
		}
	} else {
		packet->source = packet->key.source;
		packet->destination = packet->key.destination;
	}
	return reason;
}
