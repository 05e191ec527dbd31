// Networks outside, on the uplink: which of its packets are for addresses of ours there, ARP and ND
// for these, and announcements of those that have come to this node.

#include <arpa/inet.h>

#include "layer/address_resolution/address_resolution.h"
#include "layer/external/external.h"
#include "worker/worker.h"

// Each address is announced so often, a second apart (RFC 5227 section 2.3), so many in a turn, and
// of a prefix the first ones: routers ask for those that they need.
#define ANNOUNCE_ROUNDS	   2
#define ANNOUNCE_AT_ONCE   64
#define ANNOUNCE_OF_PREFIX 64

void external_send(struct worker *worker, struct rte_mbuf *mbuf, const struct network *network)
{
	if (network->vlan && !vlan_insert(mbuf, network->vlan))
		worker_drop(worker, mbuf, PORT_UPLINK, DROP_NO_BUFFER);
	else
		transmit_add(worker, mbuf, PORT_UPLINK);
}

// ---- receiving

static enum external_receive resolve(struct worker *worker, struct rte_mbuf *mbuf,
				     struct packet *packet, const struct network *network)
{
	const struct mac_address *mac = &worker->tables->underlay.mac;
	const uint8_t *data = rte_pktmbuf_mtod(mbuf, const uint8_t *);
	bool arp = packet->kind == PACKET_ARP, answered;
	const struct external_prefix *claim;
	struct address_resolution message;
	char text[IP_TEXT_SIZE];

	if ((arp ? arp_read(data, rte_pktmbuf_data_len(mbuf), packet, &message)
		 : nd_read(data, rte_pktmbuf_data_len(mbuf), packet, &message)) != DROP_NONE ||
	    message.router_discovery)
		return EXTERNAL_NOT_OURS;
	conflict_heard(worker, network, packet, &message);
	underlay_learn(worker, network->number, &message);
	// An answer goes to whoever has asked, and so is for one of our addresses.
	claim = external_find_claim(worker->tables, network->number,
				    message.solicitation || arp ? &message.target
								: &packet->destination);
	if (!claim || !external_answers(worker->tables, claim))
		return EXTERNAL_NOT_OURS;
	if (packet->l3_offset > ETHERNET_HEADER_SIZE)
		vlan_remove(mbuf, packet);
	if (!message.solicitation || ip_equal(&message.sender, &message.target)) {
		rte_pktmbuf_free(mbuf);
		return EXTERNAL_DONE;
	}
	worker_say(worker, "address-resolution", "%s is ours", ip_format(&message.target, text));
	answered = arp ? arp_answer(mbuf, packet, &message, mac)
		       : nd_answer(mbuf, packet, &message, mac, true);
	if (answered)
		external_send(worker, mbuf, network);
	else
		worker_drop(worker, mbuf, PORT_UPLINK, DROP_NO_BUFFER);
	return EXTERNAL_DONE;
}

enum external_receive external_receive(struct worker *worker, struct rte_mbuf *mbuf,
				       struct packet *packet, uint16_t *number)
{
	const struct tables *tables = worker->tables;
	const struct network *network = external_of_vlan(tables, packet->vlan);

	if (!network)
		return EXTERNAL_NOT_OURS;
	if (packet->kind == PACKET_ARP || packet->kind == PACKET_ND)
		return resolve(worker, mbuf, packet, network);
	if (!mac_equal(&packet->destination_mac, &tables->underlay.mac) ||
	    (!external_find_claim(tables, network->number, &packet->destination) &&
	     !external_find_inside(tables, network->number, &packet->destination)))
		return EXTERNAL_NOT_OURS;
	if (packet->l3_offset > ETHERNET_HEADER_SIZE)
		vlan_remove(mbuf, packet);
	*number = network->number;
	if (relay_out(worker, mbuf, packet, network->number))
		return EXTERNAL_DONE;
	return EXTERNAL_PACKET;
}

// ---- announcing

// Does somebody else have it? What is answered is for conflict_heard.
static void probe(struct worker *worker, const struct network *network,
		  const struct ip_address *address)
{
	static const struct ip_address none, none_v4 = {.bytes = {[10] = 0xff, [11] = 0xff}};
	const struct mac_address *mac = &worker->tables->underlay.mac;
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(worker->engine->pool);

	if (mbuf && (ip_is_v4(address) ? arp_request(mbuf, mac, &none_v4, address)
				       : nd_request(mbuf, mac, &none, address)))
		external_send(worker, mbuf, network);
	else
		rte_pktmbuf_free(mbuf);
}

void external_announce_one(struct worker *worker, const struct network *network,
			   const struct ip_address *address)
{
	const struct mac_address *mac = &worker->tables->underlay.mac;
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(worker->engine->pool);

	if (mbuf && (ip_is_v4(address) ? arp_request(mbuf, mac, address, address)
				       : nd_announcement(mbuf, mac, address)))
		external_send(worker, mbuf, network);
	else
		rte_pktmbuf_free(mbuf);
}

// The address that is so many behind.
static struct ip_address nth(const struct ip_address *address, uint32_t number)
{
	struct ip_address result = *address;

	result.words[3] = htonl(ntohl(address->words[3]) + number);
	return result;
}

static void announce_claim(struct worker *worker, const struct external_prefix *claim)
{
	const struct network *network = &worker->tables->networks[claim->network];
	uint32_t count = claim->prefix.length >= 128 - 6 ? 1u << (128 - claim->prefix.length)
							 : ANNOUNCE_OF_PREFIX;

	for (uint32_t i = 0; i < count; i++) {
		struct ip_address address = nth(&claim->prefix.address, i);

		// Of a shared one, who stands in for this node may answer.
		if (worker->announce_rounds == ANNOUNCE_ROUNDS && !claim->shared)
			probe(worker, network, &address);
		external_announce_one(worker, network, &address);
	}
}

// Is to be announced, and came later than what was, by the configuration or because another node
// has fallen silent?
static bool is_new(const struct worker *worker, const struct external_prefix *claim)
{
	return external_answers(worker->tables, claim) &&
	       ((int32_t)(claim->generation - worker->announced) > 0 ||
		external_fell_silent(worker->tables, claim, worker->announced_at));
}

void external_announce(struct worker *worker, bool new_second)
{
	const struct external_prefixes *claims = &worker->tables->externals->claims;
	uint32_t done = 0;

	if (!new_second)
		return;
	if (!worker->announce_rounds) {
		bool any = false;

		for (uint32_t i = 0; i < claims->count && !any; i++)
			any = is_new(worker, &claims->list[i]);
		if (!any)
			return;
		worker->announce_rounds = ANNOUNCE_ROUNDS;
		worker->announce_to = worker->tables->generation;
		// Who falls silent in this second is seen in the next one.
		worker->announce_to_second = worker->now - 1;
		worker->announce_from = 0;
	}
	// Shared ones behind all others: by its own address a node is known to be there, and who
	// stood in for it says no more.
	for (; worker->announce_from < 2 * claims->count && done < ANNOUNCE_AT_ONCE;
	     worker->announce_from++) {
		bool shared = worker->announce_from >= claims->count;
		const struct external_prefix *claim =
			&claims->list[worker->announce_from - (shared ? claims->count : 0)];

		if (claim->shared != shared || !is_new(worker, claim))
			continue;
		announce_claim(worker, claim);
		done++;
	}
	if (worker->announce_from < 2 * claims->count)
		return;
	worker->announce_from = 0;
	// What has come meanwhile is behind `announce_to`, and has rounds of its own.
	if (--worker->announce_rounds == 0) {
		worker->announced = worker->announce_to;
		worker->announced_at = worker->announce_to_second;
	}
}
