#include "base/address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

bool ip_in_prefix(const struct ip_address *address, const struct ip_prefix *prefix)
{
	unsigned int bytes = prefix->length / 8, bits = prefix->length % 8;

	// ::/0 holds no IPv4 address, although the form in memory would say so.
	if (ip_is_v4(address) != ip_is_v4(&prefix->address))
		return false;
	if (memcmp(address->bytes, prefix->address.bytes, bytes) != 0)
		return false;
	return bits == 0 ||
	       (address->bytes[bytes] ^ prefix->address.bytes[bytes]) >> (8 - bits) == 0;
}

bool ip_is_multicast(const struct ip_address *address)
{
	if (ip_is_v4(address))
		return (address->bytes[12] & 0xf0) == 0xe0 || address->words[3] == 0xffffffff;
	return address->bytes[0] == 0xff;
}

bool ip_is_link_local(const struct ip_address *address)
{
	if (ip_is_v4(address))
		return address->bytes[12] == 169 && address->bytes[13] == 254;
	return address->bytes[0] == 0xfe && (address->bytes[1] & 0xc0) == 0x80;
}

struct ip_address ip_link_local_of(const struct mac_address *mac)
{
	const uint8_t *m = mac->bytes;

	return (struct ip_address){.bytes = {0xfe, 0x80, 0, 0, 0, 0, 0, 0, m[0] ^ 2, m[1], m[2],
					     0xff, 0xfe, m[3], m[4], m[5]}};
}

struct mac_address ip_link_local_mac(const struct ip_address *address)
{
	const uint8_t *b = address->bytes;

	return (struct mac_address){{b[8] ^ 2, b[9], b[10], b[13], b[14], b[15]}};
}

bool ip_parse(const char *text, struct ip_address *address)
{
	struct in_addr v4;

	if (inet_pton(AF_INET, text, &v4) == 1) {
		*address = ip_from_v4(v4.s_addr);
		return true;
	}
	if (inet_pton(AF_INET6, text, address->bytes) != 1)
		return false;
	// ::ffff:a.b.c.d is how IPv4 is kept; on the wire it must not appear (RFC 4942
	// section 2.2).
	return !ip_is_v4(address);
}

char *ip_format(const struct ip_address *address, char text[IP_TEXT_SIZE])
{
	if (ip_is_v4(address))
		inet_ntop(AF_INET, &address->words[3], text, IP_TEXT_SIZE);
	else
		inet_ntop(AF_INET6, address->bytes, text, IP_TEXT_SIZE);
	return text;
}

bool prefix_parse(const char *text, struct ip_prefix *prefix)
{
	char address[IP_TEXT_SIZE];
	const char *slash = strchr(text, '/');
	unsigned int length = 0, highest;
	size_t digits;

	if (!slash || (size_t)(slash - text) >= sizeof(address))
		return false;
	memcpy(address, text, (size_t)(slash - text));
	address[slash - text] = 0;
	if (!ip_parse(address, &prefix->address))
		return false;
	digits = strspn(slash + 1, "0123456789");
	if (digits == 0 || digits > 3 || slash[1 + digits] != 0 || (digits > 1 && slash[1] == '0'))
		return false;
	length = (unsigned int)atoi(slash + 1);
	highest = ip_is_v4(&prefix->address) ? 32 : 128;
	if (length > highest)
		return false;
	prefix->length = (uint8_t)(length + 128 - highest);
	return true;
}

bool prefix_clean(const struct ip_prefix *prefix)
{
	unsigned int bit;

	for (bit = prefix->length; bit < 128; bit++)
		if (prefix->address.bytes[bit / 8] & (0x80 >> bit % 8))
			return false;
	return true;
}

char *prefix_format(const struct ip_prefix *prefix, char text[IP_TEXT_SIZE])
{
	unsigned int length = prefix->length;
	size_t end;

	if (ip_is_v4(&prefix->address))
		length -= 96;
	ip_format(&prefix->address, text);
	end = strlen(text);
	snprintf(text + end, IP_TEXT_SIZE - end, "/%u", length);
	return text;
}

bool prefix_overlaps(const struct ip_prefix *a, const struct ip_prefix *b)
{
	return a->length <= b->length ? ip_in_prefix(&b->address, a) : ip_in_prefix(&a->address, b);
}

bool mac_parse(const char *text, struct mac_address *mac)
{
	size_t i;

	if (strlen(text) != 17)
		return false;
	for (i = 0; i < 6; i++) {
		const char *octet = text + 3 * i;
		char pair[3] = {octet[0], octet[1], 0};

		if (strspn(pair, "0123456789abcdefABCDEF") != 2 || (i < 5 && octet[2] != ':'))
			return false;
		mac->bytes[i] = (uint8_t)strtoul(pair, NULL, 16);
	}
	return true;
}

char *mac_format(const struct mac_address *mac, char text[MAC_TEXT_SIZE])
{
	snprintf(text, MAC_TEXT_SIZE, "%02x:%02x:%02x:%02x:%02x:%02x", mac->bytes[0], mac->bytes[1],
		 mac->bytes[2], mac->bytes[3], mac->bytes[4], mac->bytes[5]);
	return text;
}
