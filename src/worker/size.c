// Packets that are larger than their way. An IPv4 packet whose sender leaves that to the gateway is
// cut, and so are the packets that a large send is still to become; about any other the sender is
// told what fits.

#include "layer/gateway/fragment.h"
#include "layer/tunnel/tunnel.h"
#include "port/offload.h"
#include "port/segment.h"
#include "worker/worker.h"

// Of one packet. The largest one there can be needs so many for an MTU of 576 bytes; a send is of
// no more datagrams.
#define PARTS_MAX 128

// The packets that a large send is to become, complete. 0: too many, or there are no buffers.
static uint32_t segments_make(struct worker *worker, struct rte_mbuf *mbuf, struct rte_mbuf **parts)
{
	struct segmenter segmenter;
	uint32_t count = 0;

	if (!segmenter_begin(&segmenter, mbuf, true) || segmenter_left(&segmenter) > PARTS_MAX)
		return 0;
	while (!segmenter_done(&segmenter)) {
		parts[count] = segmenter_next(&segmenter, worker->engine->pool);
		if (!parts[count]) {
			rte_pktmbuf_free_bulk(parts, count);
			return 0;
		}
		count++;
	}
	return count;
}

// What goes on in place of an IPv4 packet that its sender allows to be cut: fragments, or smaller
// packets. 0: that can't be.
static uint32_t cut(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
		    uint32_t mtu, struct rte_mbuf **parts)
{
	uint32_t count;

	// What the frame has behind the packet is no reason to cut that.
	if (packet->ip_length <= mtu || !gateway_may_fragment(mbuf, packet))
		return 0;
	if (mbuf->ol_flags & PACKET_SEGMENTATION)
		return segments_make(worker, mbuf, parts);
	// It covers all fragments.
	if (mbuf->ol_flags & PACKET_UNFINISHED && !packet_complete_checksum(mbuf))
		return 0;
	count = gateway_fragment(mbuf, packet, mtu, worker->engine->pool, parts, PARTS_MAX);
	if (count)
		worker_say(worker, "size", "%u bytes are cut into %u fragments of at most %u",
			   packet->ip_length, count, mtu);
	return count;
}

// What is to be cut anyway is cut smaller: into more fragments (UFO), or into more segments of a
// TCP stream, whose receiver can't tell.
static bool segments_shrink(struct rte_mbuf *mbuf, const struct packet *packet, uint32_t mtu)
{
	bool fragments = mbuf->ol_flags & PACKET_UFO;
	uint32_t header = mbuf->l3_len + (fragments ? 0U : mbuf->l4_len);

	if (!(mbuf->ol_flags & (PACKET_UFO | RTE_MBUF_F_TX_TCP_SEG)) ||
	    !gateway_may_fragment(mbuf, packet) || mtu < header + UFO_FRAGMENT_MIN)
		return false;
	mbuf->tso_segsz = (uint16_t)((mtu - header) & (fragments ? ~7U : ~0U));
	return true;
}

void size_exceeded(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
		   const struct passage *passage, uint32_t mtu)
{
	struct rte_mbuf *parts[PARTS_MAX];
	bool segments;
	uint32_t count;

	if ((passage->action.flags & FLOW_ACTION_ROUTE) && packet->ttl <= 1) {
		worker_reject(worker, mbuf, packet, passage->ingress, DROP_TTL);
		return;
	}
	if (segments_shrink(mbuf, packet, mtu)) {
		fast_path_forward(worker, mbuf, packet, passage);
		return;
	}
	segments = mbuf->ol_flags & PACKET_SEGMENTATION;
	count = cut(worker, mbuf, packet, mtu, parts);
	if (!count) {
		worker_reject_size(worker, mbuf, packet, passage->ingress, mtu);
		return;
	}
	rte_pktmbuf_free(mbuf);
	for (uint32_t i = 0; i < count; i++) {
		struct packet part = *packet;

		part.length = parts[i]->pkt_len;
		part.ip_length = part.length - part.l3_offset;
		// Of fragments the first one has the transport header.
		if (i && !segments)
			part.l4_offset = 0;
		// A datagram may be too large still.
		fast_path_forward(worker, parts[i], &part, passage);
	}
}

bool size_exceeds_path(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
		       const struct passage *passage)
{
	const struct endpoint *endpoint = &worker->tables->endpoints[passage->action.destination];
	const struct peer *peer = &worker->tables->peers[endpoint->peer];
	uint32_t mtu = atomic_load_explicit(&peer->path->path_mtu, memory_order_relaxed);
	uint32_t learned = atomic_load_explicit(&peer->path->path_learned, memory_order_relaxed);

	if (mtu == PATH_MTU_ANY)
		return false;
	// The worker that learned it may have been a second ahead.
	if ((int32_t)(worker->now - learned) > PATH_MTU_SECONDS) {
		// Perhaps the way has grown: this packet will find out.
		if (!worker->trace) {
			atomic_store(&peer->path->path_mtu, PATH_MTU_ANY);
			offload_underlay_changed(worker);
		}
		return false;
	}
	size_exceeded(worker, mbuf, packet, passage, mtu - peer->header_size);
	return true;
}

static void part_receive(struct worker *worker, struct rte_mbuf *mbuf, uint16_t network,
			 struct ingress ingress, uint32_t mtu)
{
	struct packet packet;
	enum drop_reason reason = packet_parse(rte_pktmbuf_mtod(mbuf, const uint8_t *),
					       rte_pktmbuf_data_len(mbuf), mbuf->pkt_len, &packet);

	if (reason != DROP_NONE) {
		worker_drop(worker, mbuf, ingress.port, reason);
		return;
	}
	packet.key.network = network;
	// A datagram may be too large still.
	if (packet.ip_length > mtu)
		packet.kind = PACKET_OVERSIZE;
	slow_path(worker, mbuf, &packet, ingress, worker_hash(worker, &packet));
}

void size_exceeded_at_port(struct worker *worker, struct rte_mbuf *mbuf,
			   const struct packet *oversize, struct ingress ingress)
{
	uint32_t mtu = worker->tables->networks[oversize->key.network].mtu, count;
	struct rte_mbuf *parts[PARTS_MAX];
	struct packet packet;

	// Anew, because `kind` has been used for its being too large.
	packet_parse(rte_pktmbuf_mtod(mbuf, const uint8_t *), rte_pktmbuf_data_len(mbuf),
		     mbuf->pkt_len, &packet);
	packet.key.network = oversize->key.network;
	if (segments_shrink(mbuf, &packet, mtu)) {
		slow_path(worker, mbuf, &packet, ingress, worker_hash(worker, &packet));
		return;
	}
	count = cut(worker, mbuf, &packet, mtu, parts);
	if (!count) {
		worker_reject_size(worker, mbuf, &packet, ingress, mtu);
		return;
	}
	rte_pktmbuf_free(mbuf);
	for (uint32_t i = 0; i < count; i++)
		part_receive(worker, parts[i], packet.key.network, ingress, mtu);
}
