#include "layer/dhcpv6/dhcpv6.h"

#define OPTION_HEADER_SIZE 4
#define DUID_MIN	   3 // RFC 8415 section 11.1
#define DUID_MAX	   130

static uint16_t get16(const uint8_t *data)
{
	return (uint16_t)(data[0] << 8 | data[1]);
}

// The option at `*position`; false at the end, and with `*broken` where it goes beyond.
static bool next_option(const struct dhcpv6_bytes *options, uint32_t *position, uint16_t *code,
			struct dhcpv6_bytes *content, bool *broken)
{
	const uint8_t *option = options->data + *position;
	uint32_t left = options->size - *position;

	if (!left)
		return false;
	*broken = left < OPTION_HEADER_SIZE || get16(option + 2) > left - OPTION_HEADER_SIZE;
	if (*broken)
		return false;
	*code = get16(option);
	*content = (struct dhcpv6_bytes){option + OPTION_HEADER_SIZE, get16(option + 2)};
	*position += OPTION_HEADER_SIZE + content->size;
	return true;
}

static bool options_valid(const struct dhcpv6_bytes *options)
{
	struct dhcpv6_bytes content;
	uint32_t position = 0;
	bool broken = false;
	uint16_t code;

	while (next_option(options, &position, &code, &content, &broken))
		if (code == DHCPV6_OPTION_ADDRESS && content.size < 24)
			return false;
	return !broken;
}

static bool read_identity(struct dhcpv6_message *message, uint16_t code,
			  const struct dhcpv6_bytes *content)
{
	uint32_t fixed = code == DHCPV6_OPTION_IA_TA ? 4 : 12;
	struct dhcpv6_identity *identity;

	if (content->size < fixed)
		return false;
	if (message->identity_count == DHCPV6_IDENTITIES)
		return true;
	identity = &message->identities[message->identity_count++];
	identity->code = code;
	memcpy(identity->name, content->data, 4);
	identity->options = (struct dhcpv6_bytes){content->data + fixed, content->size - fixed};
	return options_valid(&identity->options);
}

// A list of classes, each with its length before it.
static bool read_user_class(struct dhcpv6_message *message, const struct dhcpv6_bytes *content)
{
	const uint8_t *class = content->data;
	uint32_t left = content->size;

	while (left) {
		uint32_t size;

		if (left < 2 || get16(class) > left - 2)
			return false;
		size = get16(class);
		if (size == 4 && memcmp(class + 2, "iPXE", 4) == 0)
			message->ipxe = true;
		class += 2 + size;
		left -= 2 + size;
	}
	return true;
}

static bool read_identifier(struct dhcpv6_bytes *identifier, const struct dhcpv6_bytes *content)
{
	// Twice is not allowed (RFC 8415 section 21.2).
	if (identifier->data || content->size < DUID_MIN || content->size > DUID_MAX)
		return false;
	*identifier = *content;
	return true;
}

static bool read_option(struct dhcpv6_message *message, uint16_t code,
			const struct dhcpv6_bytes *content)
{
	switch (code) {
	case DHCPV6_OPTION_CLIENT:
		return read_identifier(&message->client, content);
	case DHCPV6_OPTION_SERVER:
		return read_identifier(&message->server, content);
	case DHCPV6_OPTION_IA_NA:
	case DHCPV6_OPTION_IA_TA:
	case DHCPV6_OPTION_IA_PD:
		return read_identity(message, code, content);
	case DHCPV6_OPTION_REQUEST:
		message->requested = *content;
		return content->size % 2 == 0;
	case DHCPV6_OPTION_RAPID_COMMIT:
		message->rapid_commit = true;
		return content->size == 0;
	case DHCPV6_OPTION_USER_CLASS:
		return read_user_class(message, content);
	case DHCPV6_OPTION_FQDN:
		message->name = true;
		return content->size >= 1;
	default:
		return true;
	}
}

bool dhcpv6_read(const uint8_t *data, uint32_t size, struct dhcpv6_message *message)
{
	struct dhcpv6_bytes options, content;
	uint32_t position = 0;
	bool broken = false;
	uint16_t code;

	memset(message, 0, sizeof(*message));
	if (size < DHCPV6_HEADER_SIZE)
		return false;
	message->type = data[0];
	memcpy(message->transaction, data + 1, 3);
	// Relay agents' messages have another header, and are not for servers of workloads.
	if (message->type == DHCPV6_RELAY_FORWARD || message->type == DHCPV6_RELAY_REPLY)
		return true;
	options = (struct dhcpv6_bytes){data + DHCPV6_HEADER_SIZE, size - DHCPV6_HEADER_SIZE};
	while (next_option(&options, &position, &code, &content, &broken))
		if (!read_option(message, code, &content))
			return false;
	return !broken;
}

bool dhcpv6_next_address(const struct dhcpv6_identity *identity, uint32_t *position,
			 struct ip_address *address)
{
	struct dhcpv6_bytes content;
	bool broken;
	uint16_t code;

	while (next_option(&identity->options, position, &code, &content, &broken)) {
		if (code != DHCPV6_OPTION_ADDRESS)
			continue;
		memcpy(address, content.data, 16);
		return true;
	}
	return false;
}
