// A filter as tcpdump has it (classic BPF: McCanne and Jacobson, USENIX Winter '93), run on packets
// as they lie in their buffers. DPDK's rte_bpf is not used for it, because its check follows each
// way through a program, and who sends one must not keep the control thread busy.

#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <linux/filter.h>

struct rte_mbuf;

#define CAPTURE_FILTER_MAX 4096 // instructions

// Can it be run? It ends, and touches nothing but the packet. NULL, or what is wrong with the
// instruction *at.
const char *capture_filter_check(const struct sock_filter *program, uint32_t count, uint32_t *at);

// Does the packet match? `program` was checked.
bool capture_filter_run(const struct sock_filter *program, const struct rte_mbuf *mbuf);
