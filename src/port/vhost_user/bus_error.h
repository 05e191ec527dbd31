// A guest's memory is a file that the guest can make shorter at any time. Whoever then touches what
// is gone gets SIGBUS, and all other guests would go down with this one. So the lost memory is
// replaced by empty pages in the moment of the fault, and the port is closed soon after.
//
// The state is the process's, as signal handlers are.

#pragma once

#include <stdbool.h>
#include <stddef.h>

// Takes the signal over, once. Before guests' memory is mapped.
void bus_error_guard(void);

// Shared memory of the process's own: where this is lost, nothing can go on.
void bus_error_spare(const void *start, size_t size);

// Has something of this mapping been replaced? Said once. Any thread.
bool bus_error_hit(const void *start, size_t size);
