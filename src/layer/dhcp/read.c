#include "layer/dhcp/dhcp.h"

#include <arpa/inet.h>

#define SERVER_NAME_OFFSET 44
#define SERVER_NAME_SIZE   64
#define BOOT_FILE_OFFSET   108
#define BOOT_FILE_SIZE	   128

static const uint8_t cookie[4] = {99, 130, 83, 99};

static uint16_t get16(const uint8_t *data)
{
	return (uint16_t)(data[0] << 8 | data[1]);
}

// iPXE says so of itself: as the class alone, or with its length before it (RFC 3004).
static bool is_ipxe(const uint8_t *data, uint32_t size)
{
	return (size == 4 && memcmp(data, "iPXE", 4) == 0) ||
	       (size >= 5 && data[0] == 4 && memcmp(data + 1, "iPXE", 4) == 0);
}

static bool read_option(struct dhcp_message *message, uint8_t code, const uint8_t *data,
			uint32_t size, uint8_t *overload)
{
	switch (code) {
	case DHCP_OPTION_TYPE:
		message->type = data[0];
		return size == 1;
	case DHCP_OPTION_OVERLOAD:
		*overload = data[0];
		return size == 1 && data[0] >= 1 && data[0] <= 3;
	case DHCP_OPTION_ADDRESS:
		if (size != 4)
			return false;
		message->has_address = true;
		memcpy(&message->address, data, 4);
		return true;
	case DHCP_OPTION_SERVER:
		if (size != 4)
			return false;
		message->has_server = true;
		memcpy(&message->server, data, 4);
		return true;
	case DHCP_OPTION_MAX_SIZE:
		if (size != 2)
			return false;
		message->max_size = get16(data);
		return true;
	case DHCP_OPTION_ARCHITECTURE:
		// A list; the first is what it is.
		if (size < 2 || size % 2)
			return false;
		message->architecture = get16(data);
		return true;
	case DHCP_OPTION_USER_CLASS:
		message->ipxe = is_ipxe(data, size);
		return true;
	case DHCP_OPTION_PARAMETERS:
		message->parameters = (struct dhcp_bytes){data, size};
		return true;
	case DHCP_OPTION_CLIENT:
		message->client_identifier = (struct dhcp_bytes){data, size};
		return size >= 2;
	case DHCP_OPTION_VENDOR_CLASS:
		message->vendor_class = (struct dhcp_bytes){data, size};
		return true;
	default:
		return true;
	}
}

static bool read_options(struct dhcp_message *message, const uint8_t *option, const uint8_t *end,
			 uint8_t *overload)
{
	while (option < end && *option != DHCP_OPTION_END) {
		uint32_t size;

		if (*option == DHCP_OPTION_PAD) {
			option++;
			continue;
		}
		if (end - option < 2)
			return false;
		size = option[1];
		if (size > (uint32_t)(end - option - 2))
			return false;
		if (*option == DHCP_OPTION_RAPID_COMMIT)
			message->rapid_commit = true;
		else if (size && !read_option(message, *option, option + 2, size, overload))
			return false;
		option += 2 + size;
	}
	return true;
}

bool dhcp_read(const uint8_t *data, uint32_t size, struct dhcp_message *message)
{
	uint8_t overload = 0, ignored = 0;

	memset(message, 0, sizeof(*message));
	message->architecture = ARCHITECTURE_NONE;
	if (size < DHCP_HEADER_SIZE ||
	    memcmp(data + DHCP_HEADER_SIZE - sizeof(cookie), cookie, sizeof(cookie)) != 0 ||
	    (data[0] != 1 && data[0] != 2))
		return false;
	message->header = data;
	message->request = data[0] == 1;
	message->hardware_type = data[1];
	message->hardware_size = data[2];
	message->broadcast = data[10] & 0x80;
	memcpy(&message->client, data + 12, 4);
	memcpy(&message->relay, data + 24, 4);
	memcpy(&message->mac, data + 28, 6);
	if (!read_options(message, data + DHCP_HEADER_SIZE, data + size, &overload))
		return false;
	if (overload & 1 && !read_options(message, data + BOOT_FILE_OFFSET,
					  data + BOOT_FILE_OFFSET + BOOT_FILE_SIZE, &ignored))
		return false;
	return !(overload & 2) ||
	       read_options(message, data + SERVER_NAME_OFFSET,
			    data + SERVER_NAME_OFFSET + SERVER_NAME_SIZE, &ignored);
}
