// Live upgrade: another sluiced, perhaps of another version and with other options, takes the place
// of this one (docs/architecture.md, Live upgrade). The one that runs gives (give.c), the new one
// takes (take.c); they talk by frames (frame.h). Control thread.

#pragma once

#include <sys/types.h>
#include <time.h>

#include "base/drop.h"
#include "port/parts.h"
#include "port/port.h"
#include "rpc/server.h"

struct control;
struct object_set;
struct tables;
struct take_over;
struct upgrade;

// In the new process's environment: the descriptor of the socket to the one that runs.
#define UPGRADE_ENVIRONMENT "SLUICE_TAKE_OVER"
// And its program's, which is of no more use.
#define UPGRADE_PROGRAM 4
// Likewise: the number of the first process of all, which waits for whoever is the node
// (sluiced/waiter.h).
#define UPGRADE_WAITED "SLUICE_WAITED"

enum upgrade_listener {
	UPGRADE_API,
	UPGRADE_METRICS,
	UPGRADE_LISTEN,
	UPGRADE_LISTENERS,
};

extern const char *const upgrade_listener_names[UPGRADE_LISTENERS];

// Microseconds of a clock that both processes have.
static inline uint64_t upgrade_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

// ---- give.c

// The call Upgrade: answers it when the other process has taken over, or why it has not.
rpc_handler upgrade_answer;

// Is one under way? What it gives must not change.
bool upgrade_is_begun(const struct control *control);

// At the end. Whatever is under way is called off. NULL does nothing.
void upgrade_close(struct upgrade *upgrade);

// The process that has this one's place now; 0: there is none.
pid_t upgrade_successor(const struct control *control);

// say.c: with the workers stopped, all but End. -1: there is no memory, or the other has ended.
int upgrade_say(struct control *control, int channel, struct error *err);

// ---- take.c

// What the new process has been given.
struct take_over {
	int channel;
	int lock;		    // of the connection table's file; -1: taken, or none
	uint64_t table;		    // its id; 0: not said
	bool store_closed;	    // else it is closed with the workers' end
	bool cpus_shared;	    // see upgrade_cpus_borrow
	uint64_t since;		    // this one forwards; upgrade_now
	struct object_set *objects; // NULL: taken
	uint64_t revision;
	struct taken_port {
		char *name;
		struct port_parts parts;
		uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes;
		uint64_t drops[DROP_REASON_COUNT];
		struct port_errors errors;
	} * ports;
	uint32_t port_count;
	int listeners[UPGRADE_LISTENERS]; // -1: none, or taken
};

// What can be had while the other process forwards still. `channel` is taken over.
int take_over_begin(int channel, const char *node, struct take_over **take_over, struct error *err);

// All is prepared: waits until the other has stopped and said all. What was learned is entered.
int take_over_wait(struct take_over *take_over, struct control *control, struct error *err);

// Opens the ports that were given, and counts on. Before control_reconcile, which opens others.
int take_over_ports(struct take_over *take_over, struct control *control, struct tables *tables,
		    struct error *err);

// This process forwards: it is the node now.
void take_over_end(struct take_over *take_over, struct control *control);

// This process will not be the node: says so. NULL does nothing.
void take_over_fail(struct take_over *take_over, const struct error *reason);

// Frees it; what was not taken is closed, and the other process goes on. NULL does nothing.
void take_over_close(struct take_over *take_over);
