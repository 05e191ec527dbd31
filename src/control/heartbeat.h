// Do the workers' loops go round? One that hangs holds its ports' packets, and the control thread,
// which waits for it: so a thread of its own looks.

#pragma once

#include "worker/engine.h"

struct heartbeat;

// Ends the process where a worker hangs. NULL without memory.
struct heartbeat *heartbeat_open(const struct engine *engine);
// Before the engine. NULL does nothing.
void heartbeat_close(struct heartbeat *heartbeat);
