// The load of the benchmarks: two virtio-user ports, both driven by one core, that play the two
// ends of N UDP connections. Port 0 sends A to B, port 1 sends B to A, each as fast as the ring
// takes packets; both count what arrives. dpdk-testpmd can't do this: its flowgen sends the same
// direction of the same connections from both ports, and with a capture file played back in a loop
// the load is slower than what it measures.
//
//	load EAL-OPTIONS --vdev net_virtio_user0,... --vdev net_virtio_user1,... -- CONNECTIONS
//
// Port 0 opens the connections: port 1 begins once it has received as many packets as there are
// connections. Connection i is 10.1.0.11:(1024 + i % 64000) to 10.1.0.12:(5000 + i / 64000). Every
// 250 ms a line goes to standard output, all counters since the start: seconds, then for each port
// sent, received, and unexpected: how many of the received ones were looked at (one a burst) and
// are neither of the other port nor for everybody. Ends on SIGINT or SIGTERM.

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_udp.h>

#define PORTS 2
#define BURST 32
#define RING  1024
// Without the checksum that a wire would add: a frame of 64 bytes.
#define FRAME_LENGTH	60
#define CLIENT_PORT	1024
#define CLIENT_PORTS	64000
#define SERVER_PORT	5000
#define SERVER_PORTS	16
#define CONNECTIONS_MAX (CLIENT_PORTS * SERVER_PORTS)

struct frame {
	struct rte_ether_hdr ether;
	struct rte_ipv4_hdr ip;
	struct rte_udp_hdr udp;
	uint8_t payload[FRAME_LENGTH - 42];
} __rte_packed __rte_aligned(2);

struct end {
	uint16_t port;
	struct frame template;
	struct rte_mempool *tx_pool;
	// Made, and not yet taken by the ring.
	struct rte_mbuf *pending[BURST];
	unsigned int pending_count;
	// The connection of the next packet.
	uint32_t client;
	uint32_t server;
	uint32_t index;
	uint64_t sent;
	uint64_t received;
	uint64_t unexpected;
};

static volatile sig_atomic_t stopping;

static void stop(int signal_number)
{
	stopping = 1;
}

static void template_init(struct frame *frame, unsigned int from)
{
	static const struct rte_ether_addr mac[PORTS] = {
		{{0x52, 0x54, 0x00, 0x00, 0x00, 0x01}},
		{{0x52, 0x54, 0x00, 0x00, 0x00, 0x02}},
	};
	static const uint32_t address[PORTS] = {RTE_IPV4(10, 1, 0, 11), RTE_IPV4(10, 1, 0, 12)};

	memset(frame, 0, sizeof(*frame));
	frame->ether.src_addr = mac[from];
	frame->ether.dst_addr = mac[!from];
	frame->ether.ether_type = rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4);
	frame->ip.version_ihl = RTE_IPV4_VHL_DEF;
	frame->ip.total_length = rte_cpu_to_be_16(sizeof(*frame) - sizeof(frame->ether));
	frame->ip.time_to_live = 64;
	frame->ip.next_proto_id = IPPROTO_UDP;
	frame->ip.src_addr = rte_cpu_to_be_32(address[from]);
	frame->ip.dst_addr = rte_cpu_to_be_32(address[!from]);
	frame->ip.hdr_checksum = rte_ipv4_cksum(&frame->ip);
	frame->udp.dgram_len = rte_cpu_to_be_16(sizeof(frame->udp) + sizeof(frame->payload));
}

// The headers are written once: nobody else uses the buffers of this pool, and the ring leaves them
// as they are.
static void buffer_init(struct rte_mempool *pool, void *template, void *object, unsigned int index)
{
	struct rte_mbuf *mbuf = object;

	mbuf->data_len = FRAME_LENGTH;
	mbuf->pkt_len = FRAME_LENGTH;
	mbuf->data_off = RTE_PKTMBUF_HEADROOM;
	memcpy(rte_pktmbuf_mtod(mbuf, void *), template, sizeof(struct frame));
}

static void end_open(struct end *end, uint16_t port, struct rte_mempool *rx_pool)
{
	struct rte_eth_conf configuration = {0};
	char name[RTE_MEMPOOL_NAMESIZE];
	int err;

	end->port = port;
	end->client = CLIENT_PORT;
	end->server = SERVER_PORT;
	template_init(&end->template, port);
	snprintf(name, sizeof(name), "tx%u", port);
	end->tx_pool = rte_pktmbuf_pool_create(name, 4095, 256, 0, RTE_PKTMBUF_HEADROOM + 128,
					       SOCKET_ID_ANY);
	if (end->tx_pool == NULL)
		rte_exit(1, "load: no memory for buffers\n");
	rte_mempool_obj_iter(end->tx_pool, buffer_init, &end->template);

	err = rte_eth_dev_configure(port, 1, 1, &configuration);
	if (err == 0)
		err = rte_eth_rx_queue_setup(port, 0, RING, SOCKET_ID_ANY, NULL, rx_pool);
	if (err == 0)
		err = rte_eth_tx_queue_setup(port, 0, RING, SOCKET_ID_ANY, NULL);
	if (err == 0)
		err = rte_eth_dev_start(port);
	if (err != 0)
		rte_exit(1, "load: port %u: %s\n", port, rte_strerror(-err));
}

static void end_receive(struct end *end)
{
	struct rte_mbuf *burst[BURST];
	const struct frame *frame;
	unsigned int count;

	count = rte_eth_rx_burst(end->port, 0, burst, BURST);
	if (count == 0)
		return;
	frame = rte_pktmbuf_mtod(burst[0], const struct frame *);
	// What is for everybody is the network's own talk: router advertisements and the like.
	if (rte_is_multicast_ether_addr(&frame->ether.dst_addr))
		end->received--;
	else if (burst[0]->pkt_len != FRAME_LENGTH ||
		 !rte_is_same_ether_addr(&frame->ether.dst_addr, &end->template.ether.src_addr) ||
		 frame->ip.src_addr != end->template.ip.dst_addr)
		end->unexpected++;
	end->received += count;
	rte_pktmbuf_free_bulk(burst, count);
}

static void end_fill(struct end *end, uint32_t connections)
{
	unsigned int wanted = BURST - end->pending_count;
	struct rte_mbuf **made = &end->pending[end->pending_count];
	bool opens = end->port == 0;
	struct frame *frame;

	if (wanted == 0 || rte_mempool_get_bulk(end->tx_pool, (void **)made, wanted) != 0)
		return;
	for (unsigned int i = 0; i < wanted; i++) {
		frame = rte_pktmbuf_mtod(made[i], struct frame *);
		frame->udp.src_port = rte_cpu_to_be_16(opens ? end->client : end->server);
		frame->udp.dst_port = rte_cpu_to_be_16(opens ? end->server : end->client);
		if (++end->index == connections) {
			end->index = 0;
			end->client = CLIENT_PORT;
			end->server = SERVER_PORT;
		} else if (++end->client == CLIENT_PORT + CLIENT_PORTS) {
			end->client = CLIENT_PORT;
			end->server++;
		}
	}
	end->pending_count = BURST;
}

static void end_send(struct end *end)
{
	unsigned int count;

	count = rte_eth_tx_burst(end->port, 0, end->pending, end->pending_count);
	end->sent += count;
	end->pending_count -= count;
	memmove(end->pending, &end->pending[count], end->pending_count * sizeof(end->pending[0]));
}

static void report(const struct end ends[PORTS], double seconds)
{
	printf("%.6f", seconds);
	for (unsigned int i = 0; i < PORTS; i++)
		printf(" %" PRIu64 " %" PRIu64 " %" PRIu64, ends[i].sent, ends[i].received,
		       ends[i].unexpected);
	printf("\n");
	fflush(stdout);
}

static void run(struct end ends[PORTS], uint32_t connections)
{
	uint64_t start = rte_rdtsc(), next = start, now;

	for (uint64_t round = 0; !stopping; round++) {
		for (unsigned int i = 0; i < PORTS; i++) {
			end_receive(&ends[i]);
			if (i == 1 && ends[i].received < connections)
				continue;
			end_fill(&ends[i], connections);
			end_send(&ends[i]);
		}
		if (round % 256 != 0)
			continue;
		now = rte_rdtsc();
		if (now < next)
			continue;
		report(ends, (double)(now - start) / rte_get_tsc_hz());
		next = now + rte_get_tsc_hz() / 50;
	}
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = stop};
	struct end ends[PORTS] = {0};
	struct rte_mempool *rx_pool;
	unsigned long connections;
	char *rest;
	int used;

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	used = rte_eal_init(argc, argv);
	if (used < 0)
		rte_exit(1, "load: EAL: %s\n", rte_strerror(rte_errno));
	if (argc - used != 2)
		rte_exit(2, "usage: load EAL-OPTIONS -- CONNECTIONS\n");
	connections = strtoul(argv[used + 1], &rest, 10);
	if (*rest != '\0' || connections < 1 || connections > CONNECTIONS_MAX)
		rte_exit(2, "load: %s: not a number from 1 to %u\n", argv[used + 1],
			 CONNECTIONS_MAX);
	if (rte_eth_dev_count_avail() != PORTS)
		rte_exit(2, "load: needs two --vdev net_virtio_user\n");

	rx_pool = rte_pktmbuf_pool_create("rx", 8191, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
					  SOCKET_ID_ANY);
	if (rx_pool == NULL)
		rte_exit(1, "load: no memory for buffers\n");
	for (unsigned int i = 0; i < PORTS; i++)
		end_open(&ends[i], i, rx_pool);
	run(ends, connections);
	for (unsigned int i = 0; i < PORTS; i++)
		rte_eth_dev_stop(i);
	rte_eal_cleanup();
	return 0;
}
