// While no worker runs, the workers' CPUs have nothing to do, where all others may be busy: what
// packets wait for is done there. Control thread.

#pragma once

#include <sched.h>

#include "worker/engine.h"

struct upgrade_cpus {
	cpu_set_t before, workers;
	bool borrowed;
};

// From now on the calling thread runs where the workers do, if each of them has a CPU of its own.
// Before they stop, because whoever has to be moved waits for its turn first. Threads that it makes
// meanwhile run there, too.
void upgrade_cpus_borrow(struct upgrade_cpus *cpus, const struct engine_options *options);
// As before.
void upgrade_cpus_return(struct upgrade_cpus *cpus);
