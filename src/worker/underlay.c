// The uplink beside the tunnels: ARP and ND, where Sluice answers for its tunnel address and finds
// its next hops; and what is the host's, where the device has left the kernel.

#include "layer/address_resolution/address_resolution.h"
#include "layer/external/external.h"
#include "layer/tunnel/tunnel.h"
#include "packet/header.h"
#include "worker/worker.h"

// For so long after a large send there may be errors about it.
#define WHOLE_SECONDS 2

// Announcements of the tunnel address where another device sends.
#define UPLINK_ROUNDS 2

static bool is_router(const struct worker *worker, const struct neighbour *neighbour)
{
	return external_find_hop(worker->tables, neighbour->network, &neighbour->address);
}

void underlay_learn(struct worker *worker, uint16_t network,
		    const struct address_resolution *message)
{
	const struct underlay *underlay = &worker->tables->underlay;
	struct neighbours *neighbours = &worker->engine->neighbours;
	static const struct mac_address none;
	struct neighbour *neighbour;
	uint64_t word = 0;
	uint32_t index;

	// Only of those that are somebody's next hop, and nothing that could not be sent to.
	index = lookup_find(&underlay->neighbours, lookup_key_address(network, &message->sender));
	if (!index || worker->trace || mac_is_multicast(&message->sender_mac) ||
	    mac_equal(&message->sender_mac, &none) ||
	    mac_equal(&message->sender_mac, &underlay->mac))
		return;
	neighbour = underlay->neighbour[index - 1];
	memcpy(&word, &message->sender_mac, sizeof(message->sender_mac));
	neighbour->confirmed = worker->now;
	neighbour->probes = 0;
	if (atomic_exchange(&neighbour->mac, word) != word)
		offload_underlay_changed(worker);
	atomic_store(&neighbour->wanted, 0);
	// What went by others comes back.
	if (atomic_exchange(&neighbour->down, false) && is_router(worker, neighbour))
		engine_judge_anew(worker->engine, worker->now);
	atomic_fetch_add(&neighbours->learned, 1);
	// Others may hold packets for it.
	for (uint32_t i = 0; i < worker->engine->options.worker_count; i++)
		if (i != worker->index && atomic_load(&worker->engine->workers[i]->sleeping))
			worker_wake(worker->engine->workers[i]);
}

static bool is_for_us(const struct underlay *underlay, const struct packet *packet,
		      const struct address_resolution *message)
{
	const struct ip_address *vtep = &underlay->vtep.address;

	// An advertisement's target is its sender: it is sent to whoever asked.
	return ip_equal(&message->target, vtep) ||
	       (packet->kind == PACKET_ND && ip_equal(&packet->destination, vtep));
}

void underlay_to_host(struct worker *worker, struct rte_mbuf *mbuf, enum drop_reason reason)
{
	if (worker->tables->ports[PORT_HOST].counters)
		transmit_add(worker, mbuf, PORT_HOST);
	else
		worker_drop(worker, mbuf, PORT_UPLINK, reason);
}

void underlay_from_host(struct worker *worker, struct rte_mbuf **mbufs, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		transmit_add(worker, mbufs[i], PORT_UPLINK);
}

// Larger than the uplink's MTU is only what is cut where it leaves the host: perhaps behind a
// router there.
static bool sends_whole(const struct worker *worker, const struct neighbour *next_hop)
{
	uint32_t whole = atomic_load_explicit(&next_hop->whole, memory_order_relaxed);

	return worker->now - whole <= WHOLE_SECONDS ||
	       worker->now - offload_next_hop_used(worker, next_hop) <= WHOLE_SECONDS;
}

// A router of the underlay has dropped a tunnel packet. The next one that is too large is refused
// here, where its sender can be told.
bool underlay_path_mtu(struct worker *worker, struct rte_mbuf *mbuf,
		       const struct tunnel_outer *outer)
{
	const struct peer *peer = &worker->tables->peers[outer->peer];
	struct neighbour *path = peer->path;
	uint32_t mtu = outer->mtu;

	if (outer->whole && (!peer->next_hop || !sends_whole(worker, peer->next_hop)))
		return false;
	worker_say(worker, "underlay", "the way to node %s carries %u bytes", peer->name, mtu);
	if (!worker->trace && mtu <= atomic_load_explicit(&path->path_mtu, memory_order_relaxed)) {
		atomic_store_explicit(&path->path_learned, worker->now, memory_order_relaxed);
		if (atomic_exchange(&path->path_mtu, mtu) != mtu)
			offload_underlay_changed(worker);
	}
	rte_pktmbuf_free(mbuf);
	return true;
}

void underlay_receive(struct worker *worker, struct rte_mbuf *mbuf, struct packet *packet)
{
	const struct underlay *underlay = &worker->tables->underlay;
	const uint8_t *data = rte_pktmbuf_mtod(mbuf, const uint8_t *);
	bool arp = packet->kind == PACKET_ARP, answered;
	struct address_resolution message;
	enum drop_reason reason;

	reason = arp ? arp_read(data, rte_pktmbuf_data_len(mbuf), packet, &message)
		     : nd_read(data, rte_pktmbuf_data_len(mbuf), packet, &message);
	// Router discovery is the host's.
	if (reason != DROP_NONE || message.router_discovery) {
		underlay_to_host(worker, mbuf, reason == DROP_NONE ? DROP_NOT_FOR_US : reason);
		return;
	}
	underlay_learn(worker, 0, &message);
	if (!is_for_us(underlay, packet, &message)) {
		uint16_t network;

		if (external_receive(worker, mbuf, packet, &network) == EXTERNAL_DONE)
			return;
		if (worker->tables->ports[PORT_HOST].counters)
			transmit_add(worker, mbuf, PORT_HOST);
		else
			rte_pktmbuf_free(mbuf);
		return;
	}
	if (!message.solicitation || ip_equal(&message.sender, &message.target)) {
		rte_pktmbuf_free(mbuf);
		return;
	}
	answered = arp ? arp_answer(mbuf, packet, &message, &underlay->mac)
		       : nd_answer(mbuf, packet, &message, &underlay->mac, false);
	if (answered)
		transmit_add(worker, mbuf, PORT_UPLINK);
	else
		worker_drop(worker, mbuf, PORT_UPLINK, DROP_NO_BUFFER);
}

// From which address on the uplink it is asked for, and in which external network (NULL: on the
// underlay).
static const struct network *network_of(const struct worker *worker,
					const struct neighbour *neighbour,
					const struct ip_address **own)
{
	const struct tables *tables = worker->tables;
	const struct external_watched *watched;
	uint32_t router;

	*own = &tables->underlay.vtep.address;
	if (!neighbour->network)
		return NULL;
	router = external_find_hop(tables, neighbour->network, &neighbour->address);
	watched = external_find_watched(tables, neighbour->network, &neighbour->address);
	if (router)
		*own = &external_hop_of(tables, &tables->endpoints[router])->own;
	else if (watched)
		*own = &watched->own;
	else
		return NULL;
	return &tables->networks[neighbour->network];
}

static void ask(struct worker *worker, struct neighbour *neighbour)
{
	const struct underlay *underlay = &worker->tables->underlay;
	const struct ip_address *own;
	const struct network *network = network_of(worker, neighbour, &own);
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(worker->engine->pool);
	bool made;

	neighbour->asked = worker->now;
	neighbour->probes++;
	if (!mbuf)
		return;
	made = ip_is_v4(&neighbour->address)
		       ? arp_request(mbuf, &underlay->mac, own, &neighbour->address)
		       : nd_request(mbuf, &underlay->mac, own, &neighbour->address);
	if (made && network)
		external_send(worker, mbuf, network);
	else if (made)
		transmit_add(worker, mbuf, PORT_UPLINK);
	else
		rte_pktmbuf_free(mbuf);
}

static void falls_silent(struct worker *worker, struct neighbour *neighbour)
{
	const struct port *uplink = worker->tables->ports[PORT_UPLINK].port;
	bool router;

	if (!neighbour->network || atomic_load(&neighbour->down))
		return;
	router = is_router(worker, neighbour);
	// Of other nodes nothing is known while nobody can be heard.
	if (!router && (!uplink || !uplink->driver->up(uplink)))
		return;
	neighbour->down_since = worker->now;
	atomic_store(&neighbour->down, true);
	if (router)
		engine_judge_anew(worker->engine, worker->now);
}

// Once a second: is it still there, if it is used; and is it still not there, if somebody waits?
static void look_after(struct worker *worker, struct neighbour *neighbour)
{
	bool known = atomic_load_explicit(&neighbour->mac, memory_order_relaxed) != 0;
	bool wanted = atomic_load_explicit(&neighbour->wanted, memory_order_relaxed);
	uint32_t used = atomic_load_explicit(&neighbour->used, memory_order_relaxed);
	uint32_t kernel = offload_next_hop_used(worker, neighbour);

	if ((int32_t)(kernel - used) > 0)
		used = kernel;
	if (known && worker->now - used <= NEIGHBOUR_REFRESH &&
	    worker->now - neighbour->confirmed >= NEIGHBOUR_REFRESH)
		wanted = true;
	// Whether who is watched outside is there is known before somebody needs it.
	wanted |= neighbour->network &&
		  (!known || worker->now - neighbour->confirmed >= NEIGHBOUR_WATCH);
	if (!wanted || neighbour->asked == worker->now)
		return;
	if (neighbour->probes >= NEIGHBOUR_PROBES) {
		// It does not answer: packets may ask anew, and are not sent into the void.
		if (atomic_exchange(&neighbour->mac, 0))
			offload_underlay_changed(worker);
		neighbour->probes = 0;
		falls_silent(worker, neighbour);
		// For who has come since the last question nobody has asked yet.
		if ((int32_t)(used - neighbour->asked) < 0) {
			atomic_store(&neighbour->wanted, 0);
			return;
		}
	}
	ask(worker, neighbour);
}

static uint32_t uplink_moves(const struct worker *worker)
{
	const struct port *port = worker->tables->ports[PORT_UPLINK].port;

	return port ? atomic_load_explicit(&port->moves, memory_order_relaxed) : 0;
}

// Does this worker receive from the uplink, and so speak on it?
static bool is_mine(const struct worker *worker)
{
	const struct port_binding *binding = &worker->tables->ports[PORT_UPLINK];

	return binding->port && binding->first_worker == worker->index;
}

// Another device has begun to send, perhaps at another place: switches are to know it at once, also
// where this node has nothing to send. Twice, for the first may be lost.
static bool announce(struct worker *worker, uint32_t moves, bool new_second)
{
	const struct underlay *underlay = &worker->tables->underlay;
	const struct ip_address *vtep = &underlay->vtep.address;
	struct rte_mbuf *mbuf;

	if (moves != worker->uplink_moves) {
		worker->uplink_moves = moves;
		worker->uplink_rounds = UPLINK_ROUNDS;
		// All that were announced are so again.
		worker->announced = worker->tables->generation - INT32_MAX;
		worker->announce_rounds = 0;
	} else if (!worker->uplink_rounds || !new_second) {
		return false;
	}
	worker->uplink_rounds--;
	mbuf = rte_pktmbuf_alloc(worker->engine->pool);
	if (mbuf && (ip_is_v4(vtep) ? arp_request(mbuf, &underlay->mac, vtep, vtep)
				    : nd_announcement(mbuf, &underlay->mac, vtep)))
		transmit_add(worker, mbuf, PORT_UPLINK);
	else
		rte_pktmbuf_free(mbuf);
	return true;
}

void underlay_turn(struct worker *worker, bool new_second)
{
	struct neighbours *neighbours = &worker->engine->neighbours;
	const struct underlay *underlay = &worker->tables->underlay;
	uint32_t wanted = atomic_load_explicit(&neighbours->wanted, memory_order_relaxed);
	uint32_t moves = uplink_moves(worker);

	if (likely(wanted == worker->wanted_seen && !new_second && moves == worker->uplink_moves))
		return;
	if (!is_mine(worker)) {
		// Whoever waits has only told the set: pass it on.
		const struct port_binding *binding = &worker->tables->ports[PORT_UPLINK];

		if (wanted != worker->wanted_seen && binding->port &&
		    atomic_load(&worker->engine->workers[binding->first_worker]->sleeping))
			worker_wake(worker->engine->workers[binding->first_worker]);
		worker->wanted_seen = wanted;
		worker->uplink_moves = moves;
		return;
	}
	new_second |= announce(worker, moves, new_second);
	external_announce(worker, new_second);
	worker->wanted_seen = wanted;
	atomic_store_explicit(&neighbours->now, worker->now, memory_order_relaxed);
	for (uint32_t i = 0; i < underlay->neighbour_count; i++)
		look_after(worker, underlay->neighbour[i]);
}
