// What the parts of offloading share.

#pragma once

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
