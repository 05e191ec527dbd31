// Any DPDK poll mode driver: a PCI device by its address, or a virtual device by devargs. There is
// no kernel network stack beside it.

// rte_dev_event_callback_register, unchanged since DPDK 18.05.
#define ALLOW_EXPERIMENTAL_API

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_interrupts.h>
#include <rte_net.h>

#include "port/dpdk_device.h"
#include "port/driver.h"
#include "port/offload.h"
#include "port/pci.h"

#define DESCRIPTORS 1024

struct ethdev_queue {
	// Collects the queue's interrupts; -1 where the driver has none.
	int epoll_fd;
	bool armed;
	// A packet that arm found.
	uint16_t stashed;
	struct rte_mbuf *stash;
};

struct ethdev_port {
	struct port port;
	struct dpdk_device device;
	bool chains;   // sends mbuf chains as they are
	bool prepares; // finishes something by itself, and wants to see packets before
	const struct port_environment *environment;
	bool watched; // the following are registered: link, removal; removal seen by its bus
	struct ethdev_queue queues[PORT_QUEUES_MAX];
};

static uint16_t ethdev_receive(struct port *base, uint16_t index, struct rte_mbuf **packets,
			       uint16_t count)
{
	struct ethdev_port *port = (struct ethdev_port *)base;
	struct ethdev_queue *queue = &port->queues[index];

	if (unlikely(queue->stashed && count)) {
		packets[0] = queue->stash;
		queue->stashed = 0;
		return 1 + rte_eth_rx_burst(port->device.id, index, packets + 1, count - 1);
	}
	return rte_eth_rx_burst(port->device.id, index, packets, count);
}

// For drivers that take no chains: sends one by one what must be made linear first.
static uint16_t linear_send(struct ethdev_port *port, uint16_t index, struct rte_mbuf **packets,
			    uint16_t count)
{
	uint16_t taken;

	for (taken = 0; taken < count; taken++) {
		if (packets[taken]->nb_segs > 1 && rte_pktmbuf_linearize(packets[taken]) < 0) {
			rte_pktmbuf_free(packets[taken]);
			port_count_send_error(&port->port, 1);
			continue;
		}
		if (rte_eth_tx_burst(port->device.id, index, packets + taken, 1) == 0)
			break;
	}
	return taken;
}

// Says and writes what a device wants to find in a packet that it is to finish. Returns how many of
// the first packets it can take.
static uint16_t unfinished_prepare(struct ethdev_port *port, uint16_t index,
				   struct rte_mbuf **packets, uint16_t count)
{
	uint64_t flags = 0;
	uint16_t i;

	for (i = 0; i < count; i++)
		flags |= packets[i]->ol_flags;
	if (likely(!(flags & PACKET_UNFINISHED)))
		return count;
	for (i = 0; i < count; i++) {
		flags = packets[i]->ol_flags;
		if (flags & RTE_MBUF_F_TX_TCP_SEG && flags & RTE_MBUF_F_TX_IPV4)
			packets[i]->ol_flags |= RTE_MBUF_F_TX_IP_CKSUM;
		if (flags & RTE_MBUF_F_TX_TCP_SEG && flags & RTE_MBUF_F_TX_OUTER_IPV4)
			packets[i]->ol_flags |= RTE_MBUF_F_TX_OUTER_IP_CKSUM;
		// Not every driver does it when asked to prepare.
		if (flags & PACKET_UNFINISHED)
			rte_net_intel_cksum_prepare(packets[i]);
	}
	return rte_eth_tx_prepare(port->device.id, index, packets, count);
}

static uint16_t ethdev_send(struct port *base, uint16_t index, struct rte_mbuf **packets,
			    uint16_t count)
{
	struct ethdev_port *port = (struct ethdev_port *)base;
	uint16_t i;

	// Writes what the device wants to find in a checksum field.
	if (port->prepares && count) {
		count = unfinished_prepare(port, index, packets, count);
		// One that can never be sent must not hold up the others.
		if (unlikely(count == 0)) {
			rte_pktmbuf_free(packets[0]);
			port_count_send_error(base, 1);
			return 1;
		}
	}
	if (!port->chains)
		for (i = 0; i < count; i++)
			if (unlikely(packets[i]->nb_segs > 1))
				return linear_send(port, index, packets, count);
	return rte_eth_tx_burst(port->device.id, index, packets, count);
}

static void ethdev_disarm(struct port *base, uint16_t index)
{
	struct ethdev_port *port = (struct ethdev_port *)base;
	struct ethdev_queue *queue = &port->queues[index];
	struct rte_epoll_event event;

	if (!queue->armed)
		return;
	queue->armed = false;
	rte_eth_dev_rx_intr_disable(port->device.id, index);
	// Reads the descriptor in it as its kind needs: some are eventfds, some are the device
	// itself.
	rte_epoll_wait(queue->epoll_fd, &event, 1, 0);
}

static bool ethdev_arm(struct port *base, uint16_t index, int *fd)
{
	struct ethdev_port *port = (struct ethdev_port *)base;
	struct ethdev_queue *queue = &port->queues[index];

	*fd = -1;
	if (queue->stashed || queue->epoll_fd < 0 ||
	    rte_eth_dev_rx_intr_enable(port->device.id, index) < 0)
		return false;
	queue->armed = true;
	// What came before the interrupt was on. Not every driver can count, but each can receive.
	queue->stashed = rte_eth_rx_burst(port->device.id, index, &queue->stash, 1);
	if (queue->stashed) {
		ethdev_disarm(base, index);
		return false;
	}
	*fd = queue->epoll_fd;
	return true;
}

static bool ethdev_up(const struct port *base)
{
	struct rte_eth_link link = {0};

	return rte_eth_link_get_nowait(((const struct ethdev_port *)base)->device.id, &link) == 0 &&
	       link.link_status == RTE_ETH_LINK_UP;
}

// From DPDK's thread of interrupts.
static int on_event(uint16_t id, enum rte_eth_event_type event, void *context, void *result)
{
	struct ethdev_port *port = context;

	if (event == RTE_ETH_EVENT_INTR_RMV)
		port_set_gone(&port->port);
	port_changed(port->environment);
	return 0;
}

static void on_removal(const char *name, enum rte_dev_event_type event, void *context)
{
	struct ethdev_port *port = context;

	if (event != RTE_DEV_EVENT_REMOVE)
		return;
	port_set_gone(&port->port);
	port_changed(port->environment);
}

static void ethdev_watch(struct ethdev_port *port)
{
	port->watched = true;
	rte_eth_dev_callback_register(port->device.id, RTE_ETH_EVENT_INTR_LSC, on_event, port);
	rte_eth_dev_callback_register(port->device.id, RTE_ETH_EVENT_INTR_RMV, on_event, port);
	rte_dev_event_callback_register(port->device.name, on_removal, port);
}

static void ethdev_unwatch(struct ethdev_port *port)
{
	if (!port->watched)
		return;
	rte_eth_dev_callback_unregister(port->device.id, RTE_ETH_EVENT_INTR_LSC, on_event, port);
	rte_eth_dev_callback_unregister(port->device.id, RTE_ETH_EVENT_INTR_RMV, on_event, port);
	rte_dev_event_callback_unregister(port->device.name, on_removal, port);
}

// Where a kernel's interface is behind it, it goes with that. A PCI device that is torn out may not
// be said to be: only VFIO asks for it.
static void ethdev_check(struct port *base)
{
	const struct ethdev_port *port = (const struct ethdev_port *)base;
	char name[IF_NAMESIZE];

	if (base->interface_index && !if_indextoname(base->interface_index, name))
		port_set_gone(base);
	if (dpdk_device_is_torn_out(&port->device))
		port_set_gone(base);
}

static void ethdev_close(struct port *base)
{
	struct ethdev_port *port = (struct ethdev_port *)base;
	int i;

	ethdev_unwatch(port);

	for (i = 0; i < PORT_QUEUES_MAX; i++) {
		if (port->queues[i].stashed)
			rte_pktmbuf_free(port->queues[i].stash);
		if (port->queues[i].epoll_fd >= 0) {
			rte_eth_dev_rx_intr_ctl_q(port->device.id, (uint16_t)i,
						  port->queues[i].epoll_fd, RTE_INTR_EVENT_DEL,
						  NULL);
			close(port->queues[i].epoll_fd);
		}
	}
	dpdk_device_close(&port->device);
	free(port);
}

static const struct port_driver ethdev_driver = {
	.name = "DPDK",
	.receive = ethdev_receive,
	.send = ethdev_send,
	.arm = ethdev_arm,
	.disarm = ethdev_disarm,
	.up = ethdev_up,
	.check = ethdev_check,
	.close = ethdev_close,
};

// A DPDK function's return value as an error.
static int failed(struct error *err, const struct port_device *device, const char *what, int result)
{
	errno = result == -1 ? rte_errno : -result;
	return error_errno(err, "%s: %s", device->name, what);
}

static int queues_setup(struct ethdev_port *port, const struct port_device *device,
			const struct rte_eth_dev_info *information,
			const struct rte_eth_conf *configuration,
			const struct port_environment *environment, struct error *err)
{
	struct rte_eth_rxconf receive = information->default_rxconf;
	struct rte_eth_txconf transmit = information->default_txconf;
	uint16_t receive_size = DESCRIPTORS, transmit_size = DESCRIPTORS, i;
	int result;

	result = rte_eth_dev_adjust_nb_rx_tx_desc(port->device.id, &receive_size, &transmit_size);
	if (result < 0 && result != -ENOTSUP)
		return failed(err, device, "descriptors", result);
	receive.offloads = configuration->rxmode.offloads;
	transmit.offloads = configuration->txmode.offloads;
	for (i = 0; i < port->port.queues; i++) {
		result =
			rte_eth_rx_queue_setup(port->device.id, i, receive_size,
					       (unsigned int)rte_eth_dev_socket_id(port->device.id),
					       &receive, environment->pool);
		if (result < 0)
			return failed(err, device, "receive queue", result);
		result = rte_eth_tx_queue_setup(
			port->device.id, i, transmit_size,
			(unsigned int)rte_eth_dev_socket_id(port->device.id), &transmit);
		if (result < 0)
			return failed(err, device, "transmit queue", result);
	}
	return 0;
}

// What of its offloads is used. Both TCP and UDP checksums or none, to be told apart by nobody.
static uint64_t offloads_choose(struct ethdev_port *port, uint64_t capabilities)
{
	const uint64_t checksums = RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
	// Of the IP headers of segments.
	const uint64_t tso = RTE_ETH_TX_OFFLOAD_TCP_TSO | RTE_ETH_TX_OFFLOAD_IPV4_CKSUM;
	const uint64_t tunnel =
		RTE_ETH_TX_OFFLOAD_VXLAN_TNL_TSO | RTE_ETH_TX_OFFLOAD_OUTER_IPV4_CKSUM;
	uint64_t used = capabilities & RTE_ETH_TX_OFFLOAD_MULTI_SEGS;

	port->port.offloads = 0;
	if (!used || (capabilities & checksums) != checksums)
		return used;
	used |= checksums;
	port->port.offloads = PORT_OFFLOAD_CHECKSUM;
	if ((capabilities & tso) == tso) {
		used |= tso;
		port->port.offloads |= PORT_OFFLOAD_TSO4 | PORT_OFFLOAD_TSO6 | PORT_OFFLOAD_TSO_CWR;
		if ((capabilities & tunnel) == tunnel) {
			used |= tunnel;
			port->port.offloads |=
				PORT_OFFLOAD_TUNNEL_CHECKSUM | PORT_OFFLOAD_TUNNEL_TSO;
		}
	}
	port->prepares = true;
	return used;
}

// By UIO there is one for all; and this driver, for cards with MSI-X, sets up none for packets,
// though it says so, and has that of the link once.
static bool interrupts_come(const struct ethdev_port *port)
{
	struct rte_eth_dev_info information;

	return !pci_has_one_interrupt(port->device.name) &&
	       rte_eth_dev_info_get(port->device.id, &information) == 0 &&
	       strcmp(information.driver_name, "net_e1000_em") != 0;
}

// While packets interrupt this driver hears of no change, and would give what it heard last for an
// answer. The link is looked at then.
static bool link_is_told(const char *driver)
{
	return strcmp(driver, "net_vmxnet3") != 0;
}

static int device_start(struct ethdev_port *port, const struct port_device *device,
			const struct port_environment *environment, bool interrupts,
			struct error *err)
{
	struct rte_eth_conf configuration = {.intr_conf.rxq = interrupts};
	struct rte_eth_dev_info information;
	uint32_t room;
	int result;

	result = rte_eth_dev_info_get(port->device.id, &information);
	if (result < 0)
		return failed(err, device, "information", result);
	port->port.interface_index = information.if_index;
	if (interrupts && information.dev_flags) {
		configuration.intr_conf.lsc = *information.dev_flags & RTE_ETH_DEV_INTR_LSC &&
					      link_is_told(information.driver_name);
		configuration.intr_conf.rmv = !!(*information.dev_flags & RTE_ETH_DEV_INTR_RMV);
	}
	port->port.queues = RTE_MIN(device->queues, information.max_rx_queues);
	port->port.queues = RTE_MIN(port->port.queues, information.max_tx_queues);
	if (port->port.queues == 0)
		return error_set(err, "%s: the device has no queues", device->name);
	configuration.rxmode.mtu = RTE_MAX(device->mtu, information.min_mtu);
	if (device->mtu > information.max_mtu)
		return error_set(err, "%s: MTU %u: the device has %u at most", device->name,
				 device->mtu, information.max_mtu);
	room = rte_pktmbuf_data_room_size(environment->pool) - RTE_PKTMBUF_HEADROOM;
	if (device->mtu + (uint32_t)PORT_FRAME_OVERHEAD > room)
		configuration.rxmode.offloads =
			information.rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER;
	configuration.txmode.offloads = offloads_choose(port, information.tx_offload_capa);
	port->chains = configuration.txmode.offloads & RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
	if (port->port.queues > 1) {
		configuration.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
		configuration.rx_adv_conf.rss_conf.rss_hf =
			(RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP) &
			information.flow_type_rss_offloads;
		if (configuration.rx_adv_conf.rss_conf.rss_hf == 0)
			configuration.rxmode.mq_mode = RTE_ETH_MQ_RX_NONE;
	}
	result = rte_eth_dev_configure(port->device.id, port->port.queues, port->port.queues,
				       &configuration);
	if (result < 0)
		return failed(err, device, "configuration", result);
	if (queues_setup(port, device, &information, &configuration, environment, err) < 0)
		return -1;
	result = rte_eth_dev_start(port->device.id);
	if (result < 0)
		return failed(err, device, "start", result);
	port->device.started = true;
	return 0;
}

// One epoll descriptor a queue, or none at all: the port is polled then.
static void interrupts_setup(struct ethdev_port *port)
{
	struct ethdev_queue *queue;
	uint16_t i;

	for (i = 0; i < port->port.queues; i++) {
		queue = &port->queues[i];
		queue->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
		if (queue->epoll_fd >= 0 &&
		    rte_eth_dev_rx_intr_ctl_q(port->device.id, i, queue->epoll_fd,
					      RTE_INTR_EVENT_ADD, NULL) == 0 &&
		    rte_eth_dev_rx_intr_enable(port->device.id, i) == 0) {
			rte_eth_dev_rx_intr_disable(port->device.id, i);
			continue;
		}
		if (queue->epoll_fd >= 0)
			close(queue->epoll_fd);
		queue->epoll_fd = -1;
		port->port.needs_polling = true;
	}
}

int ethdev_port_open(const char *name, const struct port_device *device,
		     const struct port_environment *environment, struct port **result,
		     struct error *err)
{
	struct dpdk_device opened;
	struct rte_ether_addr mac;
	struct ethdev_port *port;
	struct error ignored;
	int i;

	if (dpdk_device_open(device, &opened, err) < 0)
		return -1;
	port = calloc(1, sizeof(*port));
	if (!port) {
		error_errno(err, "%s", device->name);
		dpdk_device_close(&opened);
		return -1;
	}
	port_init(&port->port, &ethdev_driver, name, device->queues);
	port->device = opened;
	port->environment = environment;
	for (i = 0; i < PORT_QUEUES_MAX; i++)
		port->queues[i].epoll_fd = -1;
	// Drivers without receive interrupts ignore the wish or refuse it.
	if (interrupts_come(port) && device_start(port, device, environment, true, &ignored) == 0)
		interrupts_setup(port);
	else if (device_start(port, device, environment, false, err) == 0)
		port->port.needs_polling = true;
	else
		goto fail;
	ethdev_watch(port);
	// A device that sends in another one's place.
	memcpy(mac.addr_bytes, device->mac.bytes, sizeof(mac));
	if (device->uplink && !rte_is_zero_ether_addr(&mac))
		rte_eth_dev_default_mac_addr_set(opened.id, &mac);
	if (rte_eth_macaddr_get(opened.id, &mac) == 0)
		memcpy(port->port.mac.bytes, mac.addr_bytes, sizeof(port->port.mac));
	// A port receives for MAC addresses that are not the device's. Drivers that can't filter
	// can't be told.
	rte_eth_promiscuous_enable(opened.id);
	*result = &port->port;
	return 0;
fail:
	ethdev_close(&port->port);
	return -1;
}
