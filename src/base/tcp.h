// TCP addresses as users write them, and sockets for them. For control threads: names are looked
// up, which may take its time.

#pragma once

#include <stddef.h>

#include "base/error.h"

// HOST:PORT, where HOST is a name, 192.0.2.1, [2001:db8::1] (here without the brackets) or empty,
// and PORT a number.
struct tcp_address {
	char host[256];
	char port[8];
};

int tcp_address_parse(const char *text, struct tcp_address *address, struct error *err);

// A nonblocking listening socket on the first of the name's addresses that takes one; without a
// host on all addresses, for IPv6 and IPv4. Port 0: any.
int tcp_listen(const char *text, int backlog, struct error *err);

// A connected, blocking socket, after `seconds` at most for each of the name's addresses. The line
// is the reason alone.
int tcp_connect(const struct tcp_address *address, unsigned seconds, struct error *err);

struct sockaddr;

// "192.0.2.1:80", "[2001:db8::1]:80"; IPv4 also where it came over a socket for IPv6.
void tcp_address_print(const struct sockaddr *address, char *text, size_t size);
