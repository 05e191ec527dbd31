// Connections between kernel interfaces of this node that go on in the kernel (programs.bpf.c):
// what the layers have decided about both directions is given to BPF programs at the interfaces,
// and only packets that are out of the ordinary come to Sluice. One of the interfaces may be the
// uplink: the programs then put outer headers before packets, and take them off. Such a connection
// is FLOW_OFFLOADED in the table; it stays there with its key, state and rules.
//
// open.c    the programs and their maps; which slots are free
// slots.c   connections that are offloaded, and what the kernel has counted of them
// check.c   is what the kernel has what the table says?
//
// Ports put the programs at their interfaces (port/packet.c).
//
// Threads: each worker begins and ends the offloading of the connections that it owns. Who reads
// may do so at any time, as with the table.

#pragma once

#include "base/error.h"
#include "flow/table.h"
#include "flow_offload/layout.h"
#include "port/port.h"

struct flow_offload;

// What the programs must know of one direction beside its key.
struct flow_offload_direction {
	unsigned int in, out; // interfaces' indices
	uint16_t port_in, port_out;
	uint16_t mtu; // bytes of an IP packet
	bool routed;
	// Destination, source: as packets come, and as they leave where they are routed.
	struct mac_address received[2];
	struct mac_address sent[2];

	// Where they come through a tunnel: bytes of its outer headers up to VXLAN, VNI, addresses
	// of the node that sends and of this one, and this one's MAC address.
	uint16_t outer_in;
	uint32_t vni;
	struct ip_address outer_source, outer_destination;
	struct mac_address outer_mac;
	// Where they leave through one: all outer headers without their lengths, the sum of the
	// IPv4 header without its length, and the number of the next hop, below OFFLOAD_NEXT_HOPS.
	uint16_t outer_out;
	uint8_t header[OFFLOAD_OUTER_V6];
	uint32_t header_sum;
	uint32_t next_hop;
};

// Loads the programs and becomes the table's keeper. `table` must outlive it; the workers are those
// of the table. Control thread.
int flow_offload_open(struct flow_table *table, struct flow_offload **offload, struct error *err);
// No worker and no port uses it any more. NULL does nothing.
void flow_offload_close(struct flow_offload *offload);

// For a port's environment; valid until close.
const struct port_programs *flow_offload_programs(const struct flow_offload *offload);

// From now on what was decided by tables of other generations is out of date. Any thread.
void flow_offload_set_generation(struct flow_offload *offload, uint32_t generation);

// Another next hop's MAC address, or another MTU of a way: what is sent into tunnels has to be
// looked at anew. After the change. Any thread.
void flow_offload_underlay_changed(struct flow_offload *offload);
// The number of the last change: to be read before what is given to flow_offload_begin.
uint32_t flow_offload_underlay(const struct flow_offload *offload);
// The second of the table's clock (`now`) in which the kernel last sent by a next hop; of one that
// it never has, long ago.
uint32_t flow_offload_next_hop_used(const struct flow_offload *offload, uint32_t next_hop,
				    uint32_t now);

// The ones below: the worker that owns the connection.

// `generation`: of the tables by which both directions were decided; `underlay`: as above. False:
// no room. True: from now on packets go to the owner; another worker may still be accounting one by
// itself until it has been quiet once.
bool flow_offload_begin(struct flow_offload *offload, uint32_t worker, flow_reference reference,
			const struct flow_offload_direction directions[2], uint32_t generation,
			uint32_t underlay);

// All workers have been quiet since: the kernel may forward. Nothing if it has ended meanwhile.
void flow_offload_start(struct flow_offload *offload, uint32_t worker, flow_reference reference);

// What was counted is the table's again, and the directions have the generation that they had.
void flow_offload_end(struct flow_offload *offload, uint32_t worker, flow_reference reference);

// Does what the kernel was told still hold, with tables of this generation?
bool flow_offload_holds(const struct flow_offload *offload, flow_reference reference,
			uint32_t generation);

// A packet that came to Sluice all the same: `account` (from flow_offload_read) after it.
void flow_offload_account(struct flow_offload *offload, flow_reference reference,
			  const struct flow_account *account, uint32_t packets, uint32_t bytes);

// Before it is started: takes over what other workers have accounted by themselves.
void flow_offload_catch_up(struct flow_offload *offload, flow_reference reference);

// Adds to a copy of an offloaded connection's account what the kernel has. Any reader.
void flow_offload_read(const struct flow_offload *offload, flow_reference reference,
		       struct flow_account *copy);

// Packets that went from and to a port in the kernel, since the start. Any thread.
void flow_offload_count(const struct flow_offload *offload, uint32_t port,
			struct port_counters *counters);

// Connections that are offloaded now. Any thread.
uint32_t flow_offload_live(const struct flow_offload *offload);

// Once a second, control thread: makes what has ended usable again. May wait for some milliseconds.
void flow_offload_tidy(struct flow_offload *offload);
