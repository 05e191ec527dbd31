// What the programs read of a frame. Included once, by programs.bpf.c.
//
// A frame that came through a tunnel is read from its inner Ethernet header on, at `base`; 0 for
// any other.

#pragma once

#define FRAGMENT    0x3fff
#define FLAGS_OTHER 0x27 // URG, RST, SYN, FIN
#define VXLAN_PORT  4789
#define VXLAN_FLAG  0x08000000 // the VNI is there

#define ECN_MASK 3
#define ECN_ECT1 1

struct segment {
	__u32 seq, end, ack, window;
};

// Of a tunnel packet.
struct outer {
	__u32 source[4];
	__u32 destination[4];
	__u8 macs[12];
	__u8 ecn;
};

struct view {
	struct outer outer;
	struct offload_key key;
	struct segment segment;
	__u8 macs[12];
	__u32 size; // of the IP packet, or of the largest that it is cut to
	__u8 ttl;
	__u8 ecn;
};

static __always_inline __u8 ipv6_ecn(const struct ipv6hdr *ip)
{
	return ((const __u8 *)ip)[1] >> 4 & ECN_MASK;
}

static __always_inline bool ipv4_checksum_valid(const struct iphdr *ip)
{
	const __u16 *words = (const __u16 *)ip;
	__u32 sum = 0;

#pragma unroll
	for (int i = 0; i < 10; i++)
		sum += words[i];
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16)(sum + (sum >> 16)) == 0xffff;
}

// A large send, of so many bytes of payload behind `header` ones from the IP header on: not into
// more segments, nor smaller ones, than Sluice allows.
static __always_inline bool read_segments(const struct __sk_buff *skb, __u32 header, __u32 payload,
					  __u32 smallest, __u32 most, struct view *view)
{
	__u32 size = skb->gso_size;

	if (!size)
		return true;
	view->size = header + size;
	return size >= smallest && payload <= size * most;
}

// `room`: bytes from `offset` to the end of the IP packet.
static __always_inline bool read_tcp(struct __sk_buff *skb, __u32 base, __u32 offset, __u32 room,
				     struct view *view)
{
	struct tcphdr tcp;
	__u8 flags;

	if (room < sizeof(tcp) || bpf_skb_load_bytes(skb, offset, &tcp, sizeof(tcp)) < 0)
		return false;
	flags = ((const __u8 *)&tcp)[13];
	if (!tcp.ack || (flags & FLAGS_OTHER) || tcp.doff < 5 || tcp.doff * 4u > room)
		return false;
	view->key.source_port = tcp.source;
	view->key.destination_port = tcp.dest;
	view->segment.seq = bpf_ntohl(tcp.seq);
	view->segment.end = view->segment.seq + room - tcp.doff * 4;
	view->segment.ack = bpf_ntohl(tcp.ack_seq);
	view->segment.window = bpf_ntohs(tcp.window);
	return read_segments(skb, offset - base - ETH_HLEN + tcp.doff * 4, room - tcp.doff * 4,
			     TCP_SEGMENT_MIN, TCP_SEGMENTS_MAX, view);
}

static __always_inline bool read_udp(struct __sk_buff *skb, __u32 base, __u32 offset, __u32 room,
				     struct view *view)
{
	struct udphdr udp;

	if (room < sizeof(udp) || bpf_skb_load_bytes(skb, offset, &udp, sizeof(udp)) < 0 ||
	    bpf_ntohs(udp.len) != room)
		return false;
	view->key.source_port = udp.source;
	view->key.destination_port = udp.dest;
	return read_segments(skb, offset - base - ETH_HLEN + sizeof(udp), room - sizeof(udp), 1,
			     UDP_SEGMENTS_MAX, view);
}

static __always_inline bool read_transport(struct __sk_buff *skb, __u32 base, __u32 offset,
					   __u32 room, struct view *view)
{
	if (view->key.protocol == IPPROTO_TCP)
		return read_tcp(skb, base, offset, room, view);
	if (view->key.protocol == IPPROTO_UDP)
		return read_udp(skb, base, offset, room, view);
	return false;
}

static __always_inline bool read_ipv4(struct __sk_buff *skb, __u32 base, struct view *view)
{
	struct iphdr ip;

	if (bpf_skb_load_bytes(skb, base + ETH_HLEN, &ip, sizeof(ip)) < 0 || ip.version != 4 ||
	    ip.ihl != 5 || (ip.frag_off & bpf_htons(FRAGMENT)) || !ipv4_checksum_valid(&ip))
		return false;
	view->size = bpf_ntohs(ip.tot_len);
	// Neither cut off nor padded.
	if (view->size != skb->len - base - ETH_HLEN || view->size < sizeof(ip))
		return false;
	view->key.source[2] = view->key.destination[2] = bpf_htonl(0xffff);
	view->key.source[3] = ip.saddr;
	view->key.destination[3] = ip.daddr;
	view->key.protocol = ip.protocol;
	view->ttl = ip.ttl;
	view->ecn = ip.tos & ECN_MASK;
	return read_transport(skb, base, base + ETH_HLEN + sizeof(ip), view->size - sizeof(ip),
			      view);
}

static __always_inline bool is_mapped(const struct in6_addr *address)
{
	const __u32 *words = address->in6_u.u6_addr32;

	return words[0] == 0 && words[1] == 0 && words[2] == bpf_htonl(0xffff);
}

static __always_inline bool read_ipv6(struct __sk_buff *skb, __u32 base, struct view *view)
{
	struct ipv6hdr ip;

	if (bpf_skb_load_bytes(skb, base + ETH_HLEN, &ip, sizeof(ip)) < 0 || ip.version != 6)
		return false;
	view->size = bpf_ntohs(ip.payload_len) + sizeof(ip);
	// A key with these addresses is one of IPv4.
	if (view->size != skb->len - base - ETH_HLEN || is_mapped(&ip.saddr) ||
	    is_mapped(&ip.daddr))
		return false;
	__builtin_memcpy(view->key.source, &ip.saddr, sizeof(view->key.source));
	__builtin_memcpy(view->key.destination, &ip.daddr, sizeof(view->key.destination));
	view->key.protocol = ip.nexthdr;
	view->ttl = ip.hop_limit;
	view->ecn = ipv6_ecn(&ip);
	return read_transport(skb, base, base + ETH_HLEN + sizeof(ip), view->size - sizeof(ip),
			      view);
}

// False: Sluice has to look at it.
static __always_inline bool read_frame(struct __sk_buff *skb, __u32 base, struct view *view)
{
	struct ethhdr ethernet;

	if (skb->vlan_present || bpf_skb_load_bytes(skb, base, &ethernet, sizeof(ethernet)) < 0)
		return false;
	__builtin_memcpy(view->macs, ethernet.h_dest, ETH_ALEN);
	__builtin_memcpy(view->macs + ETH_ALEN, ethernet.h_source, ETH_ALEN);
	view->key.interface = skb->ifindex;
	if (ethernet.h_proto == bpf_htons(ETH_P_IP))
		return read_ipv4(skb, base, view);
	if (ethernet.h_proto == bpf_htons(ETH_P_IPV6))
		return read_ipv6(skb, base, view);
	return false;
}

// ---- tunnels

struct outer_ipv4 {
	struct iphdr ip;
	struct udphdr udp;
	__u32 vxlan[2];
};

struct outer_ipv6 {
	struct ipv6hdr ip;
	struct udphdr udp;
	__u32 vxlan[2];
};

// `room`: from the UDP header to the end of the frame.
static __always_inline bool read_vxlan(const struct udphdr *udp, const __u32 *vxlan, __u32 room,
				       struct view *view)
{
	if (udp->dest != bpf_htons(VXLAN_PORT) || bpf_ntohs(udp->len) != room ||
	    !(vxlan[0] & bpf_htonl(VXLAN_FLAG)))
		return false;
	view->key.vni = bpf_ntohl(vxlan[1]) >> 8;
	return true;
}

static __always_inline __u32 read_outer_ipv4(struct __sk_buff *skb, struct view *view)
{
	__u32 size = skb->len - ETH_HLEN;
	struct outer_ipv4 headers;
	const struct iphdr *ip = &headers.ip;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &headers, sizeof(headers)) < 0 || ip->version != 4 ||
	    ip->ihl != 5 || (ip->frag_off & bpf_htons(FRAGMENT)) || ip->protocol != IPPROTO_UDP ||
	    !ipv4_checksum_valid(ip) || bpf_ntohs(ip->tot_len) != size ||
	    !read_vxlan(&headers.udp, headers.vxlan, size - sizeof(*ip), view))
		return 0;
	view->outer.ecn = ip->tos & ECN_MASK;
	view->outer.source[2] = view->outer.destination[2] = bpf_htonl(0xffff);
	view->outer.source[3] = ip->saddr;
	view->outer.destination[3] = ip->daddr;
	return OFFLOAD_OUTER_V4;
}

static __always_inline __u32 read_outer_ipv6(struct __sk_buff *skb, struct view *view)
{
	__u32 size = skb->len - ETH_HLEN - sizeof(struct ipv6hdr);
	struct outer_ipv6 headers;
	const struct ipv6hdr *ip = &headers.ip;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &headers, sizeof(headers)) < 0 || ip->version != 6 ||
	    ip->nexthdr != IPPROTO_UDP || bpf_ntohs(ip->payload_len) != size ||
	    !read_vxlan(&headers.udp, headers.vxlan, size, view))
		return 0;
	view->outer.ecn = ipv6_ecn(ip);
	__builtin_memcpy(view->outer.source, &ip->saddr, sizeof(view->outer.source));
	__builtin_memcpy(view->outer.destination, &ip->daddr, sizeof(view->outer.destination));
	return OFFLOAD_OUTER_V6;
}

// Bytes of outer headers. 0: it is no tunnel packet, or Sluice has to look at it.
static __always_inline __u32 read_outer(struct __sk_buff *skb, struct view *view)
{
	struct ethhdr ethernet;

	if (skb->vlan_present || bpf_skb_load_bytes(skb, 0, &ethernet, sizeof(ethernet)) < 0)
		return 0;
	__builtin_memcpy(view->outer.macs, ethernet.h_dest, ETH_ALEN);
	if (ethernet.h_proto == bpf_htons(ETH_P_IP))
		return read_outer_ipv4(skb, view);
	if (ethernet.h_proto == bpf_htons(ETH_P_IPV6))
		return read_outer_ipv6(skb, view);
	return 0;
}
