// Connections whose packets leave with other addresses or ports than they came with. Nothing is
// kept of it but the keys of both directions: each is what the other one's packets leave as,
// reversed.

#include <rte_ip.h>

#include "packet/family.h"
#include "packet/parse.h"
#include "packet/translate.h"
#include "port/crc32c.h"
#include "port/offload.h"
#include "worker/worker.h"

// Source ports that are tried for a connection.
#define PORTS_TRIED 256

static bool ports_differ(const struct packet *packet, const struct flow_key *back)
{
	return packet->key.source_port != back->destination_port ||
	       packet->key.destination_port != back->source_port;
}

// A CRC is made anew only where it was right: what was broken on its way stays so.
static bool translate_sctp(struct rte_mbuf *mbuf, const struct packet *packet,
			   const struct flow_key *back)
{
	uint32_t start = packet->l4_offset, end = packet->l3_offset + packet->ip_length, crc;
	uint8_t *field = rte_pktmbuf_mtod_offset(mbuf, uint8_t *, start + SCTP_CRC_OFFSET);
	bool right;

	if (packet->kind != PACKET_IP || packet->fragments)
		return false;
	memcpy(&crc, field, sizeof(crc));
	right = crc32c_complete(mbuf, start, end, start + SCTP_CRC_OFFSET) &&
		memcmp(&crc, field, sizeof(crc)) == 0;
	packet_translate(rte_pktmbuf_mtod(mbuf, uint8_t *), rte_pktmbuf_data_len(mbuf), packet,
			 back, false);
	if (right)
		crc32c_complete(mbuf, start, end, start + SCTP_CRC_OFFSET);
	else
		memcpy(field, &crc, sizeof(crc));
	return true;
}

bool translation_apply(struct rte_mbuf *mbuf, const struct packet *packet,
		       const struct flow_key *back, unsigned int hops)
{
	uint8_t *data = rte_pktmbuf_mtod(mbuf, uint8_t *);
	bool v4 = ip_is_v4(&packet->source);

	if (packet->key.protocol == IPPROTO_SCTP && packet->kind != PACKET_ICMP_ERROR &&
	    packet->l4_offset && ports_differ(packet, back)) {
		if (!translate_sctp(mbuf, packet, back))
			return false;
	} else {
		packet_translate(data, rte_pktmbuf_data_len(mbuf), packet, back,
				 mbuf->ol_flags & PACKET_UNFINISHED);
	}
	if (hops && v4)
		ipv4_decrement_ttl(data + packet->l3_offset);
	else if (hops)
		data[packet->l3_offset + 7]--;
	return true;
}

static void set_ethernet_type(uint8_t *data, bool v4)
{
	uint16_t type = htons(v4 ? ETHERNET_TYPE_IPV4 : ETHERNET_TYPE_IPV6);

	memcpy(data + ETHERNET_HEADER_SIZE - sizeof(type), &type, sizeof(type));
}

static bool change_error(struct rte_mbuf *mbuf, const struct packet *packet,
			 const struct flow_key *back, unsigned int hops)
{
	uint8_t result[FAMILY_ERROR_SIZE], *data = rte_pktmbuf_mtod(mbuf, uint8_t *);
	uint32_t size;

	if (mbuf->nb_segs > 1)
		return false;
	size = family_translate_error(data, packet, back, hops, result);
	if (!size || mbuf->data_off + ETHERNET_HEADER_SIZE + size > mbuf->buf_len)
		return false;
	set_ethernet_type(data, ip_is_v4(&back->source));
	memcpy(data + ETHERNET_HEADER_SIZE, result, size);
	mbuf->data_len = (uint16_t)(ETHERNET_HEADER_SIZE + size);
	mbuf->pkt_len = mbuf->data_len;
	return true;
}

// UDP over IPv6 has a checksum (RFC 7915 section 4.5).
static bool complete_udp(struct rte_mbuf *mbuf, const struct packet *packet)
{
	uint8_t *field = rte_pktmbuf_mtod_offset(mbuf, uint8_t *, packet->l4_offset + 6);
	uint32_t length = packet->ip_length - (packet->l4_offset - packet->l3_offset);
	uint16_t sum;

	if (packet->key.protocol != IPPROTO_UDP || packet->kind != PACKET_IP ||
	    mbuf->ol_flags & PACKET_UNFINISHED || !ip_is_v4(&packet->source) || read16(field))
		return true;
	if (rte_raw_cksum_mbuf(mbuf, packet->l4_offset, length, &sum) < 0)
		return false;
	sum = checksum_finish(
		checksum_pseudo(&packet->source, &packet->destination, IPPROTO_UDP, length) + sum);
	sum = sum ? sum : 0xffff;
	memcpy(field, &sum, sizeof(sum));
	return true;
}

// In place of what is in front of `payload`, from the start of the frame. False: no room.
static bool set_header(struct rte_mbuf *mbuf, uint32_t payload, const uint8_t *header,
		       uint32_t size, bool v4)
{
	uint8_t macs[2 * sizeof(struct mac_address)], *data = rte_pktmbuf_mtod(mbuf, uint8_t *);
	int growth = ETHERNET_HEADER_SIZE + (int)size - (int)payload;

	if (growth > (int)rte_pktmbuf_headroom(mbuf))
		return false;
	memcpy(macs, data, sizeof(macs));
	data = (uint8_t *)(growth > 0 ? rte_pktmbuf_prepend(mbuf, (uint16_t)growth)
				      : rte_pktmbuf_adj(mbuf, (uint16_t)-growth));
	memcpy(data, macs, sizeof(macs));
	set_ethernet_type(data, v4);
	memcpy(data + ETHERNET_HEADER_SIZE, header, size);
	return true;
}

static bool change_fragment(struct rte_mbuf *mbuf, const struct packet *packet,
			    const struct fragment *fragment, const struct flow_key *back,
			    unsigned int hops)
{
	uint8_t header[FAMILY_FRAGMENT_HEADER];
	uint32_t size;

	// There is one checksum for all of them.
	if (mbuf->ol_flags & PACKET_UNFINISHED)
		return false;
	size = family_translate_fragment(rte_pktmbuf_mtod(mbuf, uint8_t *), packet, fragment, back,
					 hops, header);
	return size && set_header(mbuf, fragment->payload, header, size, ip_is_v4(&back->source));
}

bool translation_change_family(struct rte_mbuf *mbuf, const struct packet *packet,
			       const struct flow_key *back, unsigned int hops)
{
	uint8_t header[IPV6_HEADER_SIZE], *data = rte_pktmbuf_mtod(mbuf, uint8_t *);
	bool v4 = ip_is_v4(&back->source);
	struct fragment fragment;

	if (packet->l3_offset != ETHERNET_HEADER_SIZE ||
	    mbuf->ol_flags & (MBUF_DATAGRAM | PACKET_UFO))
		return false;
	if (fragment_read(data, rte_pktmbuf_data_len(mbuf), packet, &fragment))
		return change_fragment(mbuf, packet, &fragment, back, hops);
	if (!family_can(data, packet))
		return false;
	if (packet->kind == PACKET_ICMP_ERROR)
		return change_error(mbuf, packet, back, hops);
	if (!complete_udp(mbuf, packet))
		return false;
	family_translate(data, packet, back, hops, mbuf->ol_flags & PACKET_UNFINISHED,
			 (uint16_t)rte_rdtsc(), header);
	if (!set_header(mbuf, packet->l4_offset, header, v4 ? IPV4_HEADER_SIZE : IPV6_HEADER_SIZE,
			v4))
		return false;
	if (mbuf->ol_flags & PACKET_UNFINISHED) {
		mbuf->ol_flags &= ~(RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IPV6);
		mbuf->ol_flags |= v4 ? RTE_MBUF_F_TX_IPV4 : RTE_MBUF_F_TX_IPV6;
		mbuf->l3_len = v4 ? IPV4_HEADER_SIZE : IPV6_HEADER_SIZE;
	}
	return true;
}

uint32_t translation_family_mtu(const struct rte_mbuf *mbuf, const struct packet *packet,
				uint32_t mtu)
{
	const uint8_t *data = rte_pktmbuf_mtod(mbuf, const uint8_t *);
	const uint8_t *ip = data + packet->l3_offset;
	struct fragment fragment;
	uint32_t room;

	if (!ip_is_v4(&packet->source)) {
		// Of errors the outer header is the one that counts.
		room = packet->l4_offset;
		if (fragment_read(data, rte_pktmbuf_data_len(mbuf), packet, &fragment))
			room = fragment.payload;
		return room ? mtu + room - packet->l3_offset - IPV4_HEADER_SIZE : mtu;
	}
	room = mtu + (ip[0] & 15u) * 4 - IPV6_HEADER_SIZE;
	// What is a fragment, or will be, has a header for that.
	if (read16(ip + 6) & htons(0x3fff) ||
	    (!(read16(ip + 6) & htons(0x4000)) && packet->ip_length > room &&
	     !(mbuf->ol_flags & PACKET_SEGMENTATION)))
		room -= 8;
	return room;
}

void translation_say(struct worker *worker, const struct packet *packet,
		     const struct flow_key *back)
{
	struct flow_key to = flow_key_reverse(back, back->network);
	char source[IP_TEXT_SIZE], destination[IP_TEXT_SIZE];

	ip_format(&to.source, source);
	ip_format(&to.destination, destination);
	if (to.protocol == IPPROTO_TCP || to.protocol == IPPROTO_UDP || to.protocol == IPPROTO_SCTP)
		worker_say(worker, "translation", "from %s port %u to %s port %u", source,
			   rte_be_to_cpu_16(to.source_port), destination,
			   rte_be_to_cpu_16(to.destination_port));
	else
		worker_say(worker, "translation", "from %s to %s", source, destination);
}

// By how much the shards of a connection's two keys differ.
static uint8_t shards_apart(const struct worker *worker, const struct flow_key *reply,
			    struct flow_hash hash)
{
	return (uint8_t)(flow_hash(&worker->flows->secret, reply).shard ^ hash.shard);
}

// Is the key free, and its owner the connection's?
static bool fits(const struct worker *worker, const struct flow_key *reply, uint32_t owner,
		 flow_reference replaced)
{
	struct flow_hash hash = flow_hash(&worker->flows->secret, reply);
	flow_reference found;

	if (flow_table_owner(worker->flows, hash) != owner)
		return false;
	found = flow_table_find(worker->flows, reply, hash);
	return !found || (replaced && found >> 1 == replaced >> 1);
}

static bool has_ports(const struct flow_key *key)
{
	switch (key->protocol) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_SCTP:
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return true;
	default:
		return false;
	}
}

bool translation_fit(const struct worker *worker, struct walk *walk, struct flow_hash hash,
		     flow_reference replaced)
{
	const struct flow_key *key = &walk->packet->key;
	uint32_t owner = flow_table_owner(worker->flows, hash);
	struct flow_key reply;
	uint16_t port;

	if (key->flags & FLOW_KEY_ONE_WAY)
		return true;
	// What was recalled leaves this out.
	walk->destination = &worker->tables->endpoints[walk->action.destination];
	reply = walk_reply_key(walk);
	if (likely(fits(worker, &reply, owner, replaced)))
		return true;
	// A mapping's ports are given by the Nat.
	if (walk->mapping && !walk->expected) {
		if (!nat_choose_again(walk, shards_apart(worker, &reply, hash)))
			return false;
		reply = walk_reply_key(walk);
		return fits(worker, &reply, owner, replaced);
	}
	// Another one that can't be foretold from outside (RFC 6056 section 3.3).
	for (uint32_t i = 0; has_ports(key) && i < PORTS_TRIED; i++) {
		port = (uint16_t)(1024 + (hash.bucket + i * 40503u) % (65536 - 1024));
		walk->leaving.source_port = rte_cpu_to_be_16(port);
		reply = walk_reply_key(walk);
		if (!fits(worker, &reply, owner, replaced))
			continue;
		walk_translate(walk);
		return true;
	}
	return false;
}
