#include "layer/router_advertisement/router_advertisement.h"

#include <arpa/inet.h>

#include "packet/header.h"

#define HEADER_SIZE    16
#define HOP_LIMIT      64
#define FLAG_MANAGED   0x80
#define FLAG_OTHER     0x40
#define FLAG_ON_LINK   0x80
#define FLAG_FORM      0x40 // "autonomous"
#define OPTION_SOURCE  1
#define OPTION_PREFIX  3
#define OPTION_MTU     5
#define OPTION_ROUTE   24 // RFC 4191
#define OPTION_DNS     25 // RFC 8106
#define OPTION_DOMAINS 31 // RFC 8106

struct writer {
	uint8_t *message;
	uint32_t used;
};

static void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void put32(uint8_t *at, uint32_t value)
{
	value = htonl(value);
	memcpy(at, &value, sizeof(value));
}

// A zeroed option of `size` bytes, a multiple of 8; NULL where there is no room.
static uint8_t *option_add(struct writer *writer, uint8_t type, uint32_t size)
{
	uint8_t *option = writer->message + writer->used;

	if (size > ADVERTISEMENT_MAX - writer->used)
		return NULL;
	memset(option, 0, size);
	option[0] = type;
	option[1] = (uint8_t)(size / 8);
	writer->used += size;
	return option;
}

static void write_prefix(struct writer *writer, const struct ip_prefix *prefix, uint8_t flags,
			 uint32_t valid, uint32_t preferred)
{
	uint8_t *option = option_add(writer, OPTION_PREFIX, 32);

	if (!option)
		return;
	option[2] = prefix->length;
	option[3] = flags;
	put32(option + 4, valid);
	put32(option + 8, preferred);
	memcpy(option + 16, &prefix->address, 16);
}

static void write_dns(struct writer *writer, const struct ip_address *servers, uint32_t count,
		      uint32_t lifetime)
{
	uint8_t *option = count ? option_add(writer, OPTION_DNS, 8 + 16 * count) : NULL;

	if (!option)
		return;
	put32(option + 4, lifetime);
	memcpy(option + 8, servers, 16 * (size_t)count);
}

static void write_search(struct writer *writer, const struct router_advertisement *network)
{
	uint32_t size = network->search_size;
	uint8_t *option = size ? option_add(writer, OPTION_DOMAINS, (8 + size + 7) / 8 * 8) : NULL;

	if (!option)
		return;
	put32(option + 4, ADVERTISED_ROUTER_LIFETIME);
	memcpy(option + 8, network->search, size);
}

static void write_route(struct writer *writer, const struct ip_prefix *route)
{
	uint32_t bytes = route->length == 0 ? 0 : route->length <= 64 ? 8 : 16;
	uint8_t *option = option_add(writer, OPTION_ROUTE, 8 + bytes);

	if (!option)
		return;
	option[2] = route->length;
	put32(option + 4, ADVERTISED_ROUTER_LIFETIME);
	memcpy(option + 8, &route->address, bytes);
}

uint32_t router_advertisement_write(const struct router_offer *offer,
				    const struct router_withdrawal *past, uint8_t *message)
{
	const struct router_advertisement *network = offer->network;
	struct writer writer = {.message = message, .used = HEADER_SIZE};
	uint8_t *option;

	memset(message, 0, HEADER_SIZE);
	message[0] = ND_ROUTER_ADVERTISEMENT;
	message[4] = HOP_LIMIT;
	message[5] =
		(uint8_t)((offer->managed ? FLAG_MANAGED : 0) | (offer->other ? FLAG_OTHER : 0));
	put16(message + 6, network->router ? ADVERTISED_ROUTER_LIFETIME : 0);
	option = option_add(&writer, OPTION_SOURCE, 8);
	if (option)
		memcpy(option + 2, &network->mac, 6);
	option = option_add(&writer, OPTION_MTU, 8);
	if (option)
		put32(option + 4, network->mtu);
	for (uint32_t i = 0; i < network->prefix_count; i++)
		write_prefix(&writer, &network->prefixes[i],
			     FLAG_ON_LINK | (offer->autonomous >> i & 1 ? FLAG_FORM : 0),
			     ADVERTISED_VALID, ADVERTISED_PREFERRED);
	write_dns(&writer, network->dns, network->dns_count, ADVERTISED_ROUTER_LIFETIME);
	if (network->router)
		for (uint32_t i = 0; i < network->route_count; i++)
			write_route(&writer, &network->routes[i]);
	if (past) {
		for (uint32_t i = 0; i < past->prefix_count; i++)
			write_prefix(&writer, &past->prefixes[i], FLAG_ON_LINK | FLAG_FORM, 0, 0);
		write_dns(&writer, past->dns, past->dns_count, 0);
	}
	write_search(&writer, network);
	return writer.used;
}
