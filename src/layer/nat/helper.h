// Which connections have messages that name addresses: by the ports of their servers.

#pragma once

#include <stdbool.h>
#include <stdint.h>

// Of one protocol; of all of a Nat or FloatingIp there are as many as of both.
#define NAT_HELPER_PORTS 8

struct nat_helpers {
	uint16_t count;
	struct nat_helper {
		uint16_t port;	  // network byte order
		uint8_t protocol; // IPPROTO_TCP: FTP, IPPROTO_UDP: SIP
	} of[2 * NAT_HELPER_PORTS];
};

static inline bool nat_helpers_have(const struct nat_helpers *helpers, uint8_t protocol,
				    uint16_t port)
{
	for (unsigned int i = 0; i < helpers->count; i++)
		if (helpers->of[i].port == port && helpers->of[i].protocol == protocol)
			return true;
	return false;
}
