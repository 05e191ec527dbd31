// A port of several devices in order of preference (PORT_DEVICE_FAILOVER). All that are open
// receive; the best one that works sends. What the control thread may see and ask of it; all else
// is a port's.

#pragma once

#include "port/port.h"

enum failover_state {
	FAILOVER_CARRIES, // what is sent goes by it
	FAILOVER_STANDBY,
	FAILOVER_HELD,	   // works again, and is to prove it for a while
	FAILOVER_DOWN,	   // open, and doesn't work
	FAILOVER_DRAINING, // sends nothing more; what others still send to it is received
	FAILOVER_DRAINED,  // closed, until it is undrained
	FAILOVER_MISSING,  // can't be opened
};

struct failover_view {
	const char *name; // of its device
	enum failover_state state;
	const char *problem; // empty: there is none
	uint64_t failures;   // since the port was opened
};

// Gives the port, which has the devices of `from`, those of `to`: what is in both stays as it is,
// and goes on. False: the port has to be opened anew for that.
bool failover_change(struct port *port, const struct port_device *from,
		     const struct port_device *to);

const char *failover_state_name(enum failover_state state);

// How many devices it has; 0: it is no such port.
uint16_t failover_count(const struct port *port);
void failover_view(const struct port *port, uint16_t index, struct failover_view *view);

// The device with this name, or with it in front of its arguments; -1: there is none.
int failover_find(const struct port *port, const char *name);

// Has another device send, and closes this one when nothing comes by it any more: it is DRAINED
// then. Fails where no other works. port->driver->check makes it go on.
int failover_drain(struct port *port, uint16_t index, struct error *err);

// Takes it into use again, also one that is HELD. It may be MISSING afterwards.
void failover_undrain(struct port *port, uint16_t index);
