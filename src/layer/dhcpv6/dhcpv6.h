// DHCPv6 (RFC 8415), the server's side: a message in, an answer out. Nothing is kept: the addresses
// belong to the Port, whatever DUID and IAID ask for them.
//
// read.c      the client's message
// write.c     an answer's options
// identity.c  identity associations: addresses and states
// answer.c    what is answered

#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "base/drop.h"
#include "layer/services/options.h"

#define DHCPV6_SERVER_PORT 547
#define DHCPV6_CLIENT_PORT 546

#define DHCPV6_HEADER_SIZE 4
#define DHCPV6_MESSAGE_MAX 1452
#define DHCPV6_DUID_SIZE   10
#define DHCPV6_IDENTITIES  8 // of one message; further ones are not looked at

enum dhcpv6_type {
	DHCPV6_SOLICIT = 1,
	DHCPV6_ADVERTISE,
	DHCPV6_REQUEST,
	DHCPV6_CONFIRM,
	DHCPV6_RENEW,
	DHCPV6_REBIND,
	DHCPV6_REPLY,
	DHCPV6_RELEASE,
	DHCPV6_DECLINE,
	DHCPV6_RECONFIGURE,
	DHCPV6_INFORMATION_REQUEST,
	DHCPV6_RELAY_FORWARD,
	DHCPV6_RELAY_REPLY,
};

enum dhcpv6_option {
	DHCPV6_OPTION_CLIENT = 1,
	DHCPV6_OPTION_SERVER = 2,
	DHCPV6_OPTION_IA_NA = 3,
	DHCPV6_OPTION_IA_TA = 4,
	DHCPV6_OPTION_ADDRESS = 5,
	DHCPV6_OPTION_REQUEST = 6,
	DHCPV6_OPTION_PREFERENCE = 7,
	DHCPV6_OPTION_STATUS = 13,
	DHCPV6_OPTION_RAPID_COMMIT = 14,
	DHCPV6_OPTION_USER_CLASS = 15,
	DHCPV6_OPTION_DNS = 23,		  // RFC 3646
	DHCPV6_OPTION_DOMAIN_SEARCH = 24, // RFC 3646
	DHCPV6_OPTION_IA_PD = 25,
	DHCPV6_OPTION_SNTP = 31, // RFC 4075
	DHCPV6_OPTION_REFRESH = 32,
	DHCPV6_OPTION_FQDN = 39,     // RFC 4704
	DHCPV6_OPTION_NTP = 56,	     // RFC 5908
	DHCPV6_OPTION_BOOT_URL = 59, // RFC 5970
};

enum dhcpv6_status {
	DHCPV6_SUCCESS = 0,
	DHCPV6_NO_ADDRESSES = 2,
	DHCPV6_NO_BINDING = 3,
	DHCPV6_NOT_ON_LINK = 4,
	DHCPV6_USE_MULTICAST = 5,
	DHCPV6_NO_PREFIX = 6,
};

struct dhcpv6_bytes {
	const uint8_t *data; // NULL: not there
	uint32_t size;
};

struct dhcpv6_identity {
	uint16_t code;	 // IA_NA, IA_TA or IA_PD
	uint8_t name[4]; // IAID
	struct dhcpv6_bytes options;
};

// A message as far as it matters here. Points into what was read.
struct dhcpv6_message {
	uint8_t type;
	uint8_t transaction[3];
	struct dhcpv6_bytes client, server, requested;
	struct dhcpv6_identity identities[DHCPV6_IDENTITIES];
	uint32_t identity_count;
	bool rapid_commit;
	bool ipxe;
	bool name; // the client tells its own name
};

// False where it breaks the rules.
bool dhcpv6_read(const uint8_t *data, uint32_t size, struct dhcpv6_message *message);

// The addresses of an identity, one after the other. `position` starts at 0.
bool dhcpv6_next_address(const struct dhcpv6_identity *identity, uint32_t *position,
			 struct ip_address *address);

// A network as DHCPv6 tells of it.
struct dhcpv6_server {
	uint8_t identifier[DHCPV6_DUID_SIZE]; // DUID; the same on every node
	uint32_t lease;			      // seconds, UINT32_MAX: for ever
	uint16_t mtu;
	struct service_options options;
};

// What one Port is given.
struct dhcpv6_offer {
	const struct dhcpv6_server *server; // NULL: nothing
	struct ip_address *addresses;
	uint32_t address_count;
	const struct ip_prefix *prefixes; // of the network's subnets
	uint32_t prefix_count;
	const char *host_name; // or empty
	const char *domain;
	const struct boot *boot;
};

// Writes the answer to a message into `reply`, of at least DHCPV6_MESSAGE_MAX bytes, and its size
// into `*size`: 0 where it wants none. `unicast`: it was not sent to the servers' group. DROP_NONE,
// or why there is no answer.
enum drop_reason dhcpv6_answer(const struct dhcpv6_offer *offer,
			       const struct dhcpv6_message *message, bool unicast, uint8_t *reply,
			       uint32_t *size);

struct dhcpv6_writer {
	uint8_t *message;
	uint32_t used;
	uint32_t limit;
};

// False where there is no room: the message is then as before.
bool dhcpv6_write(struct dhcpv6_writer *writer, uint16_t code, const void *data, uint32_t size);
bool dhcpv6_write_status(struct dhcpv6_writer *writer, enum dhcpv6_status status);
// Around what is written in between.
bool dhcpv6_write_open(struct dhcpv6_writer *writer, uint16_t code, uint32_t *start);
void dhcpv6_write_close(struct dhcpv6_writer *writer, uint32_t start);

// The answer's part for all identities of a message.
void dhcpv6_write_identities(struct dhcpv6_writer *writer, const struct dhcpv6_offer *offer,
			     const struct dhcpv6_message *message);
