// VLAN tags between a workload and Sluice (IEEE 802.1Q): they come off where a packet is received,
// and on where it is sent; nothing between sees them.

#include "port/offload.h"
#include "worker/worker.h"

void vlan_remove(struct rte_mbuf *mbuf, struct packet *packet)
{
	uint8_t *data = rte_pktmbuf_mtod(mbuf, uint8_t *);

	memmove(data + VLAN_TAG_SIZE, data, 12);
	rte_pktmbuf_adj(mbuf, VLAN_TAG_SIZE);
	packet_grow_header(mbuf, -VLAN_TAG_SIZE);
	packet->l3_offset -= VLAN_TAG_SIZE;
	if (packet->l4_offset)
		packet->l4_offset -= VLAN_TAG_SIZE;
	packet->length -= VLAN_TAG_SIZE;
}

uint16_t vlan_receive(struct worker *worker, struct rte_mbuf *mbuf, struct packet *packet,
		      uint16_t port)
{
	struct burst *burst = &worker->burst;
	uint16_t owner = port;

	// VLAN 0 is a priority and no VLAN.
	if (packet->vlan)
		owner = tables_find_vlan(worker->tables, port, packet->vlan);
	if (!owner || !worker->tables->ports[owner].counters) {
		worker_drop(worker, mbuf, port, DROP_VLAN);
		return 0;
	}
	if (owner != port) {
		struct port_counters *counters = worker_counters(worker, owner);

		burst->elsewhere_packets++;
		burst->elsewhere_bytes += mbuf->pkt_len;
		counters->rx_packets++;
		counters->rx_bytes += mbuf->pkt_len - VLAN_TAG_SIZE;
		worker_say(worker, "vlan", "%u on %s is %s", packet->vlan,
			   tables_port_name(worker->tables, port),
			   tables_port_name(worker->tables, owner));
	}
	vlan_remove(mbuf, packet);
	if (owner != port && unlikely(worker->captures))
		capture_received(worker, owner, &mbuf, 1);
	return owner;
}

bool vlan_insert(struct rte_mbuf *mbuf, uint16_t vlan)
{
	uint8_t tag[VLAN_TAG_SIZE] = {ETHERNET_TYPE_VLAN >> 8, ETHERNET_TYPE_VLAN & 0xff,
				      (uint8_t)(vlan >> 8), (uint8_t)vlan};
	uint8_t *data = (uint8_t *)rte_pktmbuf_prepend(mbuf, VLAN_TAG_SIZE);

	if (unlikely(!data))
		return false;
	packet_grow_header(mbuf, VLAN_TAG_SIZE);
	memmove(data, data + VLAN_TAG_SIZE, 12);
	memcpy(data + 12, tag, VLAN_TAG_SIZE);
	return true;
}

uint32_t vlan_send(struct rte_mbuf **mbufs, uint32_t count, uint16_t vlan)
{
	uint32_t tagged = 0;

	for (uint32_t i = 0; i < count; i++) {
		if (likely(vlan_insert(mbufs[i], vlan)))
			mbufs[tagged++] = mbufs[i];
		else
			rte_pktmbuf_free(mbufs[i]);
	}
	return tagged;
}
