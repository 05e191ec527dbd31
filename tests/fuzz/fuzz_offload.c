// Any virtio header with any frame: taken over, held against the frame, put into a tunnel and out
// of it, said again, finished and cut. Ten bytes of virtio header, a byte that says where the frame
// is split and which of the ways it goes, and the frame.

#include "fuzz_packets.h"
#include "port/offload.h"
#include "port/segment.h"

#define WAY_SPLIT      0x3f // where the frame's second buffer begins, by four bytes; 0: one buffer
#define WAY_TUNNEL     0x40
#define WAY_COMPLETE   0x80
#define FRAME_MAX      65535
#define SEGMENTS_LIMIT 257

static struct rte_mempool *pool;

static struct rte_mbuf *packet_make(const uint8_t *data, uint32_t size, uint32_t split)
{
	struct rte_mbuf *packet = rte_pktmbuf_alloc(pool), *last = packet;
	uint32_t part = split ? RTE_MIN(split, size) : size;

	require(packet);
	for (;;) {
		part = RTE_MIN(part, (uint32_t)rte_pktmbuf_tailroom(last));
		memcpy(rte_pktmbuf_mtod(last, void *), data, part);
		last->data_len = (uint16_t)part;
		packet->pkt_len += part;
		data += part;
		size -= part;
		if (!size)
			return packet;
		part = size;
		last->next = rte_pktmbuf_alloc(pool);
		require(last->next);
		last = last->next;
		packet->nb_segs++;
	}
}

static void cut(struct rte_mbuf *packet, bool complete)
{
	uint32_t wire = packet_wire_size(packet), count = 0, left, bytes = 0;
	struct segmenter segmenter;
	struct rte_mbuf *segment;

	if (!segmenter_begin(&segmenter, packet, complete))
		return;
	while (!segmenter_done(&segmenter)) {
		left = segmenter_left(&segmenter);
		segment = segmenter_next(&segmenter, pool);
		require(segment && segmenter_left(&segmenter) == left - 1);
		require(rte_mbuf_check(segment, 1, &(const char *){NULL}) == 0);
		require(segment->pkt_len <= wire && !(segment->ol_flags & PACKET_SEGMENTATION));
		require(!complete || !(segment->ol_flags & PACKET_UNFINISHED));
		bytes += segment->pkt_len;
		rte_pktmbuf_free(segment);
		require(++count <= SEGMENTS_LIMIT);
	}
	require(bytes >= packet->pkt_len);
}

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
	pool = packets_open(255);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct virtio_net_hdr header, again;
	enum offload_verdict verdict;
	struct rte_mbuf *packet;
	bool tunnel = true;
	uint64_t flags;
	uint8_t way;

	if (size < sizeof(header) + 2 || size > FRAME_MAX)
		return 0;
	memcpy(&header, data, sizeof(header));
	way = data[sizeof(header)];
	packet = packet_make(data + sizeof(header) + 1, (uint32_t)(size - sizeof(header) - 1),
			     (way & WAY_SPLIT) * 4u);
	verdict = offload_from_virtio(packet, &header);
	if (verdict == OFFLOAD_BROKEN)
		goto out;
	flags = packet->ol_flags;
	require(!(flags & PACKET_SEGMENTATION) || flags & RTE_MBUF_F_TX_L4_MASK);
	require(packet_wire_size(packet) <= packet->pkt_len + 8);
	if (!(flags & PACKET_UNFINISHED))
		goto out;
	require(offload_to_virtio(packet, &again));
	require(again.csum_start == header.csum_start && again.csum_offset == header.csum_offset);
	if (way & WAY_TUNNEL) {
		tunnel = packet_encapsulate(packet, true, 20, 16);
		if (tunnel)
			require(rte_pktmbuf_prepend(packet, 50));
		// Nothing that could be repeated, unless the frame itself is so.
		if (tunnel)
			memcpy(rte_pktmbuf_mtod(packet, void *), data + sizeof(header) + 1,
			       RTE_MIN((size_t)50, size - sizeof(header) - 1));
	}
	if (packet->ol_flags & PACKET_SEGMENTATION)
		cut(packet, way & WAY_COMPLETE);
	else if (packet->ol_flags & PACKET_UNFINISHED && way & WAY_COMPLETE)
		require(packet_complete_checksum(packet));
	if (way & WAY_TUNNEL && tunnel && packet->ol_flags & PACKET_UNFINISHED) {
		rte_pktmbuf_adj(packet, 50);
		packet_decapsulate(packet, 50);
		require(packet->ol_flags == flags);
	}
out:
	rte_pktmbuf_free(packet);
	require(rte_mempool_in_use_count(pool) == 0);
	return 0;
}
