// Router advertisements (RFC 4861 sections 4.2 and 6.2) of a network's gateway: what they say, and
// when.
//
// read.c      solicitations
// write.c     the message
// schedule.c  when a port gets one unasked

#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "base/drop.h"
#include "packet/packet.h"

#define ADVERTISED_PREFIXES 16
#define ADVERTISED_DNS	    8
#define ADVERTISED_ROUTES   16
#define ADVERTISED_SEARCH   512 // bytes

// Largest message: what every IPv6 link carries, without the header.
#define ADVERTISEMENT_MAX 1240

// Seconds.
#define ADVERTISED_ROUTER_LIFETIME 1800
#define ADVERTISED_PREFERRED	   14400
#define ADVERTISED_VALID	   86400

// What the ports of a network are told alike.
struct router_advertisement {
	bool present;		// the network has an IPv6 subnet: else nothing is told
	struct mac_address mac; // the gateway's
	uint16_t mtu;
	bool router; // there is a gateway; else hosts learn prefixes and name servers alone
	struct ip_prefix prefixes[ADVERTISED_PREFIXES];
	uint32_t prefix_count;
	struct ip_address dns[ADVERTISED_DNS];
	uint32_t dns_count;
	struct ip_prefix routes[ADVERTISED_ROUTES];
	uint32_t route_count;
	uint8_t search[ADVERTISED_SEARCH]; // domain names (RFC 1035)
	uint32_t search_size;
};

// And what a Port is told for itself.
struct router_offer {
	const struct router_advertisement *network;
	bool managed;	     // addresses by DHCPv6
	bool other;	     // anything else by DHCPv6
	uint32_t autonomous; // bit of each prefix in which addresses are formed
	uint32_t hash;	     // of all of it
};

// What was announced and is true no more: said with lifetimes of zero, so that hosts forget it.
struct router_withdrawal {
	struct ip_prefix prefixes[ADVERTISED_PREFIXES];
	uint32_t prefix_count;
	struct ip_address dns[ADVERTISED_DNS];
	uint32_t dns_count;
};

// Writes the ICMPv6 message into ADVERTISEMENT_MAX bytes, its checksum left out. `past` may be
// NULL. Returns its size. What has no room is left out, the least needed first.
uint32_t router_advertisement_write(const struct router_offer *offer,
				    const struct router_withdrawal *past, uint8_t *message);

// DROP_NONE, or why a solicitation can't be used: RFC 4861 section 6.1.1, and a link-layer address
// that is not the sender's. `packet` went through nd_read.
enum drop_reason router_solicitation_read(const uint8_t *data, const struct packet *packet);

// One Port's course of advertisements, kept from one generation of tables to the next. Written by
// one worker, but for `last` and `due`.
struct router_schedule {
	_Atomic uint32_t last; // second of the last one to all nodes; 0: never
	_Atomic uint32_t due;  // second of the next; 0: not scheduled
	uint32_t hash;	       // what was said
	uint8_t initial;       // how many more come soon
	uint8_t withdrawals;   // how many more say what is withdrawn
	bool up;
	struct router_withdrawal said, past;
};

// One may be sent to all nodes now, and is taken to be (RFC 4861 section 6.2.6: not too often).
// Else the next is due as soon as it may. Any worker.
bool router_schedule_take(struct router_schedule *schedule, uint32_t now);

// Is one due at second `now`? `up`: the port is connected. After true, router_schedule_take
// decides, and router_schedule_sent tells of it, with any number for the time to the next. The
// worker of the port's first queue.
bool router_schedule_look(struct router_schedule *schedule, const struct router_offer *offer,
			  bool up, uint32_t now);
void router_schedule_sent(struct router_schedule *schedule, const struct router_offer *offer,
			  uint32_t now, uint32_t random);
