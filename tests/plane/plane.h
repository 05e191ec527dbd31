// The data plane without devices and threads, for fuzzers and benchmarks: workers are the caller's
// to run, and ports have the packets that it hands to the fast path.

#pragma once

#include "worker/worker.h"

// A driver of ports that receive nothing and are always up. `send` is as a driver's.
struct port_driver plane_driver(uint16_t (*send)(struct port *port, uint16_t queue,
						 struct rte_mbuf **packets, uint16_t count));

// Ends the threads of all workers of an open engine: the caller does their work.
void plane_take_workers(struct engine *engine);
