// Connections whose messages name addresses and ports of a side that is translated
// (FLOW_ACTION_HELPED): the control connections of FTP, over TCP, and SIP, over UDP. What they name
// is replaced by what it is translated to, and what is announced so is let in
// (layer/nat/announce.h).
//
// All of their packets are their owner's, which knows by how much TCP's numbers are shifted since.

#include <arpa/inet.h>

#include "base/pages.h"
#include "layer/nat/announce.h"
#include "packet/payload/edit.h"
#include "packet/payload/ftp.h"
#include "packet/payload/sequence.h"
#include "packet/payload/sip.h"
#include "port/offload.h"
#include "worker/worker.h"

// Of a worker: connections whose numbers are shifted. More are not begun.
#define HELPED_MAX 1024
#define HELPED_SET 8

struct helped {
	const struct flow *flow; // NULL: free
	struct flow_key key;	 // that it had then
	uint32_t created;
	struct sequence_shift shifts[2]; // by direction
};

struct helper {
	struct helped connections[HELPED_MAX];
	struct payload_edits edits;
	struct sip_message message;
	uint8_t buffer[PAYLOAD_MAX];
	_Atomic uint64_t untranslated;
};

uint64_t helper_untranslated(const struct worker *worker)
{
	return atomic_load_explicit(&worker->helper->untranslated, memory_order_relaxed);
}

// It goes on as it is, whatever it names.
static void count_untranslated(struct worker *worker)
{
	_Atomic uint64_t *count = &worker->helper->untranslated;

	atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + 1,
			      memory_order_relaxed);
}

bool helper_open(struct worker *worker)
{
	worker->helper = pages_get(sizeof(*worker->helper));
	return worker->helper;
}

void helper_close(struct worker *worker)
{
	pages_free(worker->helper, sizeof(*worker->helper));
}

static bool is_of(const struct helped *helped, const struct flow *flow)
{
	return helped->flow == flow && helped->created == flow->account.created &&
	       flow_key_equal(&helped->key, &flow->direction[FLOW_ORIGINAL].key);
}

static struct helped *set_of(const struct worker *worker, const struct flow *flow)
{
	uint32_t number = (uint32_t)(flow - worker->flows->flows);

	return &worker->helper->connections[number * HELPED_SET % HELPED_MAX];
}

static struct helped *find(const struct worker *worker, const struct flow *flow)
{
	struct helped *set = set_of(worker, flow);

	for (unsigned int i = 0; i < HELPED_SET; i++)
		if (is_of(&set[i], flow))
			return &set[i];
	return NULL;
}

// Connections that have ended make room.
static struct helped *make(const struct worker *worker, const struct flow *flow)
{
	struct helped *set = set_of(worker, flow);

	for (unsigned int i = 0; i < HELPED_SET; i++) {
		if (set[i].flow && flow_has(&set[i].flow->account, FLOW_LIVE) &&
		    is_of(&set[i], set[i].flow))
			continue;
		set[i] = (struct helped){
			.flow = flow,
			.key = flow->direction[FLOW_ORIGINAL].key,
			.created = flow->account.created,
		};
		return &set[i];
	}
	return NULL;
}

void helper_unshift(const struct worker *worker, const struct flow *flow,
		    enum flow_direction_index direction, struct packet *packet)
{
	const struct helped *helped;

	if (packet->key.protocol != IPPROTO_TCP || packet->kind != PACKET_IP)
		return;
	helped = find(worker, flow);
	if (helped && packet->tcp_flags & TCP_ACK)
		packet->tcp_ack = sequence_back(&helped->shifts[!direction], packet->tcp_ack);
}

// A message on its way: who sends it, as it is sent and as it leaves.
struct passing {
	struct worker *worker;
	const struct packet *packet;
	const struct passage *passage;
	struct flow_key leaving;
	bool hides_sender;
	bool hides_receiver;
};

static struct passing passing_make(struct worker *worker, const struct packet *packet,
				   const struct passage *passage)
{
	const struct flow_key *back = &passage->flow->direction[!passage->direction].key;
	struct passing passing = {
		.worker = worker,
		.packet = packet,
		.passage = passage,
		.leaving = flow_key_reverse(back, back->network),
	};

	passing.hides_sender = !ip_equal(&passing.leaving.source, &packet->key.source);
	passing.hides_receiver = !ip_equal(&passing.leaving.destination, &packet->key.destination);
	return passing;
}

// The external end of one of the sender's own, where somebody is to connect to. `port` in host byte
// order.
static bool announce(const struct passing *passing, uint8_t protocol, uint16_t port, bool any_peer,
		     struct ip_address *address, uint16_t *external)
{
	const struct packet *packet = passing->packet;
	struct nat_announcement announcement = {
		.sent = &packet->key,
		.leaving = &passing->leaving,
		.network = passing->leaving.network,
		.port = passing->passage->ingress.port,
		.inside_port = htons(port),
		.protocol = protocol,
		.any_peer = any_peer,
	};

	if (!nat_announce(passing->worker->tables, &announcement, passing->worker->now))
		return false;
	*address = announcement.address;
	*external = ntohs(announcement.external_port);
	return true;
}

// All of a segment's announcements are one piece. False: one that can't be let in.
static bool ftp_edit(const struct passing *passing, const uint8_t *payload, uint32_t size)
{
	bool client = passing->passage->direction == FLOW_ORIGINAL;
	struct payload_edits *edits = &passing->worker->helper->edits;
	struct ftp_endpoint endpoint;
	struct ip_address address;
	uint32_t from = 0;
	uint16_t port;

	while (ftp_find(payload, size, &from, client, &endpoint)) {
		// What is said of others is theirs.
		if (endpoint.form != FTP_EXTENDED_PASSIVE &&
		    !ip_equal(&endpoint.address, &passing->packet->key.source))
			continue;
		if (!announce(passing, IPPROTO_TCP, endpoint.port, false, &address, &port) ||
		    !ftp_replace(&endpoint, &address, port, edits))
			return false;
	}
	return true;
}

static bool tcp_apply(const struct passing *passing, struct rte_mbuf *mbuf, uint32_t limit)
{
	const struct packet *packet = passing->packet;
	enum flow_direction_index direction = passing->passage->direction;
	struct worker *worker = passing->worker;
	struct payload_edits *edits = &worker->helper->edits;
	struct helped *helped = find(worker, passing->passage->flow);
	uint32_t seq = packet->tcp_seq + (packet->tcp_flags & TCP_SYN ? 1 : 0);
	const struct payload_edit *first, *last;
	struct payload_place place;
	const uint8_t *payload;

	edits->count = edits->used = 0;
	// Numbers of fragments can't be shifted.
	if (!payload_find(mbuf, packet->l3_offset, packet->l4_offset, &place))
		return !helped;
	if (helped && sequence_is_torn(&helped->shifts[direction], seq, seq + place.size))
		return false;
	payload = passing->hides_sender && place.size
			  ? payload_read(mbuf, &place, worker->helper->buffer)
			  : NULL;
	if (payload && !ftp_edit(passing, payload, place.size))
		return false;
	if (passing->hides_sender && place.size &&
	    (!payload || ftp_is_cut(payload, place.size, direction == FLOW_ORIGINAL)))
		count_untranslated(worker);
	if (edits->count) {
		first = &edits->edits[0];
		last = &edits->edits[edits->count - 1];
		if (!helped)
			helped = make(worker, passing->passage->flow);
		if (!helped ||
		    !sequence_shift_add(&helped->shifts[direction], seq + first->at,
					seq + last->at + last->size, payload_edits_growth(edits)) ||
		    !payload_write(mbuf, &place, edits, limit, worker->engine->pool))
			return false;
	}
	if (!helped)
		return true;
	return sequence_rewrite(rte_pktmbuf_mtod_offset(mbuf, uint8_t *, packet->l4_offset),
				mbuf->data_len - packet->l4_offset, &helped->shifts[direction],
				&helped->shifts[!direction], mbuf->ol_flags & PACKET_UNFINISHED);
}

static void set(struct sip_reference *reference, const struct ip_address *address, uint16_t port)
{
	reference->replaced = true;
	reference->new_address = *address;
	reference->new_port = port;
}

// What a side that is hidden says of itself. False: it can't be let in.
static bool sip_outward(const struct passing *passing, struct sip_reference *reference)
{
	const struct flow_key *key = &passing->packet->key, *leaving = &passing->leaving;
	uint16_t said = reference->port ? reference->port : SIP_PORT, port = 0;
	struct ip_address address = leaving->source;

	if (reference->kind == SIP_RPORT || !ip_equal(&reference->address, &key->source))
		return true;
	switch (reference->kind) {
	case SIP_HOST:
		if (said == ntohs(key->source_port))
			port = ntohs(leaving->source_port);
		else if (!announce(passing, IPPROTO_UDP, said, true, &address, &port))
			return false;
		break;
	case SDP_MEDIA:
	case SDP_RTCP:
		// No port: the medium is refused.
		if (!reference->port)
			return true;
		if (!announce(passing, IPPROTO_UDP, reference->port, true, &address, &port))
			return false;
		break;
	default:
		break;
	}
	set(reference, &address, port);
	return true;
}

// What the other side says of a hidden one: as it knows it.
static void sip_inward(const struct passing *passing, struct sip_reference *reference)
{
	const struct flow_key *key = &passing->packet->key, *leaving = &passing->leaving;
	uint16_t port = ntohs(key->destination_port);

	if (reference->kind == SIP_RPORT) {
		if (reference->port == port)
			set(reference, &leaving->destination, ntohs(leaving->destination_port));
		return;
	}
	if (reference->kind == SIP_HOST && ip_equal(&reference->address, &key->destination) &&
	    (!reference->port || reference->port == port))
		set(reference, &leaving->destination, ntohs(leaving->destination_port));
}

static bool sip_apply(const struct passing *passing, struct rte_mbuf *mbuf, uint32_t limit)
{
	const struct packet *packet = passing->packet;
	struct helper *helper = passing->worker->helper;
	struct sip_message *message = &helper->message;
	struct payload_place place;
	const uint8_t *payload;

	helper->edits.count = helper->edits.used = 0;
	// What is longer than it is looked at, comes in fragments, or is none, passes as it is.
	payload = payload_find(mbuf, packet->l3_offset, packet->l4_offset, &place)
			  ? payload_read(mbuf, &place, helper->buffer)
			  : NULL;
	if (!payload)
		count_untranslated(passing->worker);
	if (!payload || !sip_read(payload, place.size, message))
		return true;
	for (uint32_t i = 0; i < message->count; i++) {
		struct sip_reference *reference = &message->references[i];

		if (passing->hides_sender && !sip_outward(passing, reference))
			return false;
		if (passing->hides_receiver && !reference->replaced)
			sip_inward(passing, reference);
	}
	if (!sip_write(message, &helper->edits))
		return false;
	return !helper->edits.count ||
	       payload_write(mbuf, &place, &helper->edits, limit, passing->worker->engine->pool);
}

bool helper_apply(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
		  const struct passage *passage, uint32_t limit)
{
	struct passing passing;

	if (packet->kind != PACKET_IP || !packet->l4_offset)
		return true;
	worker_say(worker, "helper", "%s: addresses in its payload are translated, too",
		   packet->key.protocol == IPPROTO_TCP ? "ftp" : "sip");
	if (worker->trace)
		return true;
	passing = passing_make(worker, packet, passage);
	return packet->key.protocol == IPPROTO_TCP ? tcp_apply(&passing, mbuf, limit)
						   : sip_apply(&passing, mbuf, limit);
}
