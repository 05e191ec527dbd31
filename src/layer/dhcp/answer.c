#include "layer/dhcp/dhcp.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#define HEADERS_SIZE	 28  // IPv4 and UDP
#define PACKET_MIN	 576 // what everybody takes (RFC 2131 section 2)
#define BOOT_FILE_OFFSET 108
#define BOOT_FILE_SIZE	 128

// Told to those who don't say what they want to know.
static const uint8_t usual[] = {DHCP_OPTION_ROUTER, DHCP_OPTION_DNS,	      DHCP_OPTION_HOST_NAME,
				DHCP_OPTION_DOMAIN, DHCP_OPTION_MTU,	      DHCP_OPTION_BROADCAST,
				DHCP_OPTION_ROUTES, DHCP_OPTION_DOMAIN_SEARCH};

static bool is_efi_http(const struct dhcp_message *message)
{
	return message->vendor_class.size >= 10 &&
	       memcmp(message->vendor_class.data, "HTTPClient", 10) == 0;
}

static void write_header(const struct dhcp_offer *offer, const struct dhcp_message *message,
			 uint8_t *reply)
{
	const char *file = boot_file(offer->boot, message->architecture, message->ipxe);
	const uint8_t *header = message->header;

	// xid, flags, giaddr, chaddr and the cookie are the client's.
	memset(reply, 0, DHCP_HEADER_SIZE);
	reply[0] = 2;
	reply[1] = header[1];
	reply[2] = header[2];
	memcpy(reply + 4, header + 4, 4);
	memcpy(reply + 10, header + 10, 2);
	memcpy(reply + 20, &offer->boot->server_address, 4);
	memcpy(reply + 28, header + 28, 16);
	memcpy(reply + DHCP_HEADER_SIZE - 4, header + DHCP_HEADER_SIZE - 4, 4);
	if (strlen(file) < BOOT_FILE_SIZE)
		memcpy(reply + BOOT_FILE_OFFSET, file, strlen(file));
}

static void write_times(struct dhcp_writer *writer, uint32_t lease)
{
	bool for_ever = lease == UINT32_MAX;

	dhcp_write32(writer, DHCP_OPTION_LEASE, lease);
	// RFC 2131 section 4.4.5
	dhcp_write32(writer, DHCP_OPTION_RENEW, for_ever ? lease : lease / 2);
	dhcp_write32(writer, DHCP_OPTION_REBIND,
		     for_ever ? lease : (uint32_t)((uint64_t)lease * 7 / 8));
}

static void write_asked(struct dhcp_writer *writer, const struct dhcp_offer *offer,
			const struct dhcp_message *message, uint8_t code)
{
	const struct service_options *options = &offer->subnet->options;
	const struct service_option *option;
	const char *text = NULL;

	if (code == DHCP_OPTION_HOST_NAME)
		text = offer->host_name;
	else if (code == DHCP_OPTION_BOOT_SERVER)
		text = offer->boot->server;
	else if (code == DHCP_OPTION_BOOT_FILE)
		text = boot_file(offer->boot, message->architecture, message->ipxe);
	if (text) {
		if (*text)
			dhcp_write(writer, code, text, (uint32_t)strlen(text));
		return;
	}
	option = service_options_find(options,
				      code == DHCP_OPTION_ROUTES_OLD ? DHCP_OPTION_ROUTES : code);
	if (option && code != DHCP_OPTION_MASK)
		dhcp_write(writer, code, service_option_data(options, option), option->size);
}

// In the client's order (RFC 2132 section 9.8), each once.
static void write_options(struct dhcp_writer *writer, const struct dhcp_offer *offer,
			  const struct dhcp_message *message)
{
	const uint8_t *codes = message->parameters.data ? message->parameters.data : usual;
	uint32_t count = message->parameters.data ? message->parameters.size : sizeof(usual);
	uint8_t written[256] = {0};

	// Before the router (RFC 2132 section 3.3).
	dhcp_write(writer, DHCP_OPTION_MASK, &offer->subnet->mask, 4);
	for (uint32_t i = 0; i < count; i++)
		if (!written[codes[i]]++)
			write_asked(writer, offer, message, codes[i]);
	// UEFI takes an answer for HTTP boot only if it says so (UEFI specification, 24.7).
	if (is_efi_http(message) &&
	    strncmp(boot_file(offer->boot, message->architecture, message->ipxe), "http", 4) == 0)
		dhcp_write(writer, DHCP_OPTION_VENDOR_CLASS, "HTTPClient", 10);
}

static uint32_t size_limit(const struct dhcp_offer *offer, const struct dhcp_message *message)
{
	uint32_t limit = message->max_size < PACKET_MIN ? PACKET_MIN : message->max_size;

	if (limit > offer->subnet->mtu)
		limit = offer->subnet->mtu;
	if (limit < PACKET_MIN)
		limit = PACKET_MIN;
	limit -= HEADERS_SIZE;
	return limit > DHCP_MESSAGE_MAX ? DHCP_MESSAGE_MAX : limit;
}

static void answer_positive(const struct dhcp_offer *offer, const struct dhcp_message *message,
			    enum dhcp_type type, uint8_t *reply, struct dhcp_answer *answer)
{
	bool inform = message->type == DHCP_INFORM;
	uint8_t type_byte = (uint8_t)type;
	struct dhcp_writer writer;

	write_header(offer, message, reply);
	memcpy(reply + 12, &message->client, 4);
	if (!inform)
		memcpy(reply + 16, &offer->address, 4);
	dhcp_write_begin(&writer, reply, size_limit(offer, message));
	dhcp_write(&writer, DHCP_OPTION_TYPE, &type_byte, 1);
	dhcp_write(&writer, DHCP_OPTION_SERVER, &offer->subnet->server, 4);
	if (!inform)
		write_times(&writer, offer->subnet->lease);
	if (message->client_identifier.data) // RFC 6842
		dhcp_write(&writer, DHCP_OPTION_CLIENT, message->client_identifier.data,
			   message->client_identifier.size);
	if (message->type == DHCP_DISCOVER && type == DHCP_ACK)
		dhcp_write(&writer, DHCP_OPTION_RAPID_COMMIT, NULL, 0);
	write_options(&writer, offer, message);
	answer->size = dhcp_write_end(&writer);
	// RFC 2131 section 4.1
	answer->destination = message->client ? message->client : offer->address;
	answer->broadcast = !message->client && (message->broadcast || inform);
}

static void answer_negative(const struct dhcp_offer *offer, const struct dhcp_message *message,
			    uint8_t *reply, struct dhcp_answer *answer)
{
	static const char text[] = "the address is not this port's";
	uint8_t type = DHCP_NAK;
	struct dhcp_writer writer;

	write_header(offer, message, reply);
	memset(reply + 20, 0, 4);
	memset(reply + BOOT_FILE_OFFSET, 0, BOOT_FILE_SIZE);
	dhcp_write_begin(&writer, reply, PACKET_MIN - HEADERS_SIZE);
	dhcp_write(&writer, DHCP_OPTION_TYPE, &type, 1);
	dhcp_write(&writer, DHCP_OPTION_SERVER, &offer->subnet->server, 4);
	if (message->client_identifier.data)
		dhcp_write(&writer, DHCP_OPTION_CLIENT, message->client_identifier.data,
			   message->client_identifier.size);
	dhcp_write(&writer, DHCP_OPTION_MESSAGE, text, sizeof(text) - 1);
	answer->size = dhcp_write_end(&writer);
	answer->broadcast = true;
}

// RFC 2131 section 4.3.2: the client's state shows in what the request has.
static enum drop_reason answer_request(const struct dhcp_offer *offer,
				       const struct dhcp_message *message, uint8_t *reply,
				       struct dhcp_answer *answer)
{
	uint32_t wanted = message->has_address ? message->address : message->client;

	// Another server's offer was taken; from a former configuration, perhaps.
	if (message->has_server && message->server != offer->subnet->server)
		return DROP_DHCP_UNANSWERED;
	if (!wanted)
		return DROP_DHCP_MALFORMED;
	if (wanted == offer->address)
		answer_positive(offer, message, DHCP_ACK, reply, answer);
	else
		answer_negative(offer, message, reply, answer);
	return DROP_NONE;
}

enum drop_reason dhcp_answer(const struct dhcp_offer *offer, const struct dhcp_message *message,
			     uint8_t *reply, struct dhcp_answer *answer)
{
	*answer = (struct dhcp_answer){.size = 0};
	if (!message->request)
		return DROP_DHCP_SPOOFED;
	// Ethernet's hardware addresses (RFC 1700), and no relay agents: they would be between a
	// port and its own node.
	if (message->hardware_type != 1 || message->hardware_size != 6)
		return DROP_DHCP_MALFORMED;
	if (message->relay || !mac_equal(&message->mac, &offer->mac))
		return DROP_DHCP_SPOOFED;
	if (message->type == DHCP_OFFER || message->type == DHCP_ACK || message->type == DHCP_NAK)
		return DROP_DHCP_SPOOFED;
	if (!offer->subnet)
		return DROP_DHCP_UNANSWERED;
	switch (message->type) {
	case DHCP_DISCOVER:
		answer_positive(offer, message, message->rapid_commit ? DHCP_ACK : DHCP_OFFER,
				reply, answer);
		return DROP_NONE;
	case DHCP_REQUEST:
		return answer_request(offer, message, reply, answer);
	case DHCP_INFORM:
		answer_positive(offer, message, DHCP_ACK, reply, answer);
		return DROP_NONE;
	case DHCP_DECLINE:
	case DHCP_RELEASE:
		// The address stays the port's.
		return DROP_NONE;
	default:
		return DROP_DHCP_UNANSWERED;
	}
}
