#include <arpa/inet.h>

#include <rte_mbuf.h>

#include "layer/address_resolution/address_resolution.h"
#include "packet/datagram.h"
#include "packet/header.h"

// NS and NA: type, code, checksum, flags, target; then options.
#define ND_HOPS		  255
#define ND_MESSAGE_SIZE	  24
#define ND_OPTION_SIZE	  8
#define ND_FRAME_SIZE	  (ETHERNET_HEADER_SIZE + IPV6_HEADER_SIZE + ND_MESSAGE_SIZE + ND_OPTION_SIZE)
#define ND_OPTION_SOURCE  1
#define ND_OPTION_TARGET  2
#define ND_FLAG_ROUTER	  0x80
#define ND_FLAG_SOLICITED 0x40
#define ND_FLAG_OVERRIDE  0x20

static const struct ip_address unspecified;
static const struct ip_address all_nodes = {.bytes = {0xff, 2, [15] = 1}};
static const struct mac_address all_nodes_mac = {{0x33, 0x33, 0, 0, 0, 1}};

static bool read_options(const uint8_t *option, const uint8_t *end, uint8_t wanted,
			 struct mac_address *mac)
{
	while (option < end) {
		uint32_t size;

		if (end - option < ND_OPTION_SIZE || option[1] == 0)
			return false;
		size = option[1] * 8u;
		if (size > (uint32_t)(end - option))
			return false;
		if (option[0] == wanted)
			memcpy(mac, option + 2, 6);
		option += size;
	}
	return true;
}

// The solicited-node address (RFC 4291 section 2.7.1), and its Ethernet address (RFC 2464 section
// 7).
static struct ip_address solicited_node(const struct ip_address *target)
{
	struct ip_address address = {.bytes = {0xff, 2, [11] = 1, [12] = 0xff}};

	memcpy(address.bytes + 13, target->bytes + 13, 3);
	return address;
}

// A probe for duplicates has no sender, so it gives no link-layer address, and asks the target's
// group (RFC 4861 section 7.1.1).
static enum drop_reason check_solicitation(const struct packet *packet,
					   const struct address_resolution *message)
{
	static const struct mac_address none;
	struct ip_address group = solicited_node(&message->target);

	if (!ip_equal(&packet->source, &unspecified))
		return DROP_NONE;
	return ip_equal(&packet->destination, &group) && mac_equal(&message->sender_mac, &none)
		       ? DROP_NONE
		       : DROP_ND_MALFORMED;
}

// Nobody can have been asked by a group (RFC 4861 section 7.1.2).
static enum drop_reason check_advertisement(const struct packet *packet, uint8_t flags)
{
	return (flags & ND_FLAG_SOLICITED) && ip_is_multicast(&packet->destination)
		       ? DROP_ND_MALFORMED
		       : DROP_NONE;
}

enum drop_reason nd_read(const uint8_t *data, uint32_t available, const struct packet *packet,
			 struct address_resolution *message)
{
	const uint8_t *nd = data + packet->l4_offset;
	uint32_t end = packet->l3_offset + packet->ip_length, size = end - packet->l4_offset;
	uint64_t sum;

	memset(message, 0, sizeof(*message));
	// What was sent from afar has lost a hop. Neighbour discovery is never so long that it is
	// cut.
	if (packet->ttl != ND_HOPS || packet->icmp_code != 0 || end > available)
		return DROP_ND_MALFORMED;
	sum = checksum_pseudo(&packet->source, &packet->destination, IPPROTO_ICMPV6, size);
	if (checksum_finish(checksum_add(sum, nd, size)) != 0)
		return DROP_ND_MALFORMED;
	if (packet->icmp_type != ND_NEIGHBOUR_SOLICITATION &&
	    packet->icmp_type != ND_NEIGHBOUR_ADVERTISEMENT) {
		message->router_discovery = true;
		message->solicitation = packet->icmp_type == ND_ROUTER_SOLICITATION;
		return DROP_NONE;
	}
	if (size < ND_MESSAGE_SIZE)
		return DROP_ND_MALFORMED;
	message->solicitation = packet->icmp_type == ND_NEIGHBOUR_SOLICITATION;
	memcpy(&message->target, nd + 8, 16);
	if (ip_is_multicast(&message->target) || ip_is_v4(&message->target))
		return DROP_ND_MALFORMED;
	message->sender = message->solicitation ? packet->source : message->target;
	if (!read_options(nd + ND_MESSAGE_SIZE, nd + size,
			  message->solicitation ? ND_OPTION_SOURCE : ND_OPTION_TARGET,
			  &message->sender_mac))
		return DROP_ND_MALFORMED;
	return message->solicitation ? check_solicitation(packet, message)
				     : check_advertisement(packet, nd[4]);
}

// It has no sender that could be answered.
static bool is_probe(uint8_t type, const struct ip_address *source)
{
	return type == ND_NEIGHBOUR_SOLICITATION && ip_equal(source, &unspecified);
}

static void write_nd(uint8_t *frame, const struct mac_address *to, const struct mac_address *from,
		     const struct ip_address *source, const struct ip_address *destination,
		     uint8_t type, uint8_t flags, const struct ip_address *target)
{
	struct datagram datagram = {
		.destination_mac = *to,
		.source_mac = *from,
		.destination = *destination,
		.source = *source,
		.hop_limit = ND_HOPS,
	};
	uint8_t *nd = frame + datagram_offset(&datagram);

	memset(nd, 0, ND_MESSAGE_SIZE);
	nd[0] = type;
	nd[4] = flags;
	memcpy(nd + 8, target, 16);
	nd[ND_MESSAGE_SIZE] =
		type == ND_NEIGHBOUR_SOLICITATION ? ND_OPTION_SOURCE : ND_OPTION_TARGET;
	nd[ND_MESSAGE_SIZE + 1] = 1;
	memcpy(nd + ND_MESSAGE_SIZE + 2, from, 6);
	datagram_write(&datagram, frame, IPPROTO_ICMPV6, ICMP_CHECKSUM_OFFSET,
		       ND_MESSAGE_SIZE + (is_probe(type, source) ? 0 : ND_OPTION_SIZE));
}

bool nd_answer(struct rte_mbuf *mbuf, const struct packet *packet,
	       const struct address_resolution *message, const struct mac_address *mac, bool router)
{
	// A probe for duplicates has no sender: everybody is told (RFC 4861 section 7.2.4).
	bool probe = ip_equal(&message->sender, &unspecified);
	uint8_t flags = (uint8_t)((router ? ND_FLAG_ROUTER : 0) | (probe ? 0 : ND_FLAG_SOLICITED) |
				  ND_FLAG_OVERRIDE);
	uint8_t *frame;

	// Whoever pads the frame far enough sends it in several segments.
	rte_pktmbuf_free(mbuf->next);
	rte_pktmbuf_reset(mbuf);
	frame = (uint8_t *)rte_pktmbuf_append(mbuf, ND_FRAME_SIZE);
	if (!frame)
		return false;
	write_nd(frame, probe ? &all_nodes_mac : &packet->source_mac, mac, &message->target,
		 probe ? &all_nodes : &message->sender, ND_NEIGHBOUR_ADVERTISEMENT, flags,
		 &message->target);
	return true;
}

bool nd_request(struct rte_mbuf *mbuf, const struct mac_address *sender_mac,
		const struct ip_address *sender, const struct ip_address *target)
{
	struct ip_address group = solicited_node(target);
	struct mac_address group_mac = {{0x33, 0x33}};
	uint8_t *frame = (uint8_t *)rte_pktmbuf_append(mbuf, ND_FRAME_SIZE);

	if (!frame)
		return false;
	memcpy(group_mac.bytes + 2, group.bytes + 12, 4);
	write_nd(frame, &group_mac, sender_mac, sender, &group, ND_NEIGHBOUR_SOLICITATION, 0,
		 target);
	if (is_probe(ND_NEIGHBOUR_SOLICITATION, sender))
		rte_pktmbuf_trim(mbuf, ND_OPTION_SIZE);
	return true;
}

bool nd_announcement(struct rte_mbuf *mbuf, const struct mac_address *mac,
		     const struct ip_address *address)
{
	uint8_t *frame = (uint8_t *)rte_pktmbuf_append(mbuf, ND_FRAME_SIZE);

	if (!frame)
		return false;
	write_nd(frame, &all_nodes_mac, mac, address, &all_nodes, ND_NEIGHBOUR_ADVERTISEMENT,
		 ND_FLAG_OVERRIDE, address);
	return true;
}
