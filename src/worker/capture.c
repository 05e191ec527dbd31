#include "worker/capture.h"

#include "worker/worker.h"

static bool wants(const struct capture *capture, enum capture_point point, uint16_t port)
{
	return (capture->points >> point & 1) && capture_wants_port(capture, port);
}

static void copy_out(const struct rte_mbuf *mbuf, uint8_t *to, uint32_t size)
{
	for (; mbuf && size; mbuf = mbuf->next) {
		uint32_t part = RTE_MIN(size, mbuf->data_len);

		memcpy(to, rte_pktmbuf_mtod(mbuf, const void *), part);
		to += part;
		size -= part;
	}
}

static void stage(const struct capture *capture, struct capture_ring *ring,
		  enum capture_point point, uint16_t port, const struct rte_mbuf *mbuf,
		  enum drop_reason reason, uint64_t now)
{
	struct capture_record *record;

	if (capture->filter_count && !capture_filter_run(capture->filter, mbuf))
		return;
	record = capture_ring_stage(ring, RTE_MIN(mbuf->pkt_len, capture->bytes));
	if (!record) {
		atomic_store_explicit(&ring->lost,
				      atomic_load_explicit(&ring->lost, memory_order_relaxed) + 1,
				      memory_order_relaxed);
		return;
	}
	record->time = now;
	record->length = mbuf->pkt_len;
	record->port = port;
	record->point = (uint8_t)point;
	record->reason = (uint16_t)reason;
	copy_out(mbuf, record->bytes, record->captured);
}

void capture_received(struct worker *worker, uint16_t port, struct rte_mbuf **mbufs, uint32_t count)
{
	uint64_t now = rte_rdtsc();

	for (uint32_t i = 0; i < worker->captures->count; i++) {
		struct capture *capture = worker->captures->list[i];
		struct capture_ring *ring = &capture->lanes[worker->index]->ring;

		if (!wants(capture, CAPTURE_IN, port))
			continue;
		for (uint32_t j = 0; j < count; j++)
			stage(capture, ring, CAPTURE_IN, port, mbufs[j], DROP_NONE, now);
		capture_ring_publish(ring, ring->written);
	}
}

void capture_dropped(struct worker *worker, const struct rte_mbuf *mbuf, uint16_t port,
		     enum drop_reason reason)
{
	uint64_t now = rte_rdtsc();

	for (uint32_t i = 0; i < worker->captures->count; i++) {
		struct capture *capture = worker->captures->list[i];
		struct capture_ring *ring = &capture->lanes[worker->index]->ring;

		if (!wants(capture, CAPTURE_DROPPED, port))
			continue;
		stage(capture, ring, CAPTURE_DROPPED, port, mbuf, reason, now);
		capture_ring_publish(ring, ring->written);
	}
}

// For a moment the packet is as without its tag.
static void stage_untagged(const struct capture *capture, struct capture_ring *ring, uint16_t port,
			   struct rte_mbuf *mbuf, uint64_t now)
{
	uint8_t *data = rte_pktmbuf_mtod(mbuf, uint8_t *), tag[VLAN_TAG_SIZE];

	memcpy(tag, data + 12, VLAN_TAG_SIZE);
	memmove(data + VLAN_TAG_SIZE, data, 12);
	rte_pktmbuf_adj(mbuf, VLAN_TAG_SIZE);
	stage(capture, ring, CAPTURE_OUT, port, mbuf, DROP_NONE, now);
	rte_pktmbuf_prepend(mbuf, VLAN_TAG_SIZE);
	memmove(data, data + VLAN_TAG_SIZE, 12);
	memcpy(data + 12, tag, VLAN_TAG_SIZE);
}

void capture_sending(struct worker *worker, uint16_t port, uint16_t parent, struct rte_mbuf **mbufs,
		     uint32_t count)
{
	uint64_t now = rte_rdtsc();

	for (uint32_t i = 0; i < worker->captures->count; i++) {
		struct capture *capture = worker->captures->list[i];
		struct capture_lane *lane = capture->lanes[worker->index];
		bool own = wants(capture, CAPTURE_OUT, port);
		bool device = parent && wants(capture, CAPTURE_OUT, parent);

		lane->staged = own || device;
		for (uint32_t j = 0; j < count && lane->staged; j++) {
			if (own && parent)
				stage_untagged(capture, &lane->ring, port, mbufs[j], now);
			else if (own)
				stage(capture, &lane->ring, CAPTURE_OUT, port, mbufs[j], DROP_NONE,
				      now);
			if (device)
				stage(capture, &lane->ring, CAPTURE_OUT, parent, mbufs[j],
				      DROP_NONE, now);
			lane->ends[j] = lane->ring.written;
		}
	}
}

void capture_sent(struct worker *worker, uint32_t sent)
{
	for (uint32_t i = 0; i < worker->captures->count; i++) {
		struct capture_lane *lane = worker->captures->list[i]->lanes[worker->index];

		if (!lane->staged)
			continue;
		capture_ring_publish(
			&lane->ring,
			sent ? lane->ends[sent - 1]
			     : atomic_load_explicit(&lane->ring.published, memory_order_relaxed));
		lane->staged = false;
	}
}

bool capture_watches(const struct captures *captures, uint16_t port)
{
	for (uint32_t i = 0; captures && i < captures->count; i++)
		if (wants(captures->list[i], CAPTURE_IN, port) ||
		    wants(captures->list[i], CAPTURE_OUT, port))
			return true;
	return false;
}
