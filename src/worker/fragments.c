// Fragments pass as they came, with the decision about their datagram: they are collected until it
// is whole, it is judged by its first fragment's headers with the connection's ports, and then each
// fragment is forwarded. So policy and connection tracking see every datagram as its receiver does.
//
// A whole datagram is known by its first fragment's buffer (MBUF_DATAGRAM), from which the others
// hang in their order. All fragments of a datagram meet at the worker that their addresses name;
// the datagram then goes to the owner of its connection.

#include "layer/gateway/gateway.h"
#include "layer/multicast/membership.h"
#include "packet/fragment_table.h"
#include "worker/worker.h"

// What may wait at all workers together: this part of all packet buffers.
#define SHARE_OF_POOL 8

static struct fragment_piece_packet {
	struct packet packet;
	struct fragment fragment;
} piece_read(struct rte_mbuf *mbuf, uint16_t network)
{
	const uint8_t *data = rte_pktmbuf_mtod(mbuf, const uint8_t *);
	uint32_t available = rte_pktmbuf_data_len(mbuf);
	struct fragment_piece_packet piece;

	// It was parsed before, so there is nothing to find wrong.
	packet_parse(data, available, mbuf->pkt_len, &piece.packet);
	fragment_read(data, available, &piece.packet, &piece.fragment);
	piece.packet.key.network = network;
	return piece;
}

static struct rte_mbuf *unchain(struct rte_mbuf *mbuf)
{
	struct rte_mbuf *next = packet_context(mbuf)->next_fragment;

	mbuf->ol_flags &= ~MBUF_DATAGRAM;
	return next;
}

void fragments_drop(struct worker *worker, struct rte_mbuf *mbuf, uint16_t port,
		    enum drop_reason reason)
{
	while (mbuf) {
		struct rte_mbuf *next = unchain(mbuf);

		worker_refuse(worker, mbuf, port, reason);
		rte_pktmbuf_free(mbuf);
		mbuf = next;
	}
}

// Of a whole datagram, in its first fragment: where IPv6 has one, the fragment header is in the
// way.
static uint16_t transport_offset(const struct packet *packet)
{
	return (uint16_t)(packet->l4_offset + (ip_is_v4(&packet->source) ? 0 : 8));
}

void fragments_forward(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
		       const struct passage *passage)
{
	uint16_t l4_offset = transport_offset(packet);

	while (mbuf) {
		struct rte_mbuf *next = unchain(mbuf);
		struct packet piece = piece_read(mbuf, packet->key.network).packet;

		piece.key = packet->key;
		piece.icmp_reply = packet->icmp_reply;
		piece.l4_offset = l4_offset;
		fast_path_forward(worker, mbuf, &piece, passage);
		l4_offset = 0;
		mbuf = next;
	}
}

void fragments_replicate(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
			 struct ingress ingress, struct flow_hash hash)
{
	// Never so long that it is cut.
	if (membership_is(packet)) {
		worker_drop(worker, mbuf, ingress.port, DROP_MEMBERSHIP_MALFORMED);
		return;
	}
	while (mbuf) {
		struct rte_mbuf *next = unchain(mbuf);
		struct packet piece = piece_read(mbuf, packet->key.network).packet;

		// Judged for itself, by what the datagram is.
		piece.key = packet->key;
		piece.kind = PACKET_IP;
		replicate(worker, mbuf, &piece, ingress, hash);
		mbuf = next;
	}
}

bool fragments_answer(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
		      struct ingress ingress)
{
	uint16_t icmp = transport_offset(packet);

	if (!gateway_echo_due(packet))
		return false;
	while (mbuf) {
		struct rte_mbuf *next = unchain(mbuf);
		struct packet piece = piece_read(mbuf, packet->key.network).packet;

		gateway_echo_write(mbuf, &piece, icmp);
		worker_answer(worker, mbuf, packet->key.network, ingress.port);
		icmp = 0;
		mbuf = next;
	}
	return true;
}

// ---- datagrams

static void decide(struct worker *worker, struct rte_mbuf *mbuf, struct ingress ingress,
		   uint16_t network)
{
	struct fragment_piece_packet first = piece_read(mbuf, network), last = first;
	uint32_t length = mbuf->pkt_len;
	uint16_t others = 0;
	enum drop_reason reason;
	struct packet packet;

	for (struct rte_mbuf *next = packet_context(mbuf)->next_fragment; next;
	     next = packet_context(next)->next_fragment) {
		length += next->pkt_len;
		others++;
		if (!packet_context(next)->next_fragment)
			last = piece_read(next, network);
	}
	reason = fragment_parse_datagram(rte_pktmbuf_mtod(mbuf, const uint8_t *),
					 rte_pktmbuf_data_len(mbuf), &first.packet, &first.fragment,
					 last.fragment.offset + last.fragment.size, &packet);
	if (reason != DROP_NONE) {
		worker_drop(worker, mbuf, ingress.port, reason);
		return;
	}
	packet.key.network = network;
	packet.length = length;
	packet.fragments = others;
	slow_path(worker, mbuf, &packet, ingress, worker_hash(worker, &packet));
}

void fragments_again(struct worker *worker, struct rte_mbuf *mbuf)
{
	struct packet_context context = *packet_context(mbuf);
	struct ingress ingress = {.port = context.port, .peer = context.peer};

	// Its port may have gone meanwhile.
	if (context.port >= worker->tables->port_count ||
	    !worker->tables->ports[context.port].counters) {
		while (mbuf) {
			struct rte_mbuf *next = unchain(mbuf);

			rte_pktmbuf_free(mbuf);
			mbuf = next;
		}
		return;
	}
	decide(worker, mbuf, ingress, context.network);
}

static void complete(struct worker *worker, struct fragment_datagram *datagram,
		     struct ingress ingress, uint16_t network)
{
	void *items[FRAGMENTS_PER_DATAGRAM];
	uint32_t total, count;

	count = fragment_table_take(worker->fragments, datagram, items, &total);
	for (uint32_t i = 0; i < count; i++) {
		packet_context(items[i])->next_fragment = i + 1 < count ? items[i + 1] : NULL;
		((struct rte_mbuf *)items[i])->ol_flags |= MBUF_DATAGRAM;
	}
	decide(worker, items[0], ingress, network);
}

// ---- fragments

// What a first fragment must show. It holds whatever comes behind it, so it is known at once.
static enum drop_reason check_first(const struct rte_mbuf *mbuf, const struct packet *packet,
				    const struct fragment *fragment)
{
	enum drop_reason reason;
	struct packet whole;

	if (fragment->offset)
		return DROP_NONE;
	reason = fragment_parse_datagram(rte_pktmbuf_mtod(mbuf, const uint8_t *),
					 rte_pktmbuf_data_len(mbuf), packet, fragment, 0, &whole);
	// Lengths are compared when all is there.
	return reason == DROP_TRUNCATED ? DROP_NONE : reason;
}

void fragments_receive(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
		       struct ingress ingress, struct flow_hash hash)
{
	// Multicast is replicated by one worker for each network.
	uint32_t owner = mac_is_multicast(&packet->destination_mac)
				 ? packet->key.network % worker->engine->options.worker_count
				 : flow_table_owner(worker->flows, hash);
	struct fragment_datagram *datagram;
	enum drop_reason reason;
	struct fragment_key key;
	struct fragment fragment;

	if (owner != worker->index && !worker->trace) {
		hand_over_first(worker, mbuf, packet, ingress, owner);
		return;
	}
	if (!fragment_read(rte_pktmbuf_mtod(mbuf, const uint8_t *), rte_pktmbuf_data_len(mbuf),
			   packet, &fragment)) {
		worker_drop(worker, mbuf, ingress.port, DROP_FRAGMENT_MALFORMED);
		return;
	}
	key = fragment_key_make(packet, &fragment, ingress.port, ingress.peer);
	reason = fragment_check(&fragment);
	if (reason == DROP_NONE)
		reason = check_first(mbuf, packet, &fragment);
	if (reason != DROP_NONE) {
		fragment_table_end(worker->fragments, &key, worker->now, reason);
		worker_drop(worker, mbuf, ingress.port, reason);
		return;
	}
	datagram = fragment_table_add(worker->fragments, &key, &fragment, mbuf, mbuf->nb_segs,
				      worker->now);
	if (datagram)
		complete(worker, datagram, ingress, packet->key.network);
	else
		worker_say(worker, "fragments", "bytes %u to %u wait for the rest of the datagram",
			   fragment.offset, fragment.offset + fragment.size);
}

static void drop_waiting(void *context, void *item, const struct fragment_key *key,
			 enum drop_reason reason)
{
	struct worker *worker = context;

	// Its port may have gone meanwhile.
	if (key->port < worker->tables->port_count && worker->tables->ports[key->port].counters)
		worker_drop(worker, item, key->port, reason);
	else
		rte_pktmbuf_free(item);
}

static void release(void *item)
{
	rte_pktmbuf_free(item);
}

bool fragments_open(struct worker *worker)
{
	uint32_t share = SHARE_OF_POOL * worker->engine->options.worker_count;

	worker->fragments =
		fragment_table_open(worker->engine->pool->size / share, drop_waiting, worker);
	return worker->fragments != NULL;
}

void fragments_close(struct worker *worker)
{
	fragment_table_close(worker->fragments, release);
	worker->fragments = NULL;
}

void fragments_clear(struct worker *worker)
{
	fragment_table_clear(worker->fragments, release);
}

void fragments_turn(struct worker *worker, bool new_second)
{
	if (new_second)
		fragment_table_age(worker->fragments, worker->now);
}
