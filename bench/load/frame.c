// Frames: their headers, and reading them.

#include "frame.h"

#include <netinet/in.h>
#include <stdlib.h>

#include <rte_ip.h>
#include <rte_tcp.h>
#include <rte_udp.h>
#include <rte_vxlan.h>

#define HOP_LIMIT      64
#define TCP_WINDOW     65535
#define FRAME_SIZE_MIN 60
// The first word of a VXLAN header: the VNI is valid (RFC 7348, section 5).
#define VXLAN_VALID 0x08000000u

static unsigned int ip_length(bool is_v6)
{
	return is_v6 ? sizeof(struct rte_ipv6_hdr) : sizeof(struct rte_ipv4_hdr);
}

static unsigned int headers_length(const struct options *options)
{
	return (unsigned int)sizeof(struct rte_ether_hdr) + ip_length(options->is_v6) +
	       (options->is_tcp ? sizeof(struct rte_tcp_hdr) : sizeof(struct rte_udp_hdr));
}

unsigned int frames_size_min(const struct options *options)
{
	// With exchanges of data there has to be some.
	unsigned int payload = options->latency ? sizeof(struct stamp) : options->is_tcp ? 1 : 0;
	unsigned int length = headers_length(options) + payload;

	return length < FRAME_SIZE_MIN ? FRAME_SIZE_MIN : length;
}

static void ip_write(uint8_t *at, const struct address *from, const struct address *to,
		     uint8_t protocol, size_t payload)
{
	struct rte_ipv4_hdr v4 = {0};
	struct rte_ipv6_hdr v6 = {0};

	if (from->is_v6) {
		v6.vtc_flow = rte_cpu_to_be_32(6u << 28);
		v6.payload_len = rte_cpu_to_be_16((uint16_t)payload);
		v6.proto = protocol;
		v6.hop_limits = HOP_LIMIT;
		memcpy(v6.src_addr, from->bytes, sizeof(v6.src_addr));
		memcpy(v6.dst_addr, to->bytes, sizeof(v6.dst_addr));
		memcpy(at, &v6, sizeof(v6));
		return;
	}
	v4.version_ihl = RTE_IPV4_VHL_DEF;
	v4.total_length = rte_cpu_to_be_16((uint16_t)(sizeof(v4) + payload));
	v4.fragment_offset = rte_cpu_to_be_16(RTE_IPV4_HDR_DF_FLAG);
	v4.time_to_live = HOP_LIMIT;
	v4.next_proto_id = protocol;
	memcpy(&v4.src_addr, from->bytes, sizeof(v4.src_addr));
	memcpy(&v4.dst_addr, to->bytes, sizeof(v4.dst_addr));
	v4.hdr_checksum = rte_ipv4_cksum(&v4);
	memcpy(at, &v4, sizeof(v4));
}

static void ether_write(uint8_t *at, const struct rte_ether_addr *from,
			const struct rte_ether_addr *to, bool is_v6)
{
	struct rte_ether_hdr ether = {
		.dst_addr = *to,
		.src_addr = *from,
		.ether_type = rte_cpu_to_be_16(is_v6 ? RTE_ETHER_TYPE_IPV6 : RTE_ETHER_TYPE_IPV4),
	};

	memcpy(at, &ether, sizeof(ether));
}

// Ethernet, IP, UDP without checksum (RFC 6935 for IPv6) and VXLAN around `inner` bytes.
static void outer_write(const struct frames *frames, uint8_t *at, size_t inner)
{
	const struct tunnel_options *tunnel = &frames->options->tunnel;
	size_t length = inner + sizeof(struct rte_vxlan_hdr) + sizeof(struct rte_udp_hdr);
	struct rte_udp_hdr udp = {
		.dst_port = rte_cpu_to_be_16(RTE_VXLAN_DEFAULT_PORT),
		.dgram_len = rte_cpu_to_be_16((uint16_t)length),
	};
	struct rte_vxlan_hdr vxlan = {
		.vx_flags = rte_cpu_to_be_32(VXLAN_VALID),
		.vx_vni = rte_cpu_to_be_32(tunnel->vni << 8),
	};

	ether_write(at, &tunnel->local_mac, &frames->next_hop, tunnel->local.is_v6);
	at += sizeof(struct rte_ether_hdr);
	ip_write(at, &tunnel->local, &tunnel->remote, IPPROTO_UDP, length);
	at += ip_length(tunnel->local.is_v6);
	memcpy(at, &udp, sizeof(udp));
	memcpy(at + sizeof(udp), &vxlan, sizeof(vxlan));
}

static void transport_write(const struct frames *frames, uint8_t *at, enum frame_kind kind,
			    uint16_t payload)
{
	uint32_t own = frames->side == 0 ? TCP_CLIENT_START : TCP_SERVER_START;
	uint32_t other = frames->side == 0 ? TCP_SERVER_START : TCP_CLIENT_START;
	struct rte_tcp_hdr tcp = {.data_off = sizeof(tcp) / 4 << 4,
				  .rx_win = rte_cpu_to_be_16(TCP_WINDOW)};
	struct rte_udp_hdr udp = {.dgram_len = rte_cpu_to_be_16((uint16_t)(sizeof(udp) + payload))};

	if (!frames->is_tcp) {
		memcpy(at, &udp, sizeof(udp));
		return;
	}
	if (kind == FRAME_STREAM) {
		tcp.sent_seq = rte_cpu_to_be_32(own + 1);
		tcp.recv_ack = rte_cpu_to_be_32(other + 1);
		tcp.tcp_flags = TCP_ACK | TCP_PSH;
	}
	memcpy(at, &tcp, sizeof(tcp));
}

static void template_init(struct frames *frames, enum frame_kind kind)
{
	const struct options *options = frames->options;
	struct frame_template *template = &frames->templates[kind];
	const uint8_t protocol = frames->is_tcp ? IPPROTO_TCP : IPPROTO_UDP;
	uint16_t payload = kind == FRAME_SEGMENT ? 0 : frames->payload_length;
	uint16_t transport = frames->payload_offset - frames->transport_offset + payload;
	uint16_t inner = frames->transport_offset - frames->outer_length + transport;
	uint8_t *inner_at = template->bytes + frames->outer_length;
	uint8_t *ip = template->bytes + frames->ip_offset;
	const struct address *seen = options->address[frames->side];

	// A card would fill it up.
	if (inner < FRAME_SIZE_MIN)
		inner = FRAME_SIZE_MIN;
	memset(template->bytes, 0, sizeof(template->bytes));
	template->length = frames->outer_length + inner;
	if (frames->outer_length)
		outer_write(frames, template->bytes, inner);
	ether_write(inner_at, &options->mac[frames->side],
		    frames->outer_length ? &options->next_hop[frames->side] : &frames->next_hop,
		    frames->is_v6);
	ip_write(ip, &seen[frames->side], &seen[!frames->side], protocol, transport);
	transport_write(frames, template->bytes + frames->transport_offset, kind, payload);
	if (!frames->has_sum)
		return;
	template->sum = rte_raw_cksum(template->bytes + frames->transport_offset, transport);
	template->sum += frames->is_v6 ? rte_ipv6_phdr_cksum((struct rte_ipv6_hdr *)(void *)ip, 0)
				       : rte_ipv4_phdr_cksum((struct rte_ipv4_hdr *)(void *)ip, 0);
}

static void templates_init(struct frames *frames)
{
	frames->version++;
	template_init(frames, FRAME_STREAM);
	if (frames->is_tcp) {
		template_init(frames, FRAME_SEGMENT);
		template_init(frames, FRAME_SEGMENT_DATA);
	}
}

bool frames_init(struct frames *frames, const struct options *options, unsigned int side)
{
	unsigned int headers = headers_length(options);

	memset(frames, 0, sizeof(*frames));
	frames->side = side;
	frames->options = options;
	frames->is_tcp = options->is_tcp;
	frames->is_v6 = options->is_v6;
	// UDP over IPv4 may go without.
	frames->has_sum = options->is_tcp || options->is_v6 || options->checksum;
	frames->stamped = options->latency;
	frames->numbered = options->outside && side == 0;
	if (options->outside && side == 1) {
		frames->outside = calloc(OUTSIDE_ENDS, sizeof(frames->outside[0]));
		if (!frames->outside)
			return false;
	}
	for (unsigned int whose = 0; whose < SIDES; whose++) {
		uint32_t first;

		memcpy(&first, options->address[side][whose].bytes, sizeof(first));
		frames->first[whose] = rte_be_to_cpu_32(first);
		if (options->addresses[whose] > 1)
			frames->addresses[whose] = options->addresses[whose];
	}
	// The one that it was last seen with.
	if (frames->outside)
		frames->addresses[0] = 1;
	if (options->tunnel.enabled && side == 1)
		frames->outer_length =
			(uint16_t)(sizeof(struct rte_ether_hdr) +
				   ip_length(options->tunnel.local.is_v6) +
				   sizeof(struct rte_udp_hdr) + sizeof(struct rte_vxlan_hdr));
	frames->ip_offset = frames->outer_length + (uint16_t)sizeof(struct rte_ether_hdr);
	frames->transport_offset = frames->ip_offset + (uint16_t)ip_length(options->is_v6);
	frames->payload_offset = frames->outer_length + (uint16_t)headers;
	frames->payload_length = (uint16_t)(options->size - headers);
	if (frames->outer_length)
		frames->next_hop = options->tunnel.remote_mac;
	else if (!frames->outside)
		frames->next_hop = options->next_hop[side];
	templates_init(frames);
	return true;
}

void frames_free(struct frames *frames)
{
	free(frames->outside);
}

void frames_set_next_hop(struct frames *frames, const struct rte_ether_addr *mac)
{
	frames->next_hop = *mac;
	templates_init(frames);
}

uint16_t frame_write_segment(const struct frames *frames, uint8_t *frame,
			     const struct segment *segment)
{
	enum frame_kind kind = segment->has_payload ? FRAME_SEGMENT_DATA : FRAME_SEGMENT;
	uint64_t sum = frame_patch(frames, frame, kind, segment->index, NULL);
	uint8_t *tcp = frame + frames->transport_offset;
	uint32_t numbers[2] = {rte_cpu_to_be_32(segment->sequence),
			       rte_cpu_to_be_32(segment->acknowledged)};
	uint16_t flags = rte_cpu_to_be_16(segment->flags), folded;

	// The flags are in the sum without the length of the header beside them, which the template
	// has.
	folded = frame_sum_fold(sum + numbers[0] + numbers[1] + flags);
	memcpy(tcp + offsetof(struct rte_tcp_hdr, sent_seq), numbers, sizeof(numbers));
	tcp[offsetof(struct rte_tcp_hdr, tcp_flags)] = segment->flags;
	memcpy(tcp + offsetof(struct rte_tcp_hdr, cksum), &folded, sizeof(folded));
	return frames->templates[kind].length;
}
