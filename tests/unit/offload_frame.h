// Frames and packets for tests of what is left to a network card.

#pragma once

// For checking checksums.
#define ALLOW_EXPERIMENTAL_API

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_tcp.h>

#include "port/layout.h"
#include "port/offload.h"

#define PAYLOAD	   5000
#define GSO_UDP_L4 5
#define ECN	   VIRTIO_NET_HDR_GSO_ECN

extern struct rte_mempool *offload_pool;
extern uint8_t offload_frame[70000];

// A frame in `offload_frame`: where its headers are.
struct shape {
	uint32_t outer; // 0: no tunnel
	uint32_t ip;
	uint32_t l4;
	uint32_t data; // payload
	uint32_t length;
	bool v6;
	uint8_t protocol;
};

// Ethernet and IP at `frame`, for `length` bytes behind the IP header. Returns their length.
uint32_t ip_build(uint8_t *frame, bool v6, uint8_t protocol, uint32_t length);

// TCP (6) or UDP (17) with `payload` bytes; `outer`: 0, or the family of a VXLAN tunnel around it,
// 4 or 6.
struct shape frame_build(int outer, bool v6, uint8_t protocol, uint32_t payload);

struct virtio_net_hdr header_build(const struct shape *shape, uint8_t type, uint16_t size);

// `length` bytes of `offload_frame` as a packet, `head` of them in its first mbuf.
struct rte_mbuf *packet_make(uint32_t length, uint32_t head);

// Copies a packet to `to`, which has room, and frees it. Returns its length.
uint32_t packet_take(struct rte_mbuf *packet, uint8_t *to);

// Lengths and checksums of an IP packet with TCP or UDP at `ip`.
void ip_check(uint8_t *ip, uint32_t length, bool transport);

// Starts DPDK and runs the tests. Returns the program's exit status.
#define offload_tests_run(tests) \
	(offload_tests_start() ? cmocka_run_group_tests(tests, NULL, NULL) : 1)
bool offload_tests_start(void);
