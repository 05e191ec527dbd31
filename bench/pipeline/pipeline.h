// The data plane in one process, without devices: what the parts of bench/pipeline share.
//
// main.c          options, the table of results
// world.c         tables, engine and ports
// traffic.c       the connections' frames
// measure.c       rounds, cycles by stage
// first.c         the same of connections that begin and end
// instructions.c  the same under valgrind, instructions by function

#pragma once

#include <stdlib.h>

#include "worker/worker.h"

#define TURN_PACKETS (2 * PORT_BURST)

// What all measured packets are.
enum pipeline_packets {
	PACKETS_LATER, // of connections that are known and decided upon
	PACKETS_FIRST, // connections begin, are answered, and end; others are kept alive
	PACKETS_ANEW,  // each is judged anew, as after a change of policy
};

struct pipeline_options {
	enum pipeline_packets packets;
	uint32_t connections;
	uint32_t clients; // addresses that connections come from; 0: one
	uint32_t workers;
	uint8_t protocol; // IPPROTO_UDP, IPPROTO_TCP
	bool ipv6;
	bool vxlan;	   // the server is on another node
	bool balance;	   // the client asks a LoadBalancer; the server is in another network
	bool nat;	   // the server is outside, behind a Nat
	bool limit;	   // the client's port has limits, which are not reached
	bool mark;	   // what it sends is marked
	bool apart;	   // with two workers: each direction of a connection at another one
	uint32_t turns;	   // fixed number of turns, not until the time is over; 0: until then
	double seconds;	   // of a measurement
	bool instructions; // count them under valgrind
	bool ordinary_pages;
};

// Where a burst enters.
enum side {
	SIDE_CLIENT,
	SIDE_SERVER
};

struct world {
	struct engine *engine;
	struct tables *tables;
	uint16_t ports[2];		    // by side
	struct mac_address gateway_macs[2]; // by side, of its network; outside: zero
};

// What a fake port has been given to send, by queue.
struct sent {
	struct rte_mbuf *packets[4096];
	uint32_t count;
} __attribute__((aligned(128)));

// `ordinary`: no huge pages for packets.
void world_start_eal(bool ordinary);
void world_open(struct world *world, const struct pipeline_options *options);
void world_close(struct world *world);
// Frees what ports were given by the worker, and returns how many packets that were.
uint32_t world_take_sent(struct world *world, uint32_t worker);
// What the side's port was given by the worker and has still.
const struct sent *world_sent(const struct world *world, enum side side, uint32_t worker);

// Distinct connections that ports can tell.
#define TRAFFIC_CONNECTIONS 60000000u

// What a packet of a connection is to be.
enum traffic_kind {
	TRAFFIC_DATA,
	TRAFFIC_SYN,
	TRAFFIC_SYN_ACK
};

struct traffic {
	uint8_t frames[2][192]; // by side, all but ports
	uint32_t sizes[2];
	uint32_t l4[2];
	bool tcp;
	bool ipv6;
	uint32_t clients;
	// Where a Nat translates, by connection: what the client is outside, the low 16 bits of its
	// address and the port, as on the wire. Else NULL.
	uint32_t *outside;
};

void traffic_open(struct traffic *traffic, const struct pipeline_options *options,
		  const struct world *world);
void traffic_close(struct traffic *traffic);
// Where a Nat translates: the first packets of so many connections have come out in that order.
void traffic_learn(struct traffic *traffic, const struct world *world, uint32_t worker,
		   uint32_t first, uint32_t count);
// Fills an empty buffer with a frame of the connection.
void traffic_fill(const struct traffic *traffic, enum side side, uint32_t connection,
		  enum traffic_kind kind, struct rte_mbuf *mbuf);

// measure.c. Least cycles a packet, of all rounds; stages of the round that was least.
struct measured {
	double least, median;
	double receive, look_up, apply, send;
	double side[2]; // all stages, by the side where packets entered
	uint64_t packets;
};

void measure(struct world *world, const struct pipeline_options *options,
	     struct measured results[]);

// first.c: on the worker's thread; prints what it measured.
void first_run(struct world *world, const struct pipeline_options *options, struct traffic *traffic,
	       struct worker *worker);

int instructions_run(const struct pipeline_options *options, char **argv);

static inline void require(bool condition, const char *what)
{
	if (!condition) {
		fprintf(stderr, "pipeline: %s\n", what);
		exit(1);
	}
}
