// What the command line asks for.

#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <netinet/in.h>

#include <rte_ether.h>

#include "port.h"

#define SIDES 2
// Connection i is from port 1024 + i % 64000 to port 5000 + i / 64000.
#define CLIENT_PORT  1024
#define CLIENT_PORTS 64000
#define SERVER_PORT  5000
#define SERVER_PORTS (65536 - SERVER_PORT)
// A side has many addresses.
#define ADDRESSES_MAX	65536
#define CONNECTIONS_MAX (16u << 20)

enum mode {
	MODE_STREAM,
	MODE_NEW,
	MODE_TCP,
};

// In network byte order. An IPv4 address is its first four bytes.
struct address {
	bool is_v6;
	uint8_t bytes[16];
};

struct tunnel_options {
	bool enabled;
	uint32_t vni;
	// The load's own end, and the device's.
	struct address local;
	struct address remote;
	struct rte_ether_addr local_mac;
	// Zero: learnt from what the device sends.
	struct rte_ether_addr remote_mac;
};

struct options {
	enum mode mode;
	bool is_tcp;
	bool is_v6;
	bool latency;
	// Every received packet is looked at.
	bool check;
	uint32_t connections;
	// Of a frame, without check sum of the wire or tunnel. 0: not given.
	unsigned int size;
	// Packets a second, connections a second in the other modes. 0: as fast as it goes.
	uint64_t rate;
	uint32_t hold;
	// Packets a second.
	uint64_t keep;
	unsigned int exchanges;
	// Connections at a time.
	uint32_t active;
	unsigned int interval_ms;
	// At the end: for how long a packet may be on its way.
	unsigned int drain_ms;
	// Seconds; 0: no limit.
	double seconds;
	double opening_seconds;
	struct rte_ether_addr mac[SIDES];
	// Where each side sends: the other one, or a gateway.
	struct rte_ether_addr next_hop[SIDES];
	// Client and server, by side as it is seen there.
	struct address address[SIDES][SIDES];
	// Port 1 is outside: what the client is there is seen from its packets, which are numbered.
	bool outside;
	// UDP has a checksum over IPv4, too.
	bool checksum;
	// IPv4 addresses of client and server, from address[...][side] on. 0: one.
	uint32_t addresses[SIDES];
	struct tunnel_options tunnel;
	struct vhost_user_device devices[SIDES];
	unsigned int device_count;
};

// Ends the process with status 2 and one line on standard error where something is wrong.
void options_read(struct options *options, int argc, char **argv);
