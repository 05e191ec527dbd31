// Addresses that several Ports may use (VRRP), and which of them has each at the moment: the one
// that last said so by ARP or ND.
//
// Who owns what is no configuration: it stays from one generation of the tables to the next. The
// control thread makes entries, any worker changes their owner.

#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "base/lookup.h"

#define ADDRESS_OWNERS_MAX 16384

// In a second: moves of one address, and times that it is announced.
#define ADDRESS_MOVES	      2
#define ADDRESS_ANNOUNCEMENTS 8

// Counts up to a limit in each second: the second * 256, and how many in it.
typedef _Atomic uint64_t second_count;

struct address_owner {
	// The Port as network number << 48 and MAC address, so that it means the same in each
	// generation; 0: not known.
	_Atomic uint64_t port;
	second_count moves;
	second_count announcements;
	second_count questions;
	// The control thread's, as in struct numbers: seen since address_owners_begin, new since
	// then.
	struct lookup_key key; // domain and address
	bool taken;
	bool kept;
	bool given;
} __attribute__((aligned(64)));

struct address_owners {
	struct address_owner *entries;
	uint32_t used;	       // those behind were never taken
	uint32_t next;	       // those before are taken
	struct lookup numbers; // key to index + 1; control thread
};

bool address_owners_open(struct address_owners *owners);
void address_owners_close(struct address_owners *owners);

// Between begin and settle (their tables are in force, and no others) or abandon (nothing comes of
// it), address_owners_get marks entries as used; the others, or those that were new, are free again
// then. Control thread.
void address_owners_begin(struct address_owners *owners);
void address_owners_settle(struct address_owners *owners);
void address_owners_abandon(struct address_owners *owners);

// The entry, made if need be; NULL where there are too many. Control thread.
struct address_owner *address_owners_get(struct address_owners *owners, uint32_t domain,
					 const struct ip_address *address);

static inline uint64_t address_owner_port(uint16_t network, const struct mac_address *mac)
{
	uint64_t word = 0;

	memcpy(&word, mac, sizeof(*mac));
	return word | (uint64_t)network << 48;
}

// Counts one more in this second; false where `limit` is reached. With `look` only tells.
static inline bool second_count_take(second_count *count, uint32_t now, uint32_t limit, bool look)
{
	uint64_t old = atomic_load_explicit(count, memory_order_relaxed), new;

	do {
		new = old >> 8 == now ? old + 1 : ((uint64_t)now << 8) + 1;
		if ((new & 255) > limit)
			return false;
	} while (!look && !atomic_compare_exchange_weak(count, &old, new));
	return true;
}

enum address_move {
	ADDRESS_STAYS,
	ADDRESS_MOVED, // the caller makes connections be judged anew
	ADDRESS_MOVES_TOO_OFTEN,
};

// The address is said to be at `port`. Any worker. With `look` only tells what would come of it.
enum address_move address_owner_set(struct address_owner *owner, uint64_t port, uint32_t now,
				    bool look);
