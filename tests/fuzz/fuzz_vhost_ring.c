// Any bytes as a guest's memory: the ring, its descriptors, tables and frames. Four bytes say what
// kind of ring it is, where it begins and in which regions the memory is divided; all others are
// the memory, of which the ring's parts come first. The device receives and sends, and the memory
// changes a little between, as guests do. What is outside of it is AddressSanitizer's.

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>

#include "fuzz_packets.h"
#include "port/offload.h"
#include "port/vhost_user/ring.h"

#define KIND_PACKED   1
#define KIND_MODERN   2
#define KIND_MERGE    4
#define KIND_EVENT    8
#define KIND_INDIRECT 16
#define KIND_LOG      32
#define KIND_SEND     64

#define MEMORY_MAX 8192
#define TURNS	   3
#define BURST	   8

static struct rte_mempool *pool;

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
	pool = packets_open(1023);
	return 0;
}

static uint64_t features_of(uint8_t kind)
{
	uint64_t features = 0;

	features |= kind & KIND_PACKED ? UINT64_C(1) << VIRTIO_F_RING_PACKED : 0;
	features |= kind & KIND_MODERN ? UINT64_C(1) << VIRTIO_F_VERSION_1 : 0;
	features |= kind & KIND_MERGE ? UINT64_C(1) << VIRTIO_NET_F_MRG_RXBUF : 0;
	features |= kind & KIND_EVENT ? UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX : 0;
	features |= kind & KIND_INDIRECT ? UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC : 0;
	return features;
}

static void receive(struct vhost_ring *ring)
{
	struct vhost_ring_errors errors = {0};
	struct rte_mbuf *packets[BURST];
	uint16_t taken = vhost_ring_receive(ring, pool, packets, BURST, &errors);

	require(taken + errors.receive + errors.offload <= BURST);
	for (uint16_t i = 0; i < taken; i++) {
		require(rte_mbuf_check(packets[i], 1, &(const char *){NULL}) == 0);
		require(packets[i]->pkt_len > 0 &&
			(packets[i]->nb_segs == 1 || packets[i]->data_len >= 256));
		// What was believed can be said again.
		if (packets[i]->ol_flags & PACKET_UNFINISHED)
			require(offload_to_virtio(packets[i], &(struct virtio_net_hdr){0}));
		rte_pktmbuf_free(packets[i]);
	}
}

static void transmit(struct vhost_ring *ring)
{
	static const uint16_t sizes[] = {60, 1514, 64, 33, 2000, 14, 300, 60};
	struct vhost_ring_errors errors = {0};
	struct rte_mbuf *packets[BURST];
	uint16_t taken;

	for (int i = 0; i < BURST; i++) {
		struct rte_mbuf *packet = rte_pktmbuf_alloc(pool);

		require(packet && rte_pktmbuf_append(packet, sizes[i]));
		memset(rte_pktmbuf_mtod(packet, void *), i, sizes[i]);
		packets[i] = packet;
	}
	// One in two buffers, and one whose flags contradict it.
	rte_pktmbuf_chain(packets[4], packets[5]);
	packets[5] = packets[6];
	packets[6] = packets[7];
	packets[6]->ol_flags = RTE_MBUF_F_TX_UDP_CKSUM | RTE_MBUF_F_TX_IPV4;
	taken = vhost_ring_send(ring, packets, BURST - 1, &errors);
	require(taken < BURST && errors.send <= taken);
	rte_pktmbuf_free_bulk(packets, BURST - 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vhost_memory memory = {.count = 2};
	uint8_t kind, bits[16], *block, *other;
	struct vhost_log log = {bits, sizeof(bits)};
	struct vhost_ring_setup setup;
	struct vhost_ring ring;
	struct error err;
	size_t at, first;

	if (size < 4 + 64 || size > MEMORY_MAX)
		return 0;
	kind = data[0];
	setup = (struct vhost_ring_setup){
		.memory = &memory,
		.features = features_of(kind),
		.size = kind & KIND_PACKED ? data[1] % 20 : 1 << data[1] % 6,
		.base = data[2] | (uint32_t)(data[3] & 1) << 15,
		.call_fd = -1,
		.log = kind & KIND_LOG ? &log : NULL,
	};
	memset(bits, 0, sizeof(bits));
	// Two regions that are neighbours in the guest's addresses only, the ring in the first.
	data += 4;
	size -= 4;
	first = size * 3 / 4 & ~(size_t)15;
	require(posix_memalign((void **)&block, 16, first) == 0);
	other = malloc(size - first);
	require(other);
	memcpy(block, data, first);
	memcpy(other, data + first, size - first);
	memory.regions[0] = (struct vhost_region){.guest = 0x1000, .size = first, .start = block};
	memory.regions[1] = (struct vhost_region){
		.guest = 0x1000 + first, .size = size - first, .start = other};
	setup.descriptors = block;
	at = setup.size * 16u;
	setup.driver = block + at;
	at += (6 + 2u * setup.size + 3) & ~3u;
	setup.device = block + at;
	if (vhost_ring_open(&ring, &setup, &err) == 0) {
		// A guest that has just begun.
		if (!(kind & KIND_PACKED) && data[3] & 2)
			ring.next = ring.avail_seen = (uint16_t)(ring.avail->idx - 4);
		for (int turn = 0; turn < TURNS; turn++) {
			if (kind & KIND_SEND)
				transmit(&ring);
			else
				receive(&ring);
			vhost_ring_arm(&ring);
			vhost_ring_disarm(&ring);
			if (vhost_ring_broken(&ring))
				break;
			// It goes on: all is available again.
			for (uint16_t i = 0; i < setup.size && kind & KIND_PACKED; i++)
				ring.packed[i].flags ^= 1 << 7 | 1 << 15;
			if (!(kind & KIND_PACKED))
				ring.avail->idx = (uint16_t)(ring.avail->idx + setup.size / 2);
		}
		require(rte_mempool_in_use_count(pool) == 0);
	}
	free(block);
	free(other);
	return 0;
}
