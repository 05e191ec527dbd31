// Fragments of IPv4 (RFC 791) and IPv6 (RFC 8200 section 4.5).

#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "packet/packet.h"

// Bytes of a first fragment that are looked through for headers.
#define FRAGMENT_HEADERS 512

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

// Parses a datagram as if it had come in one piece: `data` is its first fragment, `available` bytes
// contiguous, and `total` its payload in bytes (0: not known yet). `length` of the result is 0.
// Returns DROP_NONE, or why it can't be: DROP_FRAGMENT_TINY where the first fragment does not hold
// all headers up to and with the upper protocol's.
enum drop_reason fragment_parse_datagram(const uint8_t *data, uint32_t available,
					 const struct packet *first,
					 const struct fragment *fragment, uint32_t total,
					 struct packet *packet);
