// IP addresses, prefixes and MAC addresses: one form for both families, and their text.

#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

// An IPv4 or IPv6 address in network byte order. IPv4 is kept as ::ffff:a.b.c.d (RFC 4291
// section 2.5.5.2), so that two addresses are equal exactly when their 16 bytes are.
struct ip_address {
	union {
		uint8_t bytes[16];
		uint32_t words[4]; // network byte order
		uint64_t halves[2];
	};
};

// `length` counts the leading bits of the 16 bytes: an IPv4 /24 has length 120.
struct ip_prefix {
	struct ip_address address;
	uint8_t length;
};

struct mac_address {
	uint8_t bytes[6];
};

#define IP_TEXT_SIZE  64
#define MAC_TEXT_SIZE 18

static inline bool ip_is_v4(const struct ip_address *address)
{
	return address->halves[0] == 0 && address->words[2] == htonl(0xffff);
}

static inline bool ip_equal(const struct ip_address *a, const struct ip_address *b)
{
	return a->halves[0] == b->halves[0] && a->halves[1] == b->halves[1];
}

// `address` in network byte order.
static inline struct ip_address ip_from_v4(uint32_t address)
{
	struct ip_address result = {.words = {0, 0, htonl(0xffff), address}};

	return result;
}

bool ip_in_prefix(const struct ip_address *address, const struct ip_prefix *prefix);

// Any multicast, or the IPv4 limited broadcast address.
bool ip_is_multicast(const struct ip_address *address);

// fe80::/10 or 169.254.0.0/16.
bool ip_is_link_local(const struct ip_address *address);

// The link-local address made from a MAC address (RFC 4291 appendix A).
struct ip_address ip_link_local_of(const struct mac_address *mac);
// The MAC address that it was made from; for others some address, from which it can't be made.
struct mac_address ip_link_local_mac(const struct ip_address *address);

// Text to address and back. Parsing takes the usual forms only (no leading zeros in IPv4, no zone)
// and returns false for anything else. The `_format` functions return `text`.
bool ip_parse(const char *text, struct ip_address *address);
char *ip_format(const struct ip_address *address, char text[IP_TEXT_SIZE]);

// "10.0.0.0/8": the address may have bits behind the prefix (prefix_clean tells).
bool prefix_parse(const char *text, struct ip_prefix *prefix);
bool prefix_clean(const struct ip_prefix *prefix);
char *prefix_format(const struct ip_prefix *prefix, char text[IP_TEXT_SIZE]);
bool prefix_overlaps(const struct ip_prefix *a, const struct ip_prefix *b);

bool mac_parse(const char *text, struct mac_address *mac);
char *mac_format(const struct mac_address *mac, char text[MAC_TEXT_SIZE]);

static inline bool mac_equal(const struct mac_address *a, const struct mac_address *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

static inline bool mac_is_zero(const struct mac_address *mac)
{
	static const struct mac_address zero;

	return mac_equal(mac, &zero);
}

// As one number, another one for each address. Two loads: six bytes copied into a number would be
// written in two pieces and read as one, for which a CPU waits.
static inline uint64_t mac_number(const struct mac_address *mac)
{
	uint32_t first;
	uint16_t last;

	memcpy(&first, mac->bytes, sizeof(first));
	memcpy(&last, mac->bytes + sizeof(first), sizeof(last));
	return first | (uint64_t)last << 32;
}

static inline bool mac_is_multicast(const struct mac_address *mac)
{
	return mac->bytes[0] & 1;
}
