#include "layer/dhcp/dhcp.h"

#include <arpa/inet.h>

#define AREA_OPTIONS 0
#define AREA_FILE    1
#define AREA_SERVER  2

#define SERVER_NAME_OFFSET 44
#define BOOT_FILE_OFFSET   108
#define BOOT_FILE_END	   236

#define OPTION_MAX 255

// The overload option.
#define OVERLOAD_SIZE 3
// What BOOTP's servers sent; some clients want no less (RFC 1542 section 2.1).
#define MESSAGE_MIN 300

void dhcp_write_begin(struct dhcp_writer *writer, uint8_t *message, uint32_t limit)
{
	*writer = (struct dhcp_writer){.message = message};
	// Each area ends with an end option.
	writer->areas[AREA_OPTIONS].used = DHCP_HEADER_SIZE;
	writer->areas[AREA_OPTIONS].end = limit - OVERLOAD_SIZE - 1;
	writer->open[AREA_OPTIONS] = true;
	writer->areas[AREA_FILE].used = BOOT_FILE_OFFSET;
	writer->areas[AREA_FILE].end = BOOT_FILE_END - 1;
	writer->open[AREA_FILE] = message[BOOT_FILE_OFFSET] == 0;
	writer->areas[AREA_SERVER].used = SERVER_NAME_OFFSET;
	writer->areas[AREA_SERVER].end = BOOT_FILE_OFFSET - 1;
	writer->open[AREA_SERVER] = true;
}

static uint32_t room(const struct dhcp_writer *writer, unsigned int area)
{
	return writer->open[area] ? writer->areas[area].end - writer->areas[area].used : 0;
}

static const uint8_t *write_part(struct dhcp_writer *writer, unsigned int area, uint8_t code,
				 const uint8_t *data, uint32_t size)
{
	uint8_t *to = writer->message + writer->areas[area].used;

	to[0] = code;
	to[1] = (uint8_t)size;
	if (size)
		memcpy(to + 2, data, size);
	writer->areas[area].used += 2 + size;
	return size ? data + size : data;
}

// Part by part, in the order in which readers put them together (RFC 3396 section 7).
static bool write_parts(struct dhcp_writer *writer, uint8_t code, const uint8_t *data,
			uint32_t size)
{
	struct dhcp_writer tried = *writer;
	uint32_t left = size;

	for (unsigned int write = 0; write < 2; write++) {
		*writer = tried;
		left = size;
		for (unsigned int i = 0; i < 3; i++)
			while (left && room(writer, i) > 2) {
				uint32_t part = room(writer, i) - 2;

				if (part > left)
					part = left;
				if (part > OPTION_MAX)
					part = OPTION_MAX;
				if (write)
					data = write_part(writer, i, code, data, part);
				else
					writer->areas[i].used += 2 + part;
				left -= part;
			}
		if (left)
			break;
	}
	if (left)
		*writer = tried;
	return !left;
}

bool dhcp_write(struct dhcp_writer *writer, uint8_t code, const void *data, uint32_t size)
{
	for (unsigned int i = 0; i < 3 && size <= OPTION_MAX; i++)
		if (room(writer, i) >= 2 + size) {
			write_part(writer, i, code, data, size);
			return true;
		}
	return size && write_parts(writer, code, data, size);
}

bool dhcp_write32(struct dhcp_writer *writer, uint8_t code, uint32_t value)
{
	value = htonl(value);
	return dhcp_write(writer, code, &value, sizeof(value));
}

uint32_t dhcp_write_end(struct dhcp_writer *writer)
{
	uint8_t *message = writer->message;
	uint32_t size = writer->areas[AREA_OPTIONS].used;
	uint8_t overload = 0;

	if (writer->areas[AREA_FILE].used > BOOT_FILE_OFFSET) {
		message[writer->areas[AREA_FILE].used] = DHCP_OPTION_END;
		overload |= 1;
	}
	if (writer->areas[AREA_SERVER].used > SERVER_NAME_OFFSET) {
		message[writer->areas[AREA_SERVER].used] = DHCP_OPTION_END;
		overload |= 2;
	}
	if (overload) {
		message[size++] = DHCP_OPTION_OVERLOAD;
		message[size++] = 1;
		message[size++] = overload;
	}
	message[size++] = DHCP_OPTION_END;
	while (size < MESSAGE_MIN)
		message[size++] = DHCP_OPTION_PAD;
	return size;
}
