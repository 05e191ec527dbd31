// What a port gives to the process that takes its place: parts, each of some bytes and the
// descriptors of files beside them. What the kinds mean is a contract between versions
// (docs/architecture.md, Live upgrade): a kind that is known keeps its meaning, and a process that
// does not know one refuses the port.
//
// Threads: the control thread's.

#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define PORT_PART_FDS_MAX 32

enum port_part_kind {
	PORT_PART_QUEUE = 1,	   // bytes: of the driver's own; one descriptor
	PORT_PART_LISTENER = 2,	   // a vhost-user socket that Sluice made
	PORT_PART_CONNECTION = 3,  // of a front-end; what follows is its
	PORT_PART_MESSAGE = 4,	   // one of vhost-user's, as the front-end would say it
	PORT_PART_PROMISCUOUS = 5, // keeps the interface so
	PORT_PART_MEMBER = 6,	   // one of several devices; what follows is its
};

struct port_part {
	uint32_t kind;
	uint32_t size;
	uint32_t fd_count;
	int fds[PORT_PART_FDS_MAX];
	uint8_t *data;
};

// In their order. All zero: none.
struct port_parts {
	struct port_part *part;
	uint32_t count;
	uint32_t next; // that is to be taken
};

// The bytes are copied, the descriptors stay whose they are. False: no memory.
bool port_parts_add(struct port_parts *parts, uint32_t kind, const void *data, uint32_t size,
		    const int *fds, uint32_t fd_count);

// The next part, if it is of this kind; else NULL. It stays in the list.
struct port_part *port_parts_take(struct port_parts *parts, uint32_t kind);

// Its first descriptor, which is the caller's now; -1: there is none.
int port_part_fd(struct port_part *part);

// Frees the list. Who has received them closes the descriptors that nobody took, too.
void port_parts_clear(struct port_parts *parts, bool received);
