// DPDK's environment and packet buffers, for fuzzers of ports.

#pragma once

#include <rte_eal.h>
#include <rte_mbuf.h>

#include "fuzz.h"

static inline struct rte_mempool *packets_open(uint32_t count)
{
	char *eal[] = {(char[]){"fuzz"},	   (char[]){"--no-pci"},     (char[]){"--no-huge"},
		       (char[]){"--no-shconf"},	   (char[]){"-m"},	     (char[]){"32"},
		       (char[]){"--no-telemetry"}, (char[]){"--log-level=4"}};
	struct rte_mempool *pool;

	require(rte_eal_init((int)RTE_DIM(eal), eal) >= 0);
	pool = rte_pktmbuf_pool_create("packets", count, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
				       SOCKET_ID_ANY);
	require(pool);
	return pool;
}
