// What becomes of the identity associations of a message: all addresses go to the first IA_NA;
// there is nothing for others, nor temporary addresses or prefixes (RFC 8415 section 18.3).

#include <arpa/inet.h>

#include "layer/dhcpv6/dhcpv6.h"

// Kept for what follows the addresses.
#define ROOM_BEHIND 256

static bool is_offered(const struct dhcpv6_offer *offer, const struct ip_address *address)
{
	for (uint32_t i = 0; i < offer->address_count; i++)
		if (ip_equal(&offer->addresses[i], address))
			return true;
	return false;
}

static bool write_address(struct dhcpv6_writer *writer, const struct ip_address *address,
			  uint32_t lifetime)
{
	uint8_t content[24];

	lifetime = htonl(lifetime);
	memcpy(content, address, 16);
	memcpy(content + 16, &lifetime, 4);
	memcpy(content + 20, &lifetime, 4);
	return dhcpv6_write(writer, DHCPV6_OPTION_ADDRESS, content, sizeof(content));
}

// IAID, and the times for an IA_NA (RFC 8415 section 21.4).
static bool open_identity(struct dhcpv6_writer *writer, const struct dhcpv6_identity *identity,
			  uint32_t lease, uint32_t *start)
{
	uint32_t times[2] = {0, 0};
	uint8_t *content = writer->message + writer->used + 4;
	uint32_t size = identity->code == DHCPV6_OPTION_IA_TA ? 4 : 12;

	if (4 + size > writer->limit - writer->used ||
	    !dhcpv6_write_open(writer, identity->code, start))
		return false;
	if (lease) {
		bool for_ever = lease == UINT32_MAX;

		times[0] = htonl(for_ever ? lease : lease / 2);
		times[1] = htonl(for_ever ? lease : (uint32_t)((uint64_t)lease * 4 / 5));
	}
	memcpy(content, identity->name, 4);
	memcpy(content + 4, times, size - 4);
	writer->used += size;
	return true;
}

static void write_refusal(struct dhcpv6_writer *writer, const struct dhcpv6_identity *identity,
			  enum dhcpv6_status status)
{
	uint32_t start;

	if (!open_identity(writer, identity, 0, &start))
		return;
	dhcpv6_write_status(writer, status);
	dhcpv6_write_close(writer, start);
}

// A Request for an address that is on another link: the client moved (section 18.3.2).
static bool is_on_link(const struct dhcpv6_offer *offer, const struct dhcpv6_identity *identity)
{
	struct ip_address address;
	uint32_t position = 0;

	while (dhcpv6_next_address(identity, &position, &address)) {
		bool found = false;

		for (uint32_t i = 0; i < offer->prefix_count; i++)
			found |= ip_in_prefix(&address, &offer->prefixes[i]);
		if (!found)
			return false;
	}
	return true;
}

static void write_addresses(struct dhcpv6_writer *writer, const struct dhcpv6_offer *offer,
			    const struct dhcpv6_message *message,
			    const struct dhcpv6_identity *identity)
{
	uint32_t start, limit = writer->limit, position = 0;
	struct ip_address address;

	if (!open_identity(writer, identity, offer->server->lease, &start))
		return;
	writer->limit = limit - ROOM_BEHIND;
	for (uint32_t i = 0; i < offer->address_count && writer->used < writer->limit; i++)
		if (!write_address(writer, &offer->addresses[i], offer->server->lease))
			break;
	// What it had and may not have any more (section 18.3.4).
	if (message->type == DHCPV6_RENEW || message->type == DHCPV6_REBIND)
		while (writer->used < writer->limit &&
		       dhcpv6_next_address(identity, &position, &address))
			if (!is_offered(offer, &address))
				write_address(writer, &address, 0);
	writer->limit = limit;
	dhcpv6_write_close(writer, start);
}

void dhcpv6_write_identities(struct dhcpv6_writer *writer, const struct dhcpv6_offer *offer,
			     const struct dhcpv6_message *message)
{
	bool renewal = message->type == DHCPV6_RENEW || message->type == DHCPV6_REBIND;
	bool given = offer->address_count == 0;

	for (uint32_t i = 0; i < message->identity_count; i++) {
		const struct dhcpv6_identity *identity = &message->identities[i];

		if (identity->code == DHCPV6_OPTION_IA_PD) {
			write_refusal(writer, identity,
				      renewal ? DHCPV6_NO_BINDING : DHCPV6_NO_PREFIX);
		} else if (identity->code == DHCPV6_OPTION_IA_TA || given) {
			write_refusal(writer, identity,
				      renewal ? DHCPV6_NO_BINDING : DHCPV6_NO_ADDRESSES);
		} else if (message->type == DHCPV6_REQUEST && !is_on_link(offer, identity)) {
			write_refusal(writer, identity, DHCPV6_NOT_ON_LINK);
		} else {
			write_addresses(writer, offer, message, identity);
			given = true;
		}
	}
}
