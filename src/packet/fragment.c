#include "packet/fragment.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "packet/header.h"

static uint16_t read16(const uint8_t *data)
{
	uint16_t value;

	memcpy(&value, data, sizeof(value));
	return ntohs(value);
}

static bool read_v4(const uint8_t *ip, const struct packet *packet, struct fragment *fragment)
{
	uint16_t field = read16(ip + 6);
	uint32_t header = (ip[0] & 15u) * 4;

	if (!(field & 0x3fff) || packet->ip_length < header)
		return false;
	memcpy(&fragment->identification, ip + 4, 2);
	fragment->offset = (field & 0x1fff) * 8u;
	fragment->more = field & 0x2000;
	fragment->payload = (uint16_t)(packet->l3_offset + header);
	fragment->size = packet->ip_length - header;
	fragment->field = (uint16_t)(packet->l3_offset + 9);
	fragment->protocol = ip[9];
	return true;
}

// Looks for the first fragment header that is not atomic.
static bool read_v6(const uint8_t *data, uint32_t available, const struct packet *packet,
		    struct fragment *fragment)
{
	uint32_t field = packet->l3_offset + 6u, offset = packet->l3_offset + IPV6_HEADER_SIZE;
	uint32_t end = (uint32_t)packet->l3_offset + packet->ip_length;

	if (end < available)
		available = end;
	while (offset + 8 <= available) {
		const uint8_t *header = data + offset;
		uint32_t size = (header[1] + 1u) * 8;
		uint16_t place;

		switch (data[field]) {
		case IPPROTO_HOPOPTS:
		case IPPROTO_ROUTING:
		case IPPROTO_DSTOPTS:
			break;
		case IPPROTO_AH:
			size = (header[1] + 2u) * 4;
			break;
		case IPPROTO_FRAGMENT:
			size = 8;
			place = read16(header + 2);
			if (!(place & 0xfff9))
				break;
			memcpy(&fragment->identification, header + 4, 4);
			fragment->offset = place & 0xfff8;
			fragment->more = place & 1;
			fragment->payload = (uint16_t)(offset + 8);
			fragment->size = end - offset - 8;
			fragment->field = (uint16_t)field;
			fragment->protocol = header[0];
			return true;
		default:
			return false;
		}
		field = offset;
		offset += size;
	}
	return false;
}

bool fragment_read(const uint8_t *data, uint32_t available, const struct packet *packet,
		   struct fragment *fragment)
{
	bool v4 = ip_is_v4(&packet->source);

	memset(fragment, 0, sizeof(*fragment));
	if (packet->l3_offset + (v4 ? 0u + IPV4_HEADER_SIZE : IPV6_HEADER_SIZE) > available)
		return false;
	return v4 ? read_v4(data + packet->l3_offset, packet, fragment)
		  : read_v6(data, available, packet, fragment);
}

// The headers of the first fragment as those of the whole. Returns how many bytes are there; 0: the
// datagram would be too long.
static uint32_t unite_v4(uint8_t *head, const uint8_t *data, uint32_t available,
			 const struct packet *first, const struct fragment *fragment,
			 uint32_t total)
{
	uint32_t header = (uint32_t)fragment->payload - first->l3_offset;
	uint32_t length = total ? header + total : 65535;
	uint8_t *ip = head + first->l3_offset;
	uint16_t value;

	if (length > 65535)
		return 0;
	memcpy(head, data, available);
	value = htons((uint16_t)length);
	memcpy(ip + 2, &value, 2);
	ip[6] = ip[7] = ip[10] = ip[11] = 0;
	value = checksum_finish(checksum_add(0, ip, header));
	memcpy(ip + 10, &value, 2);
	return available;
}

static uint32_t unite_v6(uint8_t *head, const uint8_t *data, uint32_t available,
			 const struct packet *first, const struct fragment *fragment,
			 uint32_t total)
{
	uint32_t before = fragment->payload - 8u; // without the fragment header
	uint32_t payload = total ? before - first->l3_offset - IPV6_HEADER_SIZE + total : 65535;
	uint16_t value = htons((uint16_t)payload);

	if (payload > 65535)
		return 0;
	memcpy(head, data, before);
	memcpy(head + before, data + fragment->payload, available - fragment->payload);
	head[fragment->field] = fragment->protocol;
	memcpy(head + first->l3_offset + 4, &value, 2);
	return available - 8;
}

enum drop_reason fragment_parse_datagram(const uint8_t *data, uint32_t available,
					 const struct packet *first,
					 const struct fragment *fragment, uint32_t total,
					 struct packet *packet)
{
	uint32_t end = (uint32_t)fragment->payload + fragment->size, size;
	bool v4 = ip_is_v4(&first->source);
	uint8_t head[FRAGMENT_HEADERS];
	enum drop_reason reason;

	if (available > end)
		available = end;
	if (available > sizeof(head))
		available = sizeof(head);
	if (fragment->payload > available)
		return DROP_EXTENSION_HEADERS;
	size = (v4 ? unite_v4 : unite_v6)(head, data, available, first, fragment, total);
	if (!size)
		return DROP_FRAGMENT_MALFORMED;
	reason = packet_parse(head, size, UINT32_MAX, packet);
	packet->length = 0;
	// The headers go on where the first fragment does not.
	if (reason == DROP_EXTENSION_HEADERS)
		return DROP_FRAGMENT_TINY;
	if (reason != DROP_NONE)
		return reason;
	// Fragments of fragments; and neighbour discovery is never in pieces (RFC 6980).
	if (packet->kind == PACKET_FRAGMENT)
		return DROP_FRAGMENT_MALFORMED;
	if (packet->kind == PACKET_ND)
		return DROP_ND_MALFORMED;
	if (packet->kind == PACKET_IP && packet->key.protocol == IPPROTO_TCP &&
	    packet->l4_offset + (head[packet->l4_offset + 12] >> 4) * 4u > size)
		return DROP_FRAGMENT_TINY;
	return DROP_NONE;
}
