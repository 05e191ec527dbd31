// A ring, the driver at its other end, and packets for it.

#pragma once

#include "test.h"

#include <rte_mbuf.h>

#include "port/vhost_user/ring.h"
#include "vhost_driver.h"

extern struct rte_mempool *vhost_pool;

struct vhost_fixture {
	struct vhost_driver driver;
	struct vhost_ring ring;
	struct vhost_ring_errors errors;
	uint32_t header; // bytes of the virtio-net header
};

// The kinds of rings that there are, by their features.
extern const uint64_t vhost_modes[];
extern const uint32_t vhost_modes_count;

#define MODERN FEATURE_BIT(VIRTIO_F_VERSION_1)
#define PACKED FEATURE_BIT(VIRTIO_F_RING_PACKED)
#define EVENT  FEATURE_BIT(VIRTIO_RING_F_EVENT_IDX)
#define TABLES FEATURE_BIT(VIRTIO_RING_F_INDIRECT_DESC)
#define MERGE  FEATURE_BIT(VIRTIO_NET_F_MRG_RXBUF)

void fixture_open(struct vhost_fixture *fixture, uint64_t features, uint16_t size);
void fixture_reopen(struct vhost_fixture *fixture);
void fixture_close(struct vhost_fixture *fixture);

// A virtio-net header (all zero but for what is given) and `data` to the parts of a buffer.
void parts_write(struct vhost_fixture *fixture, const struct part *parts, uint32_t count,
		 const struct virtio_net_hdr *header, const void *data, uint32_t size);
// The first `size` bytes of the parts.
void parts_read(struct vhost_fixture *fixture, const struct part *parts, uint32_t count, void *data,
		uint32_t size);
void parts_fill(struct vhost_fixture *fixture, const struct part *parts, uint32_t count,
		uint8_t byte);

// A packet of these bytes in buffers with at most `part` of them.
struct rte_mbuf *packet_of(const void *data, uint32_t size, uint32_t part);
bool packet_equals(const struct rte_mbuf *packet, const void *data, uint32_t size);

// Receives and frees up to `count` packets; the number.
uint16_t receive_some(struct vhost_fixture *fixture, uint16_t count);

// Starts DPDK, runs the tests, and looks whether a packet buffer is missing.
int vhost_tests_run(const char *name, const struct CMUnitTest *tests, size_t count);
