// What the parts of offloading share.

#pragma once

#include <time.h>

#include <bpf/bpf.h>
#include <rte_ring.h>

#include "flow_offload/flow_offload.h"
#include "flow_offload/layout.h"

struct programs;

struct flow_offload {
	struct programs *programs;
	struct port_programs fds;
	int keys_fd, barrier_fd, spare_fd;
	struct offload_slot *slots;
	struct offload_state *state;
	struct offload_counters *ports;
	uint64_t *next_hops; // nanoseconds of CLOCK_MONOTONIC
	struct flow_table *table;
	uint32_t *slot_of; // by connection number; slot + 1
	struct rte_ring *usable[FLOW_TABLE_WORKERS_MAX];
	struct rte_ring *used[FLOW_TABLE_WORKERS_MAX];
};

// For the table: what it asks of connections that are offloaded.
struct flow_keeper slots_keeper(struct flow_offload *offload);

// Of what the programs write meanwhile.
static inline uint64_t offload_load64(const __u64 *number)
{
	return __atomic_load_n(number, __ATOMIC_RELAXED);
}

// Nanoseconds of the programs' clock.
static inline uint64_t offload_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

// The second of the table's clock, which shows `now`, of a time of the programs' clock.
static inline uint32_t offload_second(uint64_t time, uint32_t now)
{
	uint64_t clock = offload_clock();

	return now - (uint32_t)(clock > time ? (clock - time) / 1000000000 : 0);
}
