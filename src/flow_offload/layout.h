// What Sluice and its programs in the kernel (programs.bpf.c) share: the contents of maps. Both run
// on one machine, so numbers are in its byte order where nothing else is said.

#pragma once

#include <linux/types.h>

#define OFFLOAD_SLOTS 8192
// All numbers that a port can have: those of ended ports are used again as late as possible.
#define OFFLOAD_PORTS 65536

// Finds a direction of a connection. No padding. Its value: the slot's number times 2, and the
// direction.
struct offload_key {
	__u32 source[4]; // network byte order; IPv4 as ::ffff:a.b.c.d
	__u32 destination[4];
	__u32 interface;   // index of the one that receives it
	__u16 source_port; // network byte order
	__u16 destination_port;
	__u32 protocol;
};

// What packets of one direction must look like, what is done to them, and what was counted.
struct offload_direction {
	struct offload_key key;
	__u32 interface; // where they leave
	__u16 port_in;	 // whose counters
	__u16 port_out;
	__u16 mtu; // largest IP packet in bytes; where it is still to be cut, of what comes out
	__u16 routed;
	// Destination and source MAC address: as they must be, and, of routed packets, as they
	// leave.
	__u8 received[12];
	__u8 sent[12];
	__u32 scale; // of its windows

	// Written by the kernel, and by the connection's owner. As in struct flow_account.
	__u32 end;
	__u32 ack;
	__u32 window;
	__u64 packets;
	__u64 bytes;
	__u64 seen; // nanoseconds of CLOCK_MONOTONIC
};

struct offload_slot {
	__u32 generation;   // any other than that of struct offload_state: out of date
	__u16 check_window; // TCP, and its numbers are held against the windows
	__u16 started;	    // Sluice's: the keys are entered
	struct offload_direction direction[2];
};

struct offload_state {
	__u32 generation; // of the tables in force
};

struct offload_counters {
	__u64 rx_packets, rx_bytes, tx_packets, tx_bytes;
};
