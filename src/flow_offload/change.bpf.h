// What the programs change of a frame on its way. Included once, by programs.bpf.c.

#pragma once

#define FIXED	 BPF_F_ADJ_ROOM_FIXED_GSO // segments stay as large as they are
#define EALREADY 114
// Since 6.3; bookworm's headers are older. What is behind the headers that come off.
#define DECAP_L3_IPV4 (1 << 7)
#define DECAP_L3_IPV6 (1 << 8)

static __always_inline bool route_ipv4(struct __sk_buff *skb)
{
	struct iphdr *ip = (void *)(long)skb->data + ETH_HLEN;
	__u32 sum;

	if ((void *)(ip + 1) > (void *)(long)skb->data_end)
		return false;
	// RFC 1624
	sum = ip->check + bpf_htons(0x0100);
	ip->check = (__u16)(sum + (sum >= 0xffff));
	ip->ttl--;
	return true;
}

static __always_inline bool route_ipv6(struct __sk_buff *skb)
{
	struct ipv6hdr *ip = (void *)(long)skb->data + ETH_HLEN;

	if ((void *)(ip + 1) > (void *)(long)skb->data_end)
		return false;
	ip->hop_limit--;
	return true;
}

static __always_inline bool route(struct __sk_buff *skb, const struct offload_direction *direction)
{
	bool v4 = skb->protocol == bpf_htons(ETH_P_IP);
	struct ethhdr *ethernet;

	// The headers are shared with what the sender keeps to send it again.
	if (bpf_skb_pull_data(skb,
			      ETH_HLEN + (v4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr))) < 0)
		return false;
	ethernet = (void *)(long)skb->data;
	if ((void *)(ethernet + 1) > (void *)(long)skb->data_end)
		return false;
	__builtin_memcpy(ethernet, direction->sent, sizeof(direction->sent));
	return v4 ? route_ipv4(skb) : route_ipv6(skb);
}

// ---- tunnels

// The outer IP, UDP and VXLAN headers and the inner Ethernet header come off, and the outer
// Ethernet header becomes the inner one.
static __always_inline bool decapsulate(struct __sk_buff *skb,
					const struct offload_direction *direction)
{
	bool v4 = direction->key.source[0] == 0 && direction->key.source[1] == 0 &&
		  direction->key.source[2] == bpf_htonl(0xffff);
	struct ethhdr *ethernet;

	if (bpf_skb_adjust_room(skb, -(int)direction->outer_in, BPF_ADJ_ROOM_MAC,
				FIXED | (v4 ? DECAP_L3_IPV4 : DECAP_L3_IPV6)) < 0)
		return false;
	ethernet = (void *)(long)skb->data;
	if ((void *)(ethernet + 1) > (void *)(long)skb->data_end)
		return false;
	__builtin_memcpy(ethernet, direction->received, sizeof(direction->received));
	ethernet->h_proto = v4 ? bpf_htons(ETH_P_IP) : bpf_htons(ETH_P_IPV6);
	return true;
}

static __always_inline bool make_room(struct __sk_buff *skb, __u32 size, __u64 flags)
{
	long error = bpf_skb_adjust_room(skb, (int)size, BPF_ADJ_ROOM_MAC,
					 FIXED | BPF_F_ADJ_ROOM_ENCAP_L4_UDP |
						 BPF_F_ADJ_ROOM_ENCAP_L2(ETH_HLEN) |
						 BPF_F_ADJ_ROOM_ENCAP_L2_ETH | flags);

	// It came out of a tunnel once, and the kernel has not forgotten: what it would note about
	// the inner packet is noted already.
	if (error == -EALREADY)
		error = bpf_skb_adjust_room(skb, (int)size, BPF_ADJ_ROOM_MAC, FIXED);
	return error == 0;
}

static __always_inline bool store16(struct __sk_buff *skb, __u32 offset, __u32 value)
{
	__u16 word = (__u16)value;

	return bpf_skb_store_bytes(skb, offset, &word, sizeof(word), 0) == 0;
}

// `sum`: of the IPv4 header without its length.
static __always_inline bool store_lengths_ipv4(struct __sk_buff *skb, __u32 size, __u32 sum)
{
	sum += bpf_htons((__u16)size);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return store16(skb, ETH_HLEN + __builtin_offsetof(struct iphdr, tot_len),
		       bpf_htons((__u16)size)) &&
	       store16(skb, ETH_HLEN + __builtin_offsetof(struct iphdr, check), ~sum) &&
	       store16(skb,
		       ETH_HLEN + sizeof(struct iphdr) + __builtin_offsetof(struct udphdr, len),
		       bpf_htons((__u16)(size - sizeof(struct iphdr))));
}

static __always_inline bool store_lengths_ipv6(struct __sk_buff *skb, __u32 size)
{
	return store16(skb, ETH_HLEN + __builtin_offsetof(struct ipv6hdr, payload_len),
		       bpf_htons((__u16)size)) &&
	       store16(skb,
		       ETH_HLEN + sizeof(struct ipv6hdr) + __builtin_offsetof(struct udphdr, len),
		       bpf_htons((__u16)size));
}

// DSCP and ECN go along (tunnel_class).
static __always_inline __u8 traffic_class(struct __sk_buff *skb)
{
	__u8 bytes[4];

	if (bpf_skb_load_bytes(skb, 2 * ETH_ALEN, bytes, sizeof(bytes)) < 0)
		return 0;
	return bytes[0] == ETH_P_IP >> 8 ? bytes[3] : (__u8)(bytes[2] << 4 | bytes[3] >> 4);
}

// As tunnel_encapsulate does it (layer/tunnel/tunnel.h), with the lengths of the whole: who cuts it
// gives each segment its own.
static __always_inline bool encapsulate_ipv4(struct __sk_buff *skb,
					     const struct offload_direction *direction)
{
	__u32 size = skb->len + OFFLOAD_OUTER_V4 - ETH_HLEN;
	__u16 class = bpf_htons(traffic_class(skb));

	return make_room(skb, OFFLOAD_OUTER_V4, BPF_F_ADJ_ROOM_ENCAP_L3_IPV4) &&
	       bpf_skb_store_bytes(skb, 0, direction->header, OFFLOAD_OUTER_V4 + ETH_HLEN, 0) ==
		       0 &&
	       store16(skb, ETH_HLEN, bpf_htons(0x4500) | class) &&
	       store_lengths_ipv4(skb, size, direction->header_sum + class);
}

static __always_inline bool encapsulate_ipv6(struct __sk_buff *skb,
					     const struct offload_direction *direction)
{
	__u32 size = skb->len + OFFLOAD_OUTER_V6 - ETH_HLEN - sizeof(struct ipv6hdr);
	__u16 class = bpf_htons((__u16)(traffic_class(skb) << 4));

	return make_room(skb, OFFLOAD_OUTER_V6, BPF_F_ADJ_ROOM_ENCAP_L3_IPV6) &&
	       bpf_skb_store_bytes(skb, 0, direction->header, OFFLOAD_OUTER_V6 + ETH_HLEN, 0) ==
		       0 &&
	       store16(skb, ETH_HLEN, bpf_htons(0x6000) | class) && store_lengths_ipv6(skb, size);
}

static __always_inline bool encapsulate(struct __sk_buff *skb,
					const struct offload_direction *direction)
{
	return direction->outer_out == OFFLOAD_OUTER_V4 ? encapsulate_ipv4(skb, direction)
							: encapsulate_ipv6(skb, direction);
}

// A large send with outer headers that the kernel takes for part of it: they come off and are put
// before it anew, as a tunnel's. The lengths were those of a segment.
static __always_inline bool encapsulate_again(struct __sk_buff *skb)
{
	bool v4 = skb->protocol == bpf_htons(ETH_P_IP), inner_v4;
	__u8 headers[OFFLOAD_HEADER_MAX];
	struct iphdr *ip = (struct iphdr *)(headers + ETH_HLEN);
	__u32 outer = v4 ? OFFLOAD_OUTER_V4 : OFFLOAD_OUTER_V6, size = skb->len - ETH_HLEN, sum;
	__u16 length, check;

	if (v4 ? bpf_skb_load_bytes(skb, 0, headers, OFFLOAD_OUTER_V4 + ETH_HLEN) < 0
	       : bpf_skb_load_bytes(skb, 0, headers, OFFLOAD_OUTER_V6 + ETH_HLEN) < 0)
		return false;
	inner_v4 = v4 ? headers[OFFLOAD_OUTER_V4 + 12] == ETH_P_IP >> 8
		      : headers[OFFLOAD_OUTER_V6 + 12] == ETH_P_IP >> 8;
	if (bpf_skb_adjust_room(skb, -(int)outer, BPF_ADJ_ROOM_MAC,
				FIXED | (inner_v4 ? DECAP_L3_IPV4 : DECAP_L3_IPV6)) < 0 ||
	    !make_room(skb, outer,
		       v4 ? BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 : BPF_F_ADJ_ROOM_ENCAP_L3_IPV6))
		return false;
	if (!v4)
		return bpf_skb_store_bytes(skb, 0, headers, OFFLOAD_OUTER_V6 + ETH_HLEN, 0) == 0 &&
		       store_lengths_ipv6(skb, size - sizeof(struct ipv6hdr));
	// RFC 1624
	__builtin_memcpy(&length, &ip->tot_len, sizeof(length));
	__builtin_memcpy(&check, &ip->check, sizeof(check));
	sum = (__u16)~check + (__u32)(__u16)~length;
	return bpf_skb_store_bytes(skb, 0, headers, OFFLOAD_OUTER_V4 + ETH_HLEN, 0) == 0 &&
	       store_lengths_ipv4(skb, size, sum);
}
