// Between the parts of packet_parse. Nobody else includes this.

#pragma once

#include "packet/packet.h"

static inline uint16_t read16(const uint8_t *data)
{
	uint16_t value;

	memcpy(&value, data, sizeof(value));
	return value;
}

static inline uint32_t read32(const uint8_t *data)
{
	uint32_t value;

	memcpy(&value, data, sizeof(value));
	return value;
}

// Follows an IPv6 header chain from `*offset` (behind the fixed header) up to `end`. Leaves the
// upper protocol in `*protocol`, its place in `*offset`, and whether the packet is a fragment
// (`*first` then tells if it is the first).
enum drop_reason skip_extension_headers(const uint8_t *data, uint32_t available, uint32_t end,
					uint32_t *offset, uint8_t *protocol, bool *fragment,
					bool *first);

// icmp.c. At `packet->l4_offset` are eight bytes at least; the packet ends at `end`.
enum drop_reason parse_icmp(const uint8_t *data, uint32_t available, uint32_t end,
			    struct packet *packet);
