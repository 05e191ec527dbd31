#include "layer/dhcpv6/dhcpv6.h"

#include <arpa/inet.h>

#include "base/domain_name.h"

#define HEADERS_SIZE   48  // IPv6 and UDP
#define REFRESH_MIN    600 // RFC 8415 section 7.6
#define REQUESTED_MAX  64  // codes of a message that are looked at
#define FQDN_NO_UPDATE 4   // the N flag: nobody is told of it in the DNS

static const uint16_t usual[] = {DHCPV6_OPTION_DNS, DHCPV6_OPTION_DOMAIN_SEARCH};

// Which messages name the server (RFC 8415 section 16). A name that is there where it may be has
// to be right.
static enum drop_reason check(const struct dhcpv6_offer *offer,
			      const struct dhcpv6_message *message)
{
	bool ours = message->server.size == DHCPV6_DUID_SIZE && message->server.data &&
		    memcmp(message->server.data, offer->server->identifier, DHCPV6_DUID_SIZE) == 0;

	switch (message->type) {
	case DHCPV6_SOLICIT:
	case DHCPV6_CONFIRM:
	case DHCPV6_REBIND:
		return message->client.data && !message->server.data ? DROP_NONE
								     : DROP_DHCP_MALFORMED;
	case DHCPV6_REQUEST:
	case DHCPV6_RENEW:
	case DHCPV6_RELEASE:
	case DHCPV6_DECLINE:
		if (!message->client.data || !message->server.data)
			return DROP_DHCP_MALFORMED;
		return ours ? DROP_NONE : DROP_DHCP_UNANSWERED;
	case DHCPV6_INFORMATION_REQUEST:
		if (message->identity_count)
			return DROP_DHCP_MALFORMED;
		return ours || !message->server.data ? DROP_NONE : DROP_DHCP_UNANSWERED;
	default:
		return DROP_DHCP_UNANSWERED;
	}
}

static void write_name(struct dhcpv6_writer *writer, const struct dhcpv6_offer *offer)
{
	uint8_t content[1 + HOST_NAME_SIZE + DOMAIN_NAME_WIRE_MAX] = {FQDN_NO_UPDATE};
	uint32_t size = domain_name_write(offer->host_name, false, content + 1, HOST_NAME_SIZE);

	if (!size)
		return;
	// Without a domain it is part of a name, which no empty label ends (RFC 4704 section 4.2).
	if (*offer->domain)
		size += domain_name_write(offer->domain, true, content + 1 + size,
					  DOMAIN_NAME_WIRE_MAX);
	if (size <= DOMAIN_NAME_WIRE_MAX)
		dhcpv6_write(writer, DHCPV6_OPTION_FQDN, content, 1 + size);
}

static void write_requested(struct dhcpv6_writer *writer, const struct dhcpv6_offer *offer,
			    const struct dhcpv6_message *message, uint16_t code)
{
	const struct service_options *options = &offer->server->options;
	const struct service_option *option;
	const char *url = boot_url(offer->boot, message->ipxe);

	if (code == DHCPV6_OPTION_BOOT_URL) {
		if (*url)
			dhcpv6_write(writer, code, url, (uint32_t)strlen(url));
		return;
	}
	option = service_options_find(options, code);
	if (option)
		dhcpv6_write(writer, code, service_option_data(options, option), option->size);
}

static void write_options(struct dhcpv6_writer *writer, const struct dhcpv6_offer *offer,
			  const struct dhcpv6_message *message)
{
	uint32_t count = message->requested.size / 2, lease = offer->server->lease;

	if (count > REQUESTED_MAX)
		count = REQUESTED_MAX;
	if (!message->requested.data) {
		for (unsigned int i = 0; i < sizeof(usual) / sizeof(usual[0]); i++)
			write_requested(writer, offer, message, usual[i]);
	}
	for (uint32_t i = 0; i < count; i++) {
		const uint8_t *code = message->requested.data + 2 * i;
		bool again = false;

		for (uint32_t j = 0; j < i && !again; j++)
			again = memcmp(code, message->requested.data + 2 * j, 2) == 0;
		if (!again)
			write_requested(writer, offer, message, (uint16_t)(code[0] << 8 | code[1]));
	}
	if (message->name)
		write_name(writer, offer);
	if (message->type == DHCPV6_INFORMATION_REQUEST) {
		lease = htonl(lease < REFRESH_MIN ? REFRESH_MIN : lease);
		dhcpv6_write(writer, DHCPV6_OPTION_REFRESH, &lease, 4);
	}
}

// Does the client have what it says that it has (section 18.3.3)? The port is the link: another
// port's address is on another one.
static bool confirm(const struct dhcpv6_offer *offer, const struct dhcpv6_message *message,
		    bool *any)
{
	struct ip_address address;
	bool right = true;

	*any = false;
	for (uint32_t i = 0; i < message->identity_count; i++) {
		uint32_t position = 0;

		while (dhcpv6_next_address(&message->identities[i], &position, &address)) {
			bool found = false;

			*any = true;
			for (uint32_t j = 0; j < offer->address_count; j++)
				found |= ip_equal(&address, &offer->addresses[j]);
			right &= found;
		}
	}
	return right;
}

static uint32_t size_limit(const struct dhcpv6_offer *offer)
{
	uint32_t limit = offer->server->mtu - HEADERS_SIZE;

	return limit > DHCPV6_MESSAGE_MAX ? DHCPV6_MESSAGE_MAX : limit;
}

static void begin(struct dhcpv6_writer *writer, const struct dhcpv6_offer *offer,
		  const struct dhcpv6_message *message, uint8_t type)
{
	writer->message[0] = type;
	memcpy(writer->message + 1, message->transaction, 3);
	writer->used = DHCPV6_HEADER_SIZE;
	if (message->client.data)
		dhcpv6_write(writer, DHCPV6_OPTION_CLIENT, message->client.data,
			     message->client.size);
	dhcpv6_write(writer, DHCPV6_OPTION_SERVER, offer->server->identifier, DHCPV6_DUID_SIZE);
}

static void answer(struct dhcpv6_writer *writer, const struct dhcpv6_offer *offer,
		   const struct dhcpv6_message *message)
{
	static const uint8_t best = 255;
	bool any;

	switch (message->type) {
	case DHCPV6_SOLICIT:
		if (message->rapid_commit) {
			begin(writer, offer, message, DHCPV6_REPLY);
			dhcpv6_write(writer, DHCPV6_OPTION_RAPID_COMMIT, NULL, 0);
		} else {
			begin(writer, offer, message, DHCPV6_ADVERTISE);
			// There is no other server to wait for.
			dhcpv6_write(writer, DHCPV6_OPTION_PREFERENCE, &best, 1);
		}
		break;
	case DHCPV6_CONFIRM:
		begin(writer, offer, message, DHCPV6_REPLY);
		dhcpv6_write_status(writer, confirm(offer, message, &any) ? DHCPV6_SUCCESS
									  : DHCPV6_NOT_ON_LINK);
		if (!any)
			writer->used = 0;
		return;
	case DHCPV6_RELEASE:
	case DHCPV6_DECLINE:
		// The addresses stay the port's.
		begin(writer, offer, message, DHCPV6_REPLY);
		dhcpv6_write_status(writer, DHCPV6_SUCCESS);
		return;
	default:
		begin(writer, offer, message, DHCPV6_REPLY);
		break;
	}
	dhcpv6_write_identities(writer, offer, message);
	write_options(writer, offer, message);
}

enum drop_reason dhcpv6_answer(const struct dhcpv6_offer *offer,
			       const struct dhcpv6_message *message, bool unicast, uint8_t *reply,
			       uint32_t *size)
{
	struct dhcpv6_writer writer = {.message = reply};
	enum drop_reason reason;

	*size = 0;
	if (message->type == DHCPV6_ADVERTISE || message->type == DHCPV6_REPLY ||
	    message->type == DHCPV6_RECONFIGURE || message->type == DHCPV6_RELAY_FORWARD ||
	    message->type == DHCPV6_RELAY_REPLY)
		return DROP_DHCP_SPOOFED;
	if (!offer->server)
		return DROP_DHCP_UNANSWERED;
	reason = check(offer, message);
	if (reason != DROP_NONE)
		return reason;
	writer.limit = size_limit(offer);
	if (unicast) {
		// Section 18.4: some are told, others not heard.
		if (message->type != DHCPV6_REQUEST && message->type != DHCPV6_RENEW &&
		    message->type != DHCPV6_RELEASE && message->type != DHCPV6_DECLINE)
			return DROP_DHCP_UNANSWERED;
		begin(&writer, offer, message, DHCPV6_REPLY);
		dhcpv6_write_status(&writer, DHCPV6_USE_MULTICAST);
	} else {
		answer(&writer, offer, message);
	}
	*size = writer.used;
	return *size ? DROP_NONE : DROP_DHCP_UNANSWERED;
}
