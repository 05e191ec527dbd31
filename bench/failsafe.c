// Forwards between two ports as testpmd does, which would close a device that is removed before
// DPDK's failsafe driver, whose it is, has done without it.
//
//   failsafe EAL-OPTION... -- INTERFACE=DEVICE
//
// An interface that is deleted is said to be removed, as by the driver of a card that is pulled:
// DPDK's drivers for interfaces of a kernel do not say so. DEVICE, of the failsafe's, is on it.

#include <linux/rtnetlink.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#define BURST	   32
#define QUEUE_SIZE 512

struct rte_eth_dev;

// Of those that are for drivers; their header is not installed.
struct rte_eth_dev *rte_eth_dev_get_by_name(const char *name);
int rte_eth_dev_callback_process(struct rte_eth_dev *device, enum rte_eth_event_type event,
				 void *result);

static bool is_named(const struct nlmsghdr *message, const char *name)
{
	const struct ifinfomsg *info = NLMSG_DATA(message);
	int left = (int)IFLA_PAYLOAD(message);

	for (const struct rtattr *at = IFLA_RTA(info); RTA_OK(at, left); at = RTA_NEXT(at, left)) {
		if (at->rta_type == IFLA_IFNAME)
			return strcmp(RTA_DATA(at), name) == 0;
	}
	return false;
}

// Whoever uses a device listens to its removal only if it may be removed.
static void allow(const char *name)
{
	struct rte_eth_dev_info info;
	uint16_t port;

	if (rte_eth_dev_get_port_by_name(name, &port) == 0 &&
	    rte_eth_dev_info_get(port, &info) == 0)
		*(uint32_t *)(uintptr_t)info.dev_flags |= RTE_ETH_DEV_INTR_RMV;
}

static void *watch(void *argument)
{
	char *interface = argument, *name = strchr(interface, '='), buffer[8192];
	struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	ssize_t got;

	*name++ = 0;
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
		return NULL;
	for (;;) {
		struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
		int left;

		if (poll(&poll_fd, 1, 1) == 0) {
			allow(name);
			continue;
		}
		got = recv(fd, buffer, sizeof(buffer), 0);
		if (got <= 0)
			return NULL;
		left = (int)got;

		for (struct nlmsghdr *at = (void *)buffer; NLMSG_OK(at, left);
		     at = NLMSG_NEXT(at, left)) {
			struct rte_eth_dev *device = rte_eth_dev_get_by_name(name);

			if (device && at->nlmsg_type == RTM_DELLINK && is_named(at, interface))
				rte_eth_dev_callback_process(device, RTE_ETH_EVENT_INTR_RMV, NULL);
		}
	}
}

static void port_start(uint16_t port, struct rte_mempool *pool)
{
	struct rte_eth_conf conf = {0};

	if (rte_eth_dev_configure(port, 1, 1, &conf) != 0 ||
	    rte_eth_rx_queue_setup(port, 0, QUEUE_SIZE, SOCKET_ID_ANY, NULL, pool) != 0 ||
	    rte_eth_tx_queue_setup(port, 0, QUEUE_SIZE, SOCKET_ID_ANY, NULL) != 0 ||
	    rte_eth_dev_start(port) != 0)
		rte_exit(1, "failsafe: port %u does not start\n", port);
	rte_eth_promiscuous_enable(port);
}

static void forward(uint16_t from, uint16_t to)
{
	struct rte_mbuf *packets[BURST];
	uint16_t count = rte_eth_rx_burst(from, 0, packets, BURST), sent;

	if (count == 0)
		return;
	sent = rte_eth_tx_burst(to, 0, packets, count);
	rte_pktmbuf_free_bulk(packets + sent, count - sent);
}

int main(int argc, char **argv)
{
	int used = rte_eal_init(argc, argv);
	struct rte_mempool *pool;
	pthread_t thread;
	uint16_t ports[2], port, count = 0;

	if (used < 0 || argc - used != 2 || !strchr(argv[used + 1], '='))
		rte_exit(2, "usage: failsafe EAL-OPTION... -- INTERFACE=DEVICE\n");
	pool = rte_pktmbuf_pool_create("packets", 16384, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
				       SOCKET_ID_ANY);
	// Not those that another one has.
	RTE_ETH_FOREACH_DEV(port)
	{
		if (count < 2)
			ports[count++] = port;
	}
	if (!pool || count < 2 || pthread_create(&thread, NULL, watch, argv[used + 1]) != 0)
		rte_exit(1, "failsafe: two ports, and memory for them, are needed\n");
	// The removal of devices is heard of before they are configured.
	rte_delay_ms(10);
	for (unsigned int i = 0; i < 2; i++)
		port_start(ports[i], pool);
	printf("ready\n");
	fflush(stdout);
	for (;;) {
		forward(ports[0], ports[1]);
		forward(ports[1], ports[0]);
	}
}
