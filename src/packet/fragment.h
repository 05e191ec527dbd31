// Fragments of IPv4 (RFC 791) and IPv6 (RFC 8200 section 4.5).

#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "packet/packet.h"

struct fragment {
	uint32_t identification; // as it stands in the packet
	uint32_t offset;	 // bytes
	uint32_t size;		 // bytes of payload that this one has
	uint16_t payload;	 // where that starts, from the start of the frame
	uint16_t field;	  // where the protocol of what follows is written: before the fragment
			  // header for IPv6
	uint8_t protocol; // of what follows
	bool more;
};

// Reads where a fragment that packet_parse has accepted belongs. False: it is a whole packet.
bool fragment_read(const uint8_t *data, uint32_t available, const struct packet *packet,
		   struct fragment *fragment);
