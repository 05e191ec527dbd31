// Connections that are to come, from outside: what a protocol's messages have announced (a data
// connection of FTP, media of SIP), to an external end that leads inside for this alone. For some
// time, and from one address where that is known.
//
// Threads: any worker; a lock, taken by first packets from outside while something is expected, and
// by messages that announce something.

#pragma once

#include "layer/nat/mappings.h"

// Of one inside Port: who announces more has to wait until others have come or are over.
#define NAT_EXPECTED_PER_PORT 64

struct nat_expected {
	struct ip_address address; // the external end
	uint32_t number;	   // of it, as a mapping has it
	uint16_t port;		   // network byte order
	bool any_peer;
	bool several;		  // connections may come until its time is over; else one
	struct ip_address peer;	  // who may come
	struct nat_inside inside; // where it leads; the protocol, too
};

struct nat_expectations;

// For `max` of them. `ended` is told of each that is over, came or not: its mapping may end.
// Nothing may be expected in it.
struct nat_expectations *nat_expectations_open(uint32_t max,
					       void (*ended)(void *context,
							     const struct nat_expected *expected,
							     uint32_t now),
					       void *context);
void nat_expectations_close(struct nat_expectations *expectations);

// For so many seconds. False: too many.
bool nat_expect(struct nat_expectations *expectations, const struct nat_expected *expected,
		uint32_t now, uint32_t seconds);

// The same once more: its time begins anew. False: it is not expected.
bool nat_expect_again(struct nat_expectations *expectations, const struct nat_expected *expected,
		      uint32_t now, uint32_t seconds);

// Is a connection from `peer` to this external end expected? Changes nothing.
bool nat_expected_find(struct nat_expectations *expectations, const struct ip_address *address,
		       uint16_t port, uint8_t protocol, const struct ip_address *peer,
		       struct nat_expected *expected);

// It has come, as it was found: if it was the only one, it is expected no more.
void nat_expected_came(struct nat_expectations *expectations, const struct nat_expected *expected,
		       uint32_t now);

// Ends those whose time is over, and says what time it is. Once a second.
void nat_expectations_expire(struct nat_expectations *expectations, uint32_t now);

uint32_t nat_expectations_count(const struct nat_expectations *expectations);
