#include "layer/dhcpv6/dhcpv6.h"

#define OPTION_HEADER_SIZE 4

static void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

bool dhcpv6_write(struct dhcpv6_writer *writer, uint16_t code, const void *data, uint32_t size)
{
	uint8_t *option = writer->message + writer->used;

	if (OPTION_HEADER_SIZE + size > writer->limit - writer->used)
		return false;
	put16(option, code);
	put16(option + 2, size);
	if (size)
		memcpy(option + OPTION_HEADER_SIZE, data, size);
	writer->used += OPTION_HEADER_SIZE + size;
	return true;
}

bool dhcpv6_write_status(struct dhcpv6_writer *writer, enum dhcpv6_status status)
{
	uint8_t content[2];

	put16(content, status);
	return dhcpv6_write(writer, DHCPV6_OPTION_STATUS, content, sizeof(content));
}

bool dhcpv6_write_open(struct dhcpv6_writer *writer, uint16_t code, uint32_t *start)
{
	*start = writer->used;
	return dhcpv6_write(writer, code, NULL, 0);
}

void dhcpv6_write_close(struct dhcpv6_writer *writer, uint32_t start)
{
	put16(writer->message + start + 2, writer->used - start - OPTION_HEADER_SIZE);
}
