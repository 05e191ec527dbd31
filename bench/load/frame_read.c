// What a frame that came is.

#include "frame.h"

#include <netinet/in.h>
#include <stddef.h>

#include <rte_ip.h>
#include <rte_tcp.h>
#include <rte_udp.h>
#include <rte_vxlan.h>

#define ICMPV6_NEIGHBOUR_FIRST 133
#define ICMPV6_NEIGHBOUR_LAST  137

static uint16_t ether_type(const uint8_t *frame)
{
	uint16_t type;

	memcpy(&type, frame + offsetof(struct rte_ether_hdr, ether_type), sizeof(type));
	return rte_be_to_cpu_16(type);
}

// Multicast, ARP, neighbour discovery.
static bool is_talk(const uint8_t *frame, uint16_t length)
{
	const unsigned int icmp = sizeof(struct rte_ether_hdr) + sizeof(struct rte_ipv6_hdr);

	if (length < sizeof(struct rte_ether_hdr))
		return false;
	if ((frame[0] & 1) != 0 || ether_type(frame) == RTE_ETHER_TYPE_ARP)
		return true;
	return ether_type(frame) == RTE_ETHER_TYPE_IPV6 && length > icmp &&
	       frame[sizeof(struct rte_ether_hdr) + offsetof(struct rte_ipv6_hdr, proto)] ==
		       IPPROTO_ICMPV6 &&
	       frame[icmp] >= ICMPV6_NEIGHBOUR_FIRST && frame[icmp] <= ICMPV6_NEIGHBOUR_LAST;
}

// Is there IP at `ip` from and to these, without options and fragments?
static bool ip_matches(const uint8_t *ip, const struct address *from, const struct address *to,
		       uint8_t protocol)
{
	const struct rte_ipv4_hdr *v4 = (const void *)ip;
	const struct rte_ipv6_hdr *v6 = (const void *)ip;

	if (from->is_v6)
		return v6->proto == protocol && memcmp(v6->src_addr, from->bytes, 16) == 0 &&
		       memcmp(v6->dst_addr, to->bytes, 16) == 0;
	return v4->version_ihl == RTE_IPV4_VHL_DEF && v4->next_proto_id == protocol &&
	       (v4->fragment_offset &
		rte_cpu_to_be_16(RTE_IPV4_HDR_MF_FLAG | RTE_IPV4_HDR_OFFSET_MASK)) == 0 &&
	       memcmp(&v4->src_addr, from->bytes, 4) == 0 &&
	       memcmp(&v4->dst_addr, to->bytes, 4) == 0;
}

static bool outer_matches(const struct frames *frames, const uint8_t *frame, uint16_t length)
{
	const struct tunnel_options *tunnel = &frames->options->tunnel;
	uint16_t type = tunnel->local.is_v6 ? RTE_ETHER_TYPE_IPV6 : RTE_ETHER_TYPE_IPV4;
	struct rte_vxlan_hdr vxlan;
	struct rte_udp_hdr udp;

	if (length < frames->outer_length ||
	    memcmp(frame, &tunnel->local_mac, sizeof(tunnel->local_mac)) != 0 ||
	    ether_type(frame) != type)
		return false;
	memcpy(&vxlan, frame + frames->outer_length - sizeof(vxlan), sizeof(vxlan));
	memcpy(&udp, frame + frames->outer_length - sizeof(vxlan) - sizeof(udp), sizeof(udp));
	return ip_matches(frame + sizeof(struct rte_ether_hdr), &tunnel->remote, &tunnel->local,
			  IPPROTO_UDP) &&
	       udp.dst_port == rte_cpu_to_be_16(RTE_VXLAN_DEFAULT_PORT) &&
	       (vxlan.vx_flags & rte_cpu_to_be_32(0x08000000)) != 0 &&
	       rte_be_to_cpu_32(vxlan.vx_vni) >> 8 == tunnel->vni;
}

static bool ports_read(const struct frames *frames, const uint8_t *transport, uint32_t *index)
{
	uint16_t ports[2];
	unsigned int client, server;

	memcpy(ports, transport, sizeof(ports));
	client = rte_be_to_cpu_16(ports[frames->side == 0]);
	server = rte_be_to_cpu_16(ports[frames->side == 1]);
	if (client < CLIENT_PORT || client >= CLIENT_PORT + CLIENT_PORTS || server < SERVER_PORT)
		return false;
	*index = (server - SERVER_PORT) * CLIENT_PORTS + client - CLIENT_PORT;
	return true;
}

// Of a client that is seen from outside, by its own number; and what it is there.
static bool outside_read(const struct frames *frames, const uint8_t *frame, uint32_t *index)
{
	struct rte_ipv4_hdr ip;
	struct rte_udp_hdr udp;
	uint32_t server;

	memcpy(&ip, frame + frames->ip_offset, sizeof(ip));
	memcpy(&udp, frame + frames->transport_offset, sizeof(udp));
	memcpy(index, frame + frames->payload_offset, sizeof(*index));
	server = frames->addresses[1] ? frame_address(frames, 1, *index)
				      : rte_cpu_to_be_32(frames->first[1]);
	if (udp.dst_port != rte_cpu_to_be_16((uint16_t)(SERVER_PORT + *index / CLIENT_PORTS)) ||
	    ip.version_ihl != RTE_IPV4_VHL_DEF || ip.next_proto_id != IPPROTO_UDP ||
	    ip.dst_addr != server)
		return false;
	frames->outside[*index % OUTSIDE_ENDS] =
		(struct outside){.address = ip.src_addr, .port = udp.src_port};
	return true;
}

static void segment_read(const uint8_t *transport, struct segment *segment)
{
	struct rte_tcp_hdr tcp;

	memcpy(&tcp, transport, sizeof(tcp));
	segment->sequence = rte_be_to_cpu_32(tcp.sent_seq);
	segment->acknowledged = rte_be_to_cpu_32(tcp.recv_ack);
	segment->flags = tcp.tcp_flags;
}

// Payload of the IP packet: what Ethernet adds to short ones is not in it.
static unsigned int ip_payload(const uint8_t *ip, bool is_v6)
{
	const struct rte_ipv4_hdr *v4 = (const void *)ip;
	const struct rte_ipv6_hdr *v6 = (const void *)ip;

	return is_v6 ? rte_be_to_cpu_16(v6->payload_len)
		     : rte_be_to_cpu_16(v4->total_length) - (unsigned int)sizeof(*v4);
}

// Is there IP of the connection at `ip`?
static bool is_of(const struct frames *frames, const uint8_t *ip, uint32_t index)
{
	const struct address *seen = frames->options->address[frames->side];
	struct address addresses[SIDES] = {seen[0], seen[1]};

	for (unsigned int whose = 0; whose < SIDES; whose++) {
		uint32_t address;

		if (!frames->addresses[whose])
			continue;
		address = frame_address(frames, whose, index);
		memcpy(addresses[whose].bytes, &address, sizeof(address));
	}
	return ip_matches(ip, &addresses[!frames->side], &addresses[frames->side],
			  frames->is_tcp ? IPPROTO_TCP : IPPROTO_UDP);
}

enum frame_verdict frame_read(const struct frames *frames, const uint8_t *frame, uint16_t length,
			      struct seen *seen)
{
	const struct options *options = frames->options;
	const uint16_t type = frames->is_v6 ? RTE_ETHER_TYPE_IPV6 : RTE_ETHER_TYPE_IPV4;
	const uint8_t *inner = frame + frames->outer_length;
	const uint8_t *transport = frame + frames->transport_offset;
	unsigned int headers = frames->payload_offset - frames->transport_offset, payload;

	if (is_talk(frame, length))
		return FRAME_TALK;
	if (frames->outer_length && !outer_matches(frames, frame, length))
		return FRAME_FOREIGN;
	if (frames->outer_length && is_talk(inner, length - frames->outer_length))
		return FRAME_TALK;
	if (length < frames->payload_offset ||
	    memcmp(inner, &options->mac[frames->side], sizeof(options->mac[0])) != 0 ||
	    ether_type(inner) != type)
		return FRAME_FOREIGN;
	if (frames->outside) {
		if (!outside_read(frames, frame, &seen->segment.index))
			return FRAME_FOREIGN;
	} else if (!ports_read(frames, transport, &seen->segment.index) ||
		   !is_of(frames, frame + frames->ip_offset, seen->segment.index)) {
		return FRAME_FOREIGN;
	}
	payload = ip_payload(frame + frames->ip_offset, frames->is_v6) - headers;
	// All of the load's have the one length, or (TCP) nothing.
	if (payload != frames->payload_length && !(frames->is_tcp && payload == 0))
		return FRAME_FOREIGN;
	if (length < frames->payload_offset + payload)
		return FRAME_FOREIGN;
	if (frames->is_tcp)
		segment_read(transport, &seen->segment);
	seen->payload_length = (uint16_t)payload;
	seen->stamped = frames->stamped && payload != 0;
	if (seen->stamped)
		memcpy(&seen->stamp, frame + frames->payload_offset, sizeof(seen->stamp));
	return FRAME_OURS;
}
