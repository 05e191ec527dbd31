// Addresses on the underlay. Of next hops, the MAC addresses, found by Sluice's own ARP (RFC 826)
// and ND (RFC 4861); of tunnel addresses, the MTU of the way there, where the underlay says that it
// is less than the uplink's (RFC 1191, RFC 8201), and when the node there was heard.
//
// The set is kept across changes of configuration. Entries are made by the control thread, and
// given back when no tables name their address any more; a MAC address or MTU is read by any
// worker, and written by the one that receives it from the uplink. A packet that waits for a next
// hop may hold an entry that is given to another address meanwhile: it is then judged anew or ends
// by its time.

#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/lookup.h"
#include "layer/tunnel/hearing.h"

#define NEIGHBOURS_MAX 65536

// Seconds after the last answer until a MAC address in use is asked for anew, and how many times in
// a row, once a second, before it is given up.
#define NEIGHBOUR_REFRESH 20
#define NEIGHBOUR_PROBES  3
// Of a router or a node that is watched on an external network, used or not.
#define NEIGHBOUR_WATCH 3

// The MTU of a way that nobody has complained about, and how many seconds a complaint holds (RFC
// 1191 section 6.3).
#define PATH_MTU_ANY	 UINT32_MAX
#define PATH_MTU_SECONDS 600

struct neighbour {
	struct ip_address address;
	_Atomic uint64_t mac;	   // in the 6 low bytes; 0: not known
	_Atomic uint32_t used;	   // second of the last packet that needed it, if it was not fresh
	_Atomic uint32_t wanted;   // packets wait for it
	uint32_t confirmed;	   // second
	uint32_t asked;		   // second
	uint32_t probes;	   // since the last answer
	_Atomic uint32_t path_mtu; // bytes of an IP packet of the underlay, or PATH_MTU_ANY
	_Atomic uint32_t path_learned; // second
	_Atomic uint32_t whole;	       // second of the last large send that went by it
	// The control thread's, as in struct numbers: seen since neighbours_begin, new since then.
	bool taken;
	bool kept;
	bool given;
	// Who is watched on an external network is asked all the time: routers, so that packets go
	// by others while one does not answer, and nodes.
	_Atomic bool down;
	uint32_t down_since;	// second
	bool down_told;		// to those who watch; the control thread's
	bool down_logged;	// likewise
	uint16_t network;	// number of the external network; 0: the underlay
	struct hearing hearing; // of the node that has this tunnel address
} __attribute__((aligned(64)));

struct neighbours {
	struct neighbour *entries;
	uint32_t used;		  // those behind were never taken
	uint32_t next;		  // those before are taken
	struct lookup numbers;	  // (network, address) to index + 1; control thread
	_Atomic uint32_t wanted;  // grows when somebody starts to wait
	_Atomic uint32_t learned; // grows when an address becomes known
	_Atomic uint32_t now;	  // seconds, by the uplink's worker
};

bool neighbours_open(struct neighbours *neighbours);
void neighbours_close(struct neighbours *neighbours);

// Between begin and settle (their tables are in force, and no others) or abandon (nothing comes of
// it), neighbours_get marks entries as used; the others, or those that were new, are free again
// then. Control thread.
void neighbours_begin(struct neighbours *neighbours);
void neighbours_settle(struct neighbours *neighbours);
void neighbours_abandon(struct neighbours *neighbours);

// The entry of an address in an external network (0: on the underlay), made if need be; NULL where
// there are too many. Control thread.
struct neighbour *neighbours_get(struct neighbours *neighbours, uint16_t network,
				 const struct ip_address *address);

// Without asking for it: all zero where it is not known.
static inline struct mac_address neighbour_known(const struct neighbour *neighbour)
{
	uint64_t word = atomic_load_explicit(&neighbour->mac, memory_order_relaxed);
	struct mac_address mac;

	memcpy(&mac, &word, sizeof(mac));
	return mac;
}

// Worker. False: not known, and now asked for; the packet has to wait.
static inline bool neighbour_mac(struct neighbours *neighbours, struct neighbour *neighbour,
				 struct mac_address *mac)
{
	uint64_t word = atomic_load_explicit(&neighbour->mac, memory_order_relaxed);
	uint32_t now = atomic_load_explicit(&neighbours->now, memory_order_relaxed);

	if (atomic_load_explicit(&neighbour->used, memory_order_relaxed) != now)
		atomic_store_explicit(&neighbour->used, now, memory_order_relaxed);
	if (__builtin_expect(word == 0, 0)) {
		if (!atomic_exchange(&neighbour->wanted, 1))
			atomic_fetch_add(&neighbours->wanted, 1);
		return false;
	}
	memcpy(mac, &word, sizeof(*mac));
	return true;
}
