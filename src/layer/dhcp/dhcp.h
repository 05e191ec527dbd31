// DHCP for IPv4 (RFC 2131, 2132), the server's side: a message in, an answer out. Nothing is kept:
// the address belongs to the Port, and whoever is there may have it.
//
// read.c     the client's message
// write.c    an answer's options, with overloading
// answer.c   what is answered

#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "base/drop.h"
#include "layer/services/options.h"

#define DHCP_SERVER_PORT 67
#define DHCP_CLIENT_PORT 68

// What is called the server where a subnet has no gateway. The first /24 of 169.254.0.0/16 is
// nobody's (RFC 3927 section 2.1).
#define DHCP_SERVER_WITHOUT_GATEWAY 0xa9fe0001

#define DHCP_HEADER_SIZE 240 // with the magic cookie
#define DHCP_MESSAGE_MAX 1472

enum dhcp_type {
	DHCP_DISCOVER = 1,
	DHCP_OFFER,
	DHCP_REQUEST,
	DHCP_DECLINE,
	DHCP_ACK,
	DHCP_NAK,
	DHCP_RELEASE,
	DHCP_INFORM,
};

enum dhcp_option {
	DHCP_OPTION_PAD = 0,
	DHCP_OPTION_MASK = 1,
	DHCP_OPTION_ROUTER = 3,
	DHCP_OPTION_DNS = 6,
	DHCP_OPTION_HOST_NAME = 12,
	DHCP_OPTION_DOMAIN = 15,
	DHCP_OPTION_MTU = 26,
	DHCP_OPTION_BROADCAST = 28,
	DHCP_OPTION_NTP = 42,
	DHCP_OPTION_ADDRESS = 50,
	DHCP_OPTION_LEASE = 51,
	DHCP_OPTION_OVERLOAD = 52,
	DHCP_OPTION_TYPE = 53,
	DHCP_OPTION_SERVER = 54,
	DHCP_OPTION_PARAMETERS = 55,
	DHCP_OPTION_MESSAGE = 56,
	DHCP_OPTION_MAX_SIZE = 57,
	DHCP_OPTION_RENEW = 58,
	DHCP_OPTION_REBIND = 59,
	DHCP_OPTION_VENDOR_CLASS = 60,
	DHCP_OPTION_CLIENT = 61,
	DHCP_OPTION_BOOT_SERVER = 66,
	DHCP_OPTION_BOOT_FILE = 67,
	DHCP_OPTION_USER_CLASS = 77,
	DHCP_OPTION_RAPID_COMMIT = 80,	 // RFC 4039
	DHCP_OPTION_ARCHITECTURE = 93,	 // RFC 4578
	DHCP_OPTION_DOMAIN_SEARCH = 119, // RFC 3397
	DHCP_OPTION_ROUTES = 121,	 // RFC 3442
	DHCP_OPTION_ROUTES_OLD = 249,	 // the same, as Windows once asked
	DHCP_OPTION_END = 255,
};

// Part of a message.
struct dhcp_bytes {
	const uint8_t *data; // NULL: not there
	uint32_t size;
};

// A message as far as it matters here. Points into what was read. Addresses in network byte order.
struct dhcp_message {
	const uint8_t *header; // DHCP_HEADER_SIZE bytes
	bool request;	       // op is BOOTREQUEST
	bool broadcast;
	uint32_t client; // ciaddr
	uint32_t relay;	 // giaddr
	uint8_t hardware_size;
	uint8_t hardware_type;
	struct mac_address mac; // chaddr
	uint8_t type;		// 0: BOOTP
	bool has_address, has_server;
	uint32_t address;
	uint32_t server;
	uint16_t max_size; // of the answer's IP packet; 0: not given
	uint16_t architecture;
	bool rapid_commit;
	bool ipxe;
	struct dhcp_bytes parameters, client_identifier, vendor_class;
};

// False where it breaks the rules.
bool dhcp_read(const uint8_t *data, uint32_t size, struct dhcp_message *message);

// An IPv4 subnet as DHCP tells of it.
struct dhcp_subnet {
	uint32_t server; // identifier, network byte order: the gateway's address
	uint32_t mask;	 // network byte order
	uint32_t lease;	 // seconds, UINT32_MAX: for ever
	uint16_t mtu;
	struct service_options options;
};

// What one Port is given.
struct dhcp_offer {
	const struct dhcp_subnet *subnet; // NULL: nothing
	uint32_t address;		  // network byte order
	struct mac_address mac;
	const char *host_name; // or empty
	const struct boot *boot;
};

struct dhcp_answer {
	uint32_t size; // of the message; 0: none
	bool broadcast;
	uint32_t destination; // address, network byte order
};

// Writes the answer to a message into `reply`, of at least DHCP_MESSAGE_MAX bytes. DROP_NONE also
// where the message wants no answer; else why it gets none.
enum drop_reason dhcp_answer(const struct dhcp_offer *offer, const struct dhcp_message *message,
			     uint8_t *reply, struct dhcp_answer *answer);

// Options of an answer: first in their own field, then in those of boot file and server name as
// long as these are empty (RFC 2132 section 9.3).
struct dhcp_writer {
	uint8_t *message;
	struct {
		uint32_t used, end;
	} areas[3]; // offsets in the message
	bool open[3];
};

// `limit`: largest message. The header is there, with its boot file if it has one.
void dhcp_write_begin(struct dhcp_writer *writer, uint8_t *message, uint32_t limit);
// False where there is no room: the message is then as before. What is longer than 255 bytes, or
// than the room in one place, is split (RFC 3396).
bool dhcp_write(struct dhcp_writer *writer, uint8_t code, const void *data, uint32_t size);
bool dhcp_write32(struct dhcp_writer *writer, uint8_t code, uint32_t value);
// The message's size.
uint32_t dhcp_write_end(struct dhcp_writer *writer);
