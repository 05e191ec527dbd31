// A guest with DPDK's virtio driver whose every packet a test makes, and sees, with what it leaves
// to the device:
//   guest VDEV [tx] [rx]
// `tx`: it negotiates checksums and segmentation for what it sends, `rx`: for what it receives.
// Standard input: lines `FLAGS L2 L3 L4 SIZE HEX`; FLAGS are of t (TCP checksum), u (UDP checksum),
// s (TCP segmentation), 4 and 6 (the IP version), or - for none. Standard output: `ready`, and
// lines `FLAGS SIZE SEGMENTS HEX` with FLAGS of c (checksum missing) and l (large), or -.

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#define LINE_MAX_SIZE (2 * 400000)

static struct rte_mempool *pool;
static char line[LINE_MAX_SIZE];

static uint64_t flags_read(const char *text)
{
	uint64_t flags = 0;

	for (; *text; text++) {
		flags |= *text == 't' ? RTE_MBUF_F_TX_TCP_CKSUM : 0;
		flags |= *text == 'u' ? RTE_MBUF_F_TX_UDP_CKSUM : 0;
		flags |= *text == 's' ? RTE_MBUF_F_TX_TCP_SEG : 0;
		flags |= *text == '4' ? RTE_MBUF_F_TX_IPV4 : 0;
		flags |= *text == '6' ? RTE_MBUF_F_TX_IPV6 : 0;
	}
	return flags;
}

static int digit(char c)
{
	return c >= 'a' ? c - 'a' + 10 : c - '0';
}

// A chain of the bytes.
static struct rte_mbuf *packet_read(const char *hex)
{
	struct rte_mbuf *first = rte_pktmbuf_alloc(pool), *last = first;

	for (; first && hex[0] && hex[1]; hex += 2) {
		if (rte_pktmbuf_tailroom(last) == 0) {
			last->next = rte_pktmbuf_alloc(pool);
			if (!last->next)
				exit(1);
			last = last->next;
			first->nb_segs++;
		}
		rte_pktmbuf_mtod(last, uint8_t *)[last->data_len++] =
			(uint8_t)(digit(hex[0]) << 4 | digit(hex[1]));
		first->pkt_len++;
	}
	return first;
}

static void send_line(uint16_t port)
{
	unsigned int l2, l3, l4, size;
	struct rte_mbuf *packet;
	char flags[16];
	int at = 0;

	if (sscanf(line, "%15s %u %u %u %u %n", flags, &l2, &l3, &l4, &size, &at) < 5)
		exit(1);
	packet = packet_read(line + at);
	if (!packet)
		exit(1);
	packet->ol_flags = flags_read(flags);
	packet->l2_len = l2 & 127;
	packet->l3_len = l3 & 511;
	packet->l4_len = l4 & 255;
	packet->tso_segsz = (uint16_t)size;
	while (rte_eth_tx_burst(port, 0, &packet, 1) == 0)
		usleep(100);
}

static void print_packet(struct rte_mbuf *packet)
{
	const struct rte_mbuf *segment;
	uint32_t i;

	printf("%s%s%s %u %u ", packet->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_NONE ? "c" : "",
	       packet->ol_flags & RTE_MBUF_F_RX_LRO ? "l" : "",
	       packet->ol_flags & (RTE_MBUF_F_RX_L4_CKSUM_NONE | RTE_MBUF_F_RX_LRO) ? "" : "-",
	       packet->tso_segsz, packet->nb_segs);
	for (segment = packet; segment; segment = segment->next)
		for (i = 0; i < segment->data_len; i++)
			printf("%02x", rte_pktmbuf_mtod(segment, uint8_t *)[i]);
	printf("\n");
	rte_pktmbuf_free(packet);
}

// Returns at the end of the input.
static void run(uint16_t port)
{
	struct rte_mbuf *packets[32];
	size_t used = 0;
	ssize_t got;
	uint16_t count, i;
	char *end;

	for (;;) {
		got = read(STDIN_FILENO, line + used, sizeof(line) - 1 - used);
		if (got == 0)
			return;
		if (got > 0) {
			used += (size_t)got;
			line[used] = 0;
			while ((end = memchr(line, '\n', used))) {
				*end = 0;
				send_line(port);
				used -= (size_t)(end + 1 - line);
				memmove(line, end + 1, used + 1);
			}
		}
		count = rte_eth_rx_burst(port, 0, packets, 32);
		for (i = 0; i < count; i++)
			print_packet(packets[i]);
		if (count)
			fflush(stdout);
		else if (got < 0)
			usleep(200);
	}
}

int main(int argc, char **argv)
{
	struct rte_eth_conf configuration = {0};
	char device[512];
	char *eal[] = {argv[0],
		       (char[]){"--no-pci"},
		       (char[]){"--no-huge"},
		       (char[]){"--no-shconf"},
		       (char[]){"-m"},
		       (char[]){"64"},
		       (char[]){"--no-telemetry"},
		       (char[]){"--log-level=4"},
		       device};
	uint16_t port = 0;
	int i;

	if (argc < 2)
		return 2;
	snprintf(device, sizeof(device), "--vdev=%s", argv[1]);
	for (i = 2; i < argc; i++) {
		if (strcmp(argv[i], "tx") == 0)
			configuration.txmode.offloads =
				RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM |
				RTE_ETH_TX_OFFLOAD_TCP_TSO | RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
		else
			configuration.rxmode.offloads = RTE_ETH_RX_OFFLOAD_TCP_CKSUM |
							RTE_ETH_RX_OFFLOAD_UDP_CKSUM |
							RTE_ETH_RX_OFFLOAD_TCP_LRO;
	}
	if (rte_eal_init(9, eal) < 0)
		return 1;
	pool = rte_pktmbuf_pool_create("packets", 2047, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
				       SOCKET_ID_ANY);
	if (!pool || rte_eth_dev_count_avail() != 1 ||
	    rte_eth_dev_configure(port, 1, 1, &configuration) < 0 ||
	    rte_eth_rx_queue_setup(port, 0, 256, SOCKET_ID_ANY, NULL, pool) < 0 ||
	    rte_eth_tx_queue_setup(port, 0, 256, SOCKET_ID_ANY, NULL) < 0 ||
	    rte_eth_dev_start(port) < 0)
		return 1;
	fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
	printf("ready\n");
	fflush(stdout);
	run(port);
	rte_eth_dev_stop(port);
	rte_eth_dev_close(port);
	rte_eal_cleanup();
	return 0;
}
