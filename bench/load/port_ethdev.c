// A port of DPDK's (--vdev, -a), through packet buffers.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "port.h"

#define RING_SIZE    1024
#define RECEIVE_POOL 4095
// Few, so that they stay in the cache: what the ring holds, and two bursts.
#define SEND_POOL 2047

struct ethdev_port {
	struct port port;
	uint16_t id;
	struct rte_mempool *pool;
	// Of these the first port.pending were sent.
	struct rte_mbuf *taken[PORT_BURST];
	unsigned int taken_count;
	struct rte_mbuf *received[PORT_BURST];
	unsigned int received_count;
};

static unsigned int ethdev_flush(struct ethdev_port *port)
{
	unsigned int sent = 0, count = port->port.pending;

	if (count == 0)
		return 0;
	sent = rte_eth_tx_burst(port->id, 0, port->taken, (uint16_t)count);
	port->port.pending = count - sent;
	memmove(port->taken, &port->taken[sent], (count - sent) * sizeof(port->taken[0]));
	return port->port.pending;
}

static unsigned int ethdev_take(struct port *base, uint8_t **frames, unsigned int wanted)
{
	struct ethdev_port *port = (struct ethdev_port *)base;

	if (wanted == 0 || ethdev_flush(port) != 0 ||
	    rte_mempool_get_bulk(port->pool, (void **)port->taken, wanted) != 0)
		return 0;
	port->taken_count = wanted;
	for (unsigned int i = 0; i < wanted; i++)
		frames[i] = rte_pktmbuf_mtod(port->taken[i], uint8_t *);
	return wanted;
}

static void ethdev_send(struct port *base, const uint16_t *lengths, unsigned int count)
{
	struct ethdev_port *port = (struct ethdev_port *)base;

	for (unsigned int i = 0; i < count; i++) {
		port->taken[i]->data_len = lengths[i];
		port->taken[i]->pkt_len = lengths[i];
	}
	if (count < port->taken_count)
		rte_mempool_put_bulk(port->pool, (void **)&port->taken[count],
				     port->taken_count - count);
	port->taken_count = 0;
	port->port.pending = count;
	ethdev_flush(port);
}

static unsigned int ethdev_receive(struct port *base, uint8_t **frames, uint16_t *lengths,
				   bool look)
{
	struct ethdev_port *port = (struct ethdev_port *)base;
	unsigned int count = rte_eth_rx_burst(port->id, 0, port->received, PORT_BURST);

	// What has waited for room does so no longer than until now.
	ethdev_flush(port);
	for (unsigned int i = 0; i < count; i++) {
		struct rte_mbuf *mbuf = port->received[i];

		frames[i] = rte_pktmbuf_mtod(mbuf, uint8_t *);
		// In several pieces: none of the load's.
		lengths[i] = mbuf->nb_segs == 1 ? mbuf->data_len : 0;
		if (look)
			rte_prefetch0(frames[i]);
	}
	port->received_count = count;
	return count;
}

static void ethdev_release(struct port *base)
{
	struct ethdev_port *port = (struct ethdev_port *)base;

	rte_pktmbuf_free_bulk(port->received, port->received_count);
	port->received_count = 0;
}

static bool ethdev_is_alive(struct port *base)
{
	return true;
}

static void ethdev_close(struct port *base)
{
	struct ethdev_port *port = (struct ethdev_port *)base;

	rte_eth_dev_stop(port->id);
	rte_eth_dev_close(port->id);
	free(port);
}

static const struct port_operations operations = {
	.take = ethdev_take,
	.send = ethdev_send,
	.receive = ethdev_receive,
	.release = ethdev_release,
	.is_alive = ethdev_is_alive,
	.close = ethdev_close,
};

// Nobody else uses the buffers of this pool, and drivers leave their content as it is.
static void buffer_init(struct rte_mempool *pool, void *unused, void *object, unsigned int index)
{
	struct rte_mbuf *mbuf = object;

	mbuf->data_off = RTE_PKTMBUF_HEADROOM;
	*port_frame_mark(rte_pktmbuf_mtod(mbuf, uint8_t *)) = 0;
}

static struct rte_mempool *pool_create(const char *kind, uint16_t id, unsigned int count)
{
	char name[RTE_MEMPOOL_NAMESIZE];

	snprintf(name, sizeof(name), "%s%u", kind, id);
	return rte_pktmbuf_pool_create(name, count, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
				       SOCKET_ID_ANY);
}

struct port *ethdev_port_open(uint16_t id)
{
	struct rte_eth_conf configuration = {0};
	struct ethdev_port *port = calloc(1, sizeof(*port));
	struct rte_mempool *receive_pool = pool_create("receive", id, RECEIVE_POOL);
	int err;

	if (port)
		port->pool = pool_create("send", id, SEND_POOL);
	if (!port || !port->pool || !receive_pool) {
		fprintf(stderr, "load: no memory for buffers\n");
		free(port);
		return NULL;
	}
	port->port.operations = &operations;
	port->id = id;
	rte_mempool_obj_iter(port->pool, buffer_init, NULL);
	err = rte_eth_dev_configure(id, 1, 1, &configuration);
	if (err == 0)
		err = rte_eth_rx_queue_setup(id, 0, RING_SIZE, SOCKET_ID_ANY, NULL, receive_pool);
	if (err == 0)
		err = rte_eth_tx_queue_setup(id, 0, RING_SIZE, SOCKET_ID_ANY, NULL);
	if (err == 0)
		err = rte_eth_dev_start(id);
	if (err == 0)
		return &port->port;
	fprintf(stderr, "load: port %u: %s\n", id, rte_strerror(-err));
	free(port);
	return NULL;
}
