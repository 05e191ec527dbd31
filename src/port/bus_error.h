// A guest's memory is a file that the guest can make shorter at any time. Whoever then touches what
// is gone gets SIGBUS, and all other guests would go down with this one. So the lost memory is
// replaced by empty pages in the moment of the fault, and the port is closed soon after. So are the
// registers of a PCI device that was torn out, which the kernel unmaps.
//
// Memory of our own may be a file, too, of a file system that others fill: a page that finds no
// room there is one of the process alone from then on.
//
// The state is the process's, as signal handlers are.

#pragma once

#include <stdbool.h>
#include <stddef.h>

// Takes the signal over, once. Before guests' memory is mapped, and devices are in use.
void bus_error_guard(void);

// Shared memory of our own, until it is unmapped. Few at a time.
void bus_error_keep(const void *start, size_t size);
void bus_error_keep_end(const void *start);
// How many pages of it have found no room. Any thread.
size_t bus_error_kept(void);

// Has something of this mapping of a guest's been replaced? Said once. Any thread.
bool bus_error_hit(const void *start, size_t size);
