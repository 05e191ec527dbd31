// What Sluice and its programs in the kernel (programs.bpf.c) share: the contents of maps. Both run
// on one machine, so numbers are in its byte order where nothing else is said.

#pragma once

#include <linux/types.h>

#define OFFLOAD_SLOTS 8192
// All numbers that a port can have: those of ended ports are used again as late as possible.
#define OFFLOAD_PORTS 65536
// Next hops of the underlay, by numbers that the owner of the connections chooses.
#define OFFLOAD_NEXT_HOPS 65536

// Outer headers of a tunnel, from Ethernet to VXLAN, and the inner Ethernet header behind them.
#define OFFLOAD_OUTER_V4   50
#define OFFLOAD_OUTER_V6   70
#define OFFLOAD_HEADER_MAX (OFFLOAD_OUTER_V6 + 14)

// The mark of what Sluice sends by an uplink with the program for it.
#define OFFLOAD_MARK 0x536c7563

// Finds a direction of a connection. No padding. Its value: the slot's number times 2, and the
// direction.
struct offload_key {
	__u32 source[4]; // network byte order; IPv4 as ::ffff:a.b.c.d
	__u32 destination[4];
	__u32 interface;   // index of the one that receives it
	__u32 vni;	   // of the tunnel that it came through; 0: none
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

	// Bytes of outer headers that come off, and that are put before it: one of the above, or 0.
	__u16 outer_in;
	__u16 outer_out;
	// Of those that come off: who the tunnel packet is from and to.
	__u32 outer_source[4];
	__u32 outer_destination[4];
	__u8 outer_mac[6];
	// Of those that are put before it, with the inner Ethernet header: all but the lengths. The
	// sum of the IPv4 header without its length.
	__u8 header[OFFLOAD_HEADER_MAX] __attribute__((aligned(4)));
	__u32 header_sum;
	__u32 next_hop; // its number

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
	__u32 underlay;	    // likewise, where outer headers are put before packets
	__u16 check_window; // TCP, and its numbers are held against the windows
	__u16 started;	    // Sluice's: the keys are entered
	struct offload_direction direction[2];
};

struct offload_state {
	__u32 generation; // of the tables in force
	__u32 underlay;	  // grows when next hops or ways of the underlay change
};

struct offload_counters {
	__u64 rx_packets, rx_bytes, tx_packets, tx_bytes;
};
