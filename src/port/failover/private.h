// What the two halves of failover/ share: what workers do with it, and what the control thread
// does.

#pragma once

#include "port/driver.h"
#include "port/failover/failover.h"

// Of a member, by whom it is known.
#define MEMBER_LINK    1 // works, as far as can be seen
#define MEMBER_HELD    2
#define MEMBER_DRAINED 4
#define MEMBER_FAILED  8 // a worker could not send; until the control thread has looked

// Slots: while the list of devices changes, those that go are there beside those that come.
#define MEMBERS_ROOM (2 * PORT_MEMBERS_MAX)

#define MEMBER_UNWANTED UINT16_MAX

struct failover_member {
	_Atomic(struct port *) port; // NULL: not open
	_Atomic uint16_t place;	     // in the list, 0: the best; or MEMBER_UNWANTED
	_Atomic uint32_t bits;
	struct port_device device;
	char problem[512];
	bool given; // by another process, and not settled
	uint64_t failures;
	uint64_t hold; // milliseconds, of the last time
	uint64_t held_until;
	uint64_t works_since;
	uint64_t quiet_since; // while it drains
	uint64_t drain_end;
	uint64_t received_before;
	uint64_t received[PORT_QUEUES_MAX]; // packets, by their workers
	int armed_fds[PORT_QUEUES_MAX];	    // in the queue's epoll descriptor; -1: none
};

struct failover_port {
	struct port port;
	const struct port_environment *environment;
	struct event *timer; // a device has been held for long enough; NULL: there is none
	struct port *told;   // who sent when it was last looked at
	int epoll_fds[PORT_QUEUES_MAX];
	uint16_t first[PORT_QUEUES_MAX]; // whose turn it is to be received from
	uint16_t wanted;		 // how many devices the list has
	_Atomic uint16_t count;		 // slots that were ever used
	struct failover_member members[MEMBERS_ROOM];
};

extern const struct port_driver failover_driver;

// Finds out who is to send, and has it do so. Any thread.
struct port *failover_choose(struct failover_port *port);

// members.c
// All zero before: this device is the slot's from now on.
void failover_member_begin(struct failover_port *port, uint16_t slot, uint16_t place,
			   const struct port_device *device);
// It sends nothing more, and is closed when nothing comes by it.
void failover_member_drain(struct failover_member *member);
// Opens, closes and chooses, as things are. `first`: what works now has not failed before.
void failover_look(struct failover_port *port, bool first);
void failover_check(struct port *base);
void failover_close(struct port *base);

// It is open: from now on it is used.
void failover_member_opened(struct failover_port *port, struct failover_member *member,
			    struct port *opened);
// Returns when no worker has it any more.
void failover_member_close(struct failover_port *port, struct failover_member *member,
			   const char *reason);

// hand_over.c
struct port_parts;
bool failover_hand_over(struct port *base, struct port_parts *parts);
void failover_hand_over_undo(struct port *base);
bool failover_settle(struct port *base);
int failover_take_over(struct failover_port *port, struct port_parts *parts, struct error *err);
