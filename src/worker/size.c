// Packets that are larger than their way. An IPv4 packet whose sender leaves that to the gateway is
// cut; about any other the sender is told what fits.

#include "layer/gateway/fragment.h"
#include "layer/tunnel/tunnel.h"
#include "port/offload.h"
#include "worker/worker.h"

// Of one packet. The largest one there can be needs so many for an MTU of 576 bytes.
#define FRAGMENTS_MAX 128

static uint32_t fragment(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
			 uint32_t mtu, struct rte_mbuf **fragments)
{
	uint32_t count;

	// What the frame has behind the packet is no reason to cut that.
	if (packet->ip_length <= mtu || (mbuf->ol_flags & PACKET_SEGMENTATION) ||
	    !gateway_may_fragment(mbuf, packet))
		return 0;
	// It covers all fragments.
	if (mbuf->ol_flags & PACKET_UNFINISHED && !packet_complete_checksum(mbuf))
		return 0;
	count = gateway_fragment(mbuf, packet, mtu, worker->engine->pool, fragments, FRAGMENTS_MAX);
	if (count)
		worker_say(worker, "size", "%u bytes are cut into %u fragments of at most %u",
			   packet->ip_length, count, mtu);
	return count;
}

// A datagram that is to be cut into fragments anyway gets smaller ones.
static bool fragments_shrink(struct rte_mbuf *mbuf, const struct packet *packet, uint32_t mtu)
{
	uint32_t header = mbuf->l3_len;

	if (!(mbuf->ol_flags & PACKET_UFO) || !gateway_may_fragment(mbuf, packet) ||
	    mtu < header + UFO_FRAGMENT_MIN)
		return false;
	mbuf->tso_segsz = (uint16_t)((mtu - header) & ~7U);
	return true;
}

void size_exceeded(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
		   struct ingress ingress, struct flow_action action, struct flow_hash hash,
		   uint32_t mtu)
{
	struct rte_mbuf *fragments[FRAGMENTS_MAX];
	uint32_t count;

	if ((action.flags & FLOW_ACTION_ROUTE) && packet->ttl <= 1) {
		worker_reject(worker, mbuf, packet, ingress, DROP_TTL);
		return;
	}
	if (unlikely(fragments_shrink(mbuf, packet, mtu))) {
		fast_path_forward(worker, mbuf, packet, ingress, action, hash);
		return;
	}
	count = fragment(worker, mbuf, packet, mtu, fragments);
	if (!count) {
		worker_reject_size(worker, mbuf, packet, ingress, mtu);
		return;
	}
	rte_pktmbuf_free(mbuf);
	for (uint32_t i = 0; i < count; i++) {
		struct packet part = *packet;

		part.length = fragments[i]->pkt_len;
		part.ip_length = (uint16_t)(part.length - part.l3_offset);
		fast_path_forward(worker, fragments[i], &part, ingress, action, hash);
	}
}

bool size_exceeds_path(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
		       struct ingress ingress, struct flow_action action, struct flow_hash hash)
{
	const struct endpoint *endpoint = &worker->tables->endpoints[action.destination];
	const struct peer *peer = &worker->tables->peers[endpoint->peer];
	uint32_t mtu = atomic_load_explicit(&peer->path->path_mtu, memory_order_relaxed);
	uint32_t learned = atomic_load_explicit(&peer->path->path_learned, memory_order_relaxed);

	if (mtu == PATH_MTU_ANY)
		return false;
	if (worker->now - learned > PATH_MTU_SECONDS) {
		// Perhaps the way has grown: this packet will find out.
		if (!worker->trace)
			atomic_store_explicit(&peer->path->path_mtu, PATH_MTU_ANY,
					      memory_order_relaxed);
		return false;
	}
	size_exceeded(worker, mbuf, packet, ingress, action, hash, mtu - peer->header_size);
	return true;
}

void size_exceeded_at_port(struct worker *worker, struct rte_mbuf *mbuf,
			   const struct packet *oversize, struct ingress ingress)
{
	uint32_t mtu = worker->tables->networks[oversize->key.network].mtu, count;
	struct rte_mbuf *fragments[FRAGMENTS_MAX];
	struct packet packet;

	// Anew, because `kind` has been used for its being too large.
	packet_parse(rte_pktmbuf_mtod(mbuf, const uint8_t *), rte_pktmbuf_data_len(mbuf),
		     mbuf->pkt_len, &packet);
	packet.key.network = oversize->key.network;
	count = fragment(worker, mbuf, &packet, mtu, fragments);
	if (!count) {
		worker_reject_size(worker, mbuf, &packet, ingress, mtu);
		return;
	}
	rte_pktmbuf_free(mbuf);
	for (uint32_t i = 0; i < count; i++) {
		struct packet part;
		enum drop_reason reason = packet_parse(
			rte_pktmbuf_mtod(fragments[i], const uint8_t *),
			rte_pktmbuf_data_len(fragments[i]), fragments[i]->pkt_len, &part);

		if (reason != DROP_NONE) {
			worker_drop(worker, fragments[i], ingress.port, reason);
			continue;
		}
		part.key.network = packet.key.network;
		slow_path(worker, fragments[i], &part, ingress,
			  flow_hash(&worker->flows->secret, &part.key));
	}
}
