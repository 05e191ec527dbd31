// Fragments that wait for the rest of their datagram, as they came: nothing is put together, and
// nothing is copied. One thread's.
//
// Whoever fragments cleverly must not get past a policy that looks at the first fragment, and must
// not use up memory: fragments that overlap end their datagram (RFC 5722, and for IPv4 alike), as
// do lengths that contradict each other; each source has a limited share, and loses its own oldest
// datagram first.

#pragma once

#include "packet/fragment.h"

// Seconds from a datagram's first fragment on.
#define FRAGMENT_SECONDS 30

// Of one datagram: a largest one in pieces of an MTU of 296 bytes.
#define FRAGMENTS_PER_DATAGRAM 256

// What belongs together. A source that changes MAC addresses between fragments sends several
// datagrams.
struct fragment_key {
	struct ip_address source;
	struct ip_address destination;
	struct mac_address source_mac;
	struct mac_address destination_mac;
	uint32_t identification;
	uint16_t network;
	uint16_t port; // where it came from
	uint16_t peer;
	uint8_t protocol; // IPv4 only (RFC 791); IPv6 has the first fragment's (RFC 8200)
	uint8_t spare;
};

_Static_assert(sizeof(struct fragment_key) == 56, "a key has no padding");

// A fragment in the table.
struct fragment_piece {
	void *item; // the caller's
	uint32_t offset;
	uint32_t size;
	uint16_t cost;
	uint16_t next; // of the same datagram, by offset; 0: none
};

struct fragment_datagram;
struct fragment_table;

// A fragment ends here: the item is the caller's again.
typedef void (*fragment_drop)(void *context, void *item, const struct fragment_key *key,
			      enum drop_reason reason);

// `cost_max`: limit of the costs of all fragments together; a quarter of it for one source. NULL
// without memory. Memory is touched as it is used.
struct fragment_table *fragment_table_open(uint32_t cost_max, fragment_drop drop, void *context);
// Empties it; `release` gets the items.
void fragment_table_clear(struct fragment_table *table, void (*release)(void *item));
void fragment_table_close(struct fragment_table *table, void (*release)(void *item));

// A key's last part is the fragment's own.
struct fragment_key fragment_key_make(const struct packet *packet, const struct fragment *fragment,
				      uint16_t port, uint16_t peer);

// Can there be such a fragment? DROP_NONE, or why not.
enum drop_reason fragment_check(const struct fragment *fragment);

// Adds a fragment that fragment_check lets pass. `cost`: buffers that it holds, at least 1. `now`
// in seconds. Returns NULL, or the datagram if it is complete now; that is the caller's until
// fragment_table_take. An item that is not kept is dropped (the callback).
struct fragment_datagram *fragment_table_add(struct fragment_table *table,
					     const struct fragment_key *key,
					     const struct fragment *fragment, void *item,
					     uint16_t cost, uint32_t now);

// The datagram ends, if it is there, and so does whatever of it comes within its time.
void fragment_table_end(struct fragment_table *table, const struct fragment_key *key, uint32_t now,
			enum drop_reason reason);

// Hands the items of a complete datagram out, in their order, and forgets it. `items` has room for
// FRAGMENTS_PER_DATAGRAM. Returns how many; `*total` is the bytes of payload.
uint32_t fragment_table_take(struct fragment_table *table, struct fragment_datagram *datagram,
			     void **items, uint32_t *total);

// Drops what has waited for too long. To be called each second.
void fragment_table_age(struct fragment_table *table, uint32_t now);

uint32_t fragment_table_count(const struct fragment_table *table);
