// What the data path of vhost-user costs in one process, without anybody at the other end of a bus:
// cycles a packet to take frames from a guest's ring, to put them into another's, and for both with
// the packet buffers given back. The least of many short rounds, which other programs disturb
// little.
//
//   ring [BURST]      packets at a time, 32 if not given

#include <stdio.h>
#include <stdlib.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_mbuf.h>

#include "port/vhost_user/ring.h"
#include "vhost_driver.h"

#define RING   256
#define ROUNDS 4000
#define STRIDE 2304 // of buffers, as packet buffers of DPDK lie in guests
#define OFFSET 116  // where the header is in them: the frame then begins with a cache line

static struct rte_mempool *pool;
static uint16_t burst = 32;

struct side {
	struct vhost_driver driver;
	struct vhost_ring ring;
	bool write;
	uint32_t next, size;
};

static void die(const char *what)
{
	fprintf(stderr, "ring: %s\n", what);
	exit(1);
}

static void side_open(struct side *side, uint64_t features, bool write, uint32_t size)
{
	struct error err;

	driver_open(&side->driver, features, RING);
	driver_want_call(&side->driver, false);
	side->write = write;
	side->next = 0;
	side->size = size;
	if (vhost_ring_open(&side->ring, &side->driver.setup, &err) < 0)
		die(err.text);
}

// The driver takes back what was used and offers the next burst.
static void side_offer(struct side *side)
{
	struct part part = {.size = side->size};
	uint32_t size;
	uint16_t id;

	while (driver_take(&side->driver, &id, &size))
		;
	for (uint16_t i = 0; i < burst; i++) {
		part.guest = BUFFERS + side->next * STRIDE + OFFSET;
		if (!side->write)
			memset(driver_at(&side->driver, part.guest), 0, 12);
		driver_add(&side->driver, &part, 1, side->write);
		side->next = (side->next + 1) % RING;
	}
	driver_show(&side->driver);
}

static void measure(uint64_t features, const char *kind, uint32_t frame)
{
	uint64_t best[3] = {UINT64_MAX, UINT64_MAX, UINT64_MAX}, sum[3], start, between, end;
	struct vhost_ring_errors errors = {0};
	static struct side from, to;
	struct rte_mbuf *packets[512];

	side_open(&from, features, false, 12 + frame);
	side_open(&to, features, true, 2048);
	for (int round = 0; round < ROUNDS; round++) {
		memset(sum, 0, sizeof(sum));
		for (int turn = 0; turn < RING / burst; turn++) {
			side_offer(&from);
			side_offer(&to);
			start = rte_rdtsc_precise();
			if (vhost_ring_receive(&from.ring, pool, packets, burst, &errors) != burst)
				die("received too few");
			between = rte_rdtsc_precise();
			if (vhost_ring_send(&to.ring, packets, burst, &errors) != burst)
				die("sent too few");
			end = rte_rdtsc_precise();
			sum[0] += between - start;
			sum[1] += end - between;
			rte_pktmbuf_free_bulk(packets, burst);
			sum[2] += rte_rdtsc_precise() - start;
		}
		for (int i = 0; i < 3; i++)
			best[i] = RTE_MIN(best[i], sum[i]);
	}
	printf("%-24s %5u B %8.1f %8.1f %8.1f\n", kind, frame + 4,
	       (double)best[0] / (RING / burst * burst), (double)best[1] / (RING / burst * burst),
	       (double)best[2] / (RING / burst * burst));
	driver_close(&from.driver);
	driver_close(&to.driver);
}

int main(int argc, char **argv)
{
	char *eal[] = {argv[0],
		       (char[]){"--no-pci"},
		       (char[]){"--no-huge"},
		       (char[]){"--no-shconf"},
		       (char[]){"--no-telemetry"},
		       (char[]){"-m"},
		       (char[]){"64"},
		       (char[]){"--log-level=4"}};
	static const uint32_t sizes[] = {60, 252, 1496};
	uint64_t modern = FEATURE_BIT(VIRTIO_F_VERSION_1);
	uint64_t merge = FEATURE_BIT(VIRTIO_NET_F_MRG_RXBUF);
	uint64_t packed = FEATURE_BIT(VIRTIO_F_RING_PACKED);

	if (argc > 1)
		burst = (uint16_t)atoi(argv[1]);
	if (burst < 1 || burst > RING)
		die("usage: ring [BURST]");
	if (rte_eal_init(8, eal) < 0)
		die("DPDK does not start");
	pool = rte_pktmbuf_pool_create("packets", 4095, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
				       SOCKET_ID_ANY);
	if (!pool)
		die("no memory");
	printf("%-24s %7s %8s %8s %8s   cycles a packet, bursts of %u\n", "ring", "frame",
	       "receive", "send", "all", burst);
	for (uint32_t i = 0; i < RTE_DIM(sizes); i++) {
		measure(modern, "split", sizes[i]);
		measure(modern | merge, "split, mergeable", sizes[i]);
		measure(modern | packed, "packed", sizes[i]);
		measure(modern | merge | packed, "packed, mergeable", sizes[i]);
	}
	return 0;
}
