#include "cli/pcapng.h"

#include <string.h>

#include "model/memory.h"

#define BLOCK_SECTION	0x0a0d0d0a
#define BLOCK_INTERFACE 1
#define BLOCK_PACKET	6
#define BYTE_ORDER_MARK 0x1a2b3c4d
#define LINK_ETHERNET	1

#define OPTION_END	  0
#define OPTION_COMMENT	  1
#define SECTION_PROGRAM	  4
#define INTERFACE_NAME	  2
#define INTERFACE_TEXT	  3
#define INTERFACE_TIME	  9 // resolution: digits behind the second's point
#define PACKET_FLAGS	  2
#define PACKET_DROPCOUNT  4
#define PACKET_VERDICT	  7
#define FLAGS_IN	  1
#define FLAGS_OUT	  2
#define VERDICT_HARDWARE  0 // followed by what the maker likes
#define NANOSECOND_DIGITS 9

struct interface {
	char *port;
	Sluice__V1__CapturePoint point;
};

struct pcapng {
	FILE *file;
	uint32_t snaplen;
	uint64_t missed; // before the last packet, of whatever port
	struct interface *interfaces;
	uint32_t interface_count;
	// The block that is being made.
	uint8_t *block;
	size_t size, capacity;
};

const char *capture_point_text(Sluice__V1__CapturePoint point)
{
	switch (point) {
	case SLUICE__V1__CAPTURE_POINT__CAPTURE_POINT_IN:
		return "in";
	case SLUICE__V1__CAPTURE_POINT__CAPTURE_POINT_OUT:
		return "out";
	case SLUICE__V1__CAPTURE_POINT__CAPTURE_POINT_DROPPED:
		return "dropped";
	default:
		return "unknown";
	}
}

// ---- a block

static void add(struct pcapng *pcapng, const void *bytes, size_t size)
{
	if (pcapng->size + size > pcapng->capacity) {
		pcapng->capacity = (pcapng->size + size) * 2;
		pcapng->block = memory_resize(pcapng->block, pcapng->capacity, 1);
	}
	if (size)
		memcpy(pcapng->block + pcapng->size, bytes, size);
	pcapng->size += size;
}

static void add16(struct pcapng *pcapng, uint16_t value)
{
	add(pcapng, &value, sizeof(value));
}

static void add32(struct pcapng *pcapng, uint32_t value)
{
	add(pcapng, &value, sizeof(value));
}

static void pad(struct pcapng *pcapng)
{
	static const uint8_t zeros[4];

	add(pcapng, zeros, -pcapng->size & 3);
}

// Its length is filled in at the end.
static void block_begin(struct pcapng *pcapng, uint32_t type)
{
	pcapng->size = 0;
	add32(pcapng, type);
	add32(pcapng, 0);
}

static void option(struct pcapng *pcapng, uint16_t code, const void *value, size_t size)
{
	add16(pcapng, code);
	add16(pcapng, (uint16_t)size);
	add(pcapng, value, size);
	pad(pcapng);
}

static void option_text(struct pcapng *pcapng, uint16_t code, const char *text)
{
	option(pcapng, code, text, strlen(text));
}

static void block_end(struct pcapng *pcapng)
{
	uint32_t length;

	option(pcapng, OPTION_END, NULL, 0);
	length = (uint32_t)pcapng->size + 4;
	add32(pcapng, length);
	memcpy(pcapng->block + 4, &length, sizeof(length));
	fwrite(pcapng->block, 1, pcapng->size, pcapng->file);
}

// ---- the blocks

struct pcapng *pcapng_new(FILE *file, uint32_t snaplen)
{
	struct pcapng *pcapng = memory_new(sizeof(*pcapng));
	uint64_t unknown_length = UINT64_MAX;

	pcapng->file = file;
	pcapng->snaplen = snaplen;
	block_begin(pcapng, BLOCK_SECTION);
	add32(pcapng, BYTE_ORDER_MARK);
	add16(pcapng, 1);
	add16(pcapng, 0);
	add(pcapng, &unknown_length, sizeof(unknown_length));
	option_text(pcapng, SECTION_PROGRAM, "sluice " SLUICE_VERSION);
	block_end(pcapng);
	return pcapng;
}

static uint32_t interface_of(struct pcapng *pcapng, const Sluice__V1__CapturedPacket *packet)
{
	static const uint8_t digits = NANOSECOND_DIGITS;
	const char *point = capture_point_text(packet->point);
	struct interface *interface;
	char name[300];

	for (uint32_t i = 0; i < pcapng->interface_count; i++)
		if (pcapng->interfaces[i].point == packet->point &&
		    strcmp(pcapng->interfaces[i].port, packet->port) == 0)
			return i;
	pcapng->interfaces = memory_resize(pcapng->interfaces, pcapng->interface_count + 1,
					   sizeof(*pcapng->interfaces));
	interface = &pcapng->interfaces[pcapng->interface_count];
	*interface = (struct interface){.port = memory_text(packet->port), .point = packet->point};
	block_begin(pcapng, BLOCK_INTERFACE);
	add16(pcapng, LINK_ETHERNET);
	add16(pcapng, 0);
	add32(pcapng, pcapng->snaplen);
	snprintf(name, sizeof(name), "%s/%s", packet->port, point);
	option_text(pcapng, INTERFACE_NAME, name);
	snprintf(name, sizeof(name), "Sluice: port %s, %s", packet->port,
		 packet->point == SLUICE__V1__CAPTURE_POINT__CAPTURE_POINT_IN	 ? "as received"
		 : packet->point == SLUICE__V1__CAPTURE_POINT__CAPTURE_POINT_OUT ? "as sent"
										 : "dropped");
	option_text(pcapng, INTERFACE_TEXT, name);
	option(pcapng, INTERFACE_TIME, &digits, 1);
	block_end(pcapng);
	return pcapng->interface_count++;
}

void pcapng_packet(struct pcapng *pcapng, const Sluice__V1__CapturedPacket *packet)
{
	uint32_t number = interface_of(pcapng, packet), flags = 0;
	uint64_t missed = packet->missed - pcapng->missed;
	char text[300];

	block_begin(pcapng, BLOCK_PACKET);
	add32(pcapng, number);
	add32(pcapng, (uint32_t)(packet->time >> 32));
	add32(pcapng, (uint32_t)packet->time);
	add32(pcapng, (uint32_t)packet->data.len);
	add32(pcapng, packet->length);
	add(pcapng, packet->data.data, packet->data.len);
	pad(pcapng);
	if (*packet->reason) {
		snprintf(text, sizeof(text), "dropped: %s", packet->reason);
		option_text(pcapng, OPTION_COMMENT, text);
	}
	if (packet->point == SLUICE__V1__CAPTURE_POINT__CAPTURE_POINT_IN)
		flags = FLAGS_IN;
	else if (packet->point == SLUICE__V1__CAPTURE_POINT__CAPTURE_POINT_OUT)
		flags = FLAGS_OUT;
	if (flags)
		option(pcapng, PACKET_FLAGS, &flags, sizeof(flags));
	if (missed)
		option(pcapng, PACKET_DROPCOUNT, &missed, sizeof(missed));
	if (*packet->reason) {
		int length = snprintf(text, sizeof(text), "%c%s", VERDICT_HARDWARE, packet->reason);

		option(pcapng, PACKET_VERDICT, text, (size_t)length);
	}
	block_end(pcapng);
	pcapng->missed = packet->missed;
}

void pcapng_free(struct pcapng *pcapng)
{
	if (!pcapng)
		return;
	for (uint32_t i = 0; i < pcapng->interface_count; i++)
		free(pcapng->interfaces[i].port);
	free(pcapng->interfaces);
	free(pcapng->block);
	free(pcapng);
}
